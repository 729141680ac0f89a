"""Errors of the pipeline that a caller can act on."""

_EXCERPT = 50
"""Characters of a filter shown before and after the place of an error."""


class PipelineError(Exception):
    """Base of all errors of this folder."""


class BadQuestion(PipelineError, ValueError):
    """The question is empty or blank, too long, or not Unicode text."""


class BadFilter(PipelineError, ValueError):
    """The filter is malformed; the message points at the place.

    :ivar column: place of the fault, in characters from 1; 0 if no single place is at fault
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
    """A file of questions, or of answers to them, cannot be used; the message names the line."""


class NothingToMeasure(PipelineError):
    """The store does not hold the documents that an evaluation file asks about."""


class RiskNotKnown(PipelineError, ValueError):
    """The reader has no confidence threshold that keeps the share of wrong answers as low as the caller asks."""
