"""What a caller of the indexer can do something about. Every message is one full sentence for a person."""

from __future__ import annotations

from pathlib import Path


class IndexerError(Exception):
    """Base of all errors of this package. What was committed before one is raised stands."""


class PathMissing(IndexerError):
    """A PATH that was to be indexed is not there; nothing was changed."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: there is no such file or folder. Check the spelling.")
        self.path = path


class PathUnusable(IndexerError):
    """A PATH that is there but cannot be recorded or looked at; nothing was changed."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{ascii(str(path))[1:-1]}: {problem}.")
        self.path = path


class BadPattern(IndexerError):
    """A pattern of what to index makes no sense; nothing was changed."""

    def __init__(self, option: str, pattern: str, problem: str) -> None:
        super().__init__(f"{option} {pattern!r}: invalid pattern ({problem}). Patterns follow .gitignore.")
        self.pattern = pattern


class ParserMissing(IndexerError):
    """The process that reads files does not start; what was committed stands."""

    def __init__(self, command: str) -> None:
        super().__init__(f"The process that reads files did not start: {command}. Run it by hand to see why.")


class RootGone(IndexerError):
    """A recorded root is not there any more, nor is its content elsewhere in what was synced; nothing was changed.

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
    """The encoder refused several documents in a row, so it is not the documents; what was complete is committed."""

    def __init__(self, n_documents: int, error: Exception) -> None:
        super().__init__(
            f"The encoder failed on {n_documents} documents in a row ({type(error).__name__}: {error}), so indexing "
            "stopped. Complete documents are committed, and the next run continues from there."
        )
        self.n_documents = n_documents
