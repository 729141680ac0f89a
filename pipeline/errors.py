"""What a caller of the pipeline can do something about."""

_EXCERPT = 50
"""Characters of a filter shown before and behind a place in it."""


class PipelineError(Exception):
    """Base of all errors of this package."""


class BadQuestion(PipelineError, ValueError):
    """The question is empty or blank, too long, or no text."""


class BadFilter(PipelineError, ValueError):
    """A filter that means nothing; the message points at the place.

    :ivar column: counted in characters from 1; 0 where no one place is at fault
    """

    def __init__(self, found: str, expected: str, text: str = "", column: int = 0) -> None:
        self.found, self.expected, self.column = found, expected, column
        if not column:
            super().__init__(f"filter: found {found}, expected {expected}.")
            return
        before, after = text[: column - 1], text[column - 1 :]
        excerpt = ("…" if len(before) > _EXCERPT else "") + before[-_EXCERPT:] + ">>>" + after[:_EXCERPT]
        excerpt += "…" if len(after) > _EXCERPT else ""
        one_line = "".join(" " if character.isspace() else character for character in excerpt)
        shown = one_line.encode("utf-8", "replace").decode("utf-8")
        super().__init__(f"filter, column {column:,}: found {found}, expected {expected}: {shown}")


class BadQuestionFile(PipelineError, ValueError):
    """A file of questions, or of answers to them, that cannot be used; the message names the line."""


class NothingToMeasure(PipelineError):
    """The store does not hold the documents that an evaluation file asks about."""


class RiskNotKnown(PipelineError, ValueError):
    """No confidence is known at which as few answers are wrong as the caller asks."""
