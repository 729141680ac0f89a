"""Errors that a caller of the reader can act on. Every message is a full sentence for a person."""


class ReaderError(Exception):
    """Base of all errors of this package."""


class ModelNotFound(ReaderError):
    """There is no model at the given place; the message says what was looked for."""


class UnsupportedModel(ReaderError):
    """The model is of a family or layout that no adapter here knows."""


class WrongEncoder(ReaderError):
    """A reader was given an encoder other than the one its joint layers were trained on."""


class TextTooLong(ReaderError):
    """A text has more tokens than the encoder takes. Texts are never cut silently.

    :ivar found: tokens of the text, without special tokens
    :ivar limit: tokens the encoder takes
    """

    def __init__(self, what: str, found: int, limit: int) -> None:
        self.found, self.limit = found, limit
        super().__init__(f"{what}: {found:,} tokens, at most {limit:,} are taken; shorten it.")


class BadTrainingData(ReaderError):
    """A data file or recipe that cannot be trained or evaluated on; found before any compute is spent."""
