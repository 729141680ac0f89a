"""Errors that a caller of the indexer can act on. Every message is a full sentence for a person."""

from __future__ import annotations

from pathlib import Path


class IndexerError(Exception):
    """Base of all errors of this package. Commits made before the error stay."""


class PathMissing(IndexerError):
    """A PATH to index does not exist; nothing was changed."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: there is no such file or folder. Check the spelling.")
        self.path = path


class PathUnusable(IndexerError):
    """A PATH exists but cannot be recorded or accessed; nothing was changed."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{ascii(str(path))[1:-1]}: {problem}.")
        self.path = path


class BadPattern(IndexerError):
    """A pattern of files to index is invalid; nothing was changed."""

    def __init__(self, option: str, pattern: str, problem: str) -> None:
        super().__init__(f"{option} {pattern!r}: invalid pattern ({problem}). Patterns follow .gitignore.")
        self.pattern = pattern


class ParserMissing(IndexerError):
    """The process that parses files does not start; earlier commits stay."""

    def __init__(self, command: str) -> None:
        super().__init__(f"The process that reads files did not start: {command}. Run it by hand to see why.")


class RootGone(IndexerError):
    """A recorded root no longer exists, and its content was not found elsewhere in this sync; nothing was changed.

    :ivar n_documents: documents in the index that came from it
    """

    def __init__(self, root: str, n_documents: int) -> None:
        super().__init__(
            f"{root}: was indexed ({n_documents:,} documents) and no longer exists. If it was renamed, index it under "
            'its new path; to drop it from the index, run "qa index --prune".'
        )
        self.root = root
        self.n_documents = n_documents


class EncoderFailing(IndexerError):
    """The encoder failed on several documents in a row, so it is at fault; complete documents are committed."""

    def __init__(self, n_documents: int, error: Exception) -> None:
        super().__init__(
            f"The encoder failed on {n_documents} documents in a row ({type(error).__name__}: {error}), so indexing "
            "stopped. Complete documents are committed, and the next run continues from there."
        )
        self.n_documents = n_documents
