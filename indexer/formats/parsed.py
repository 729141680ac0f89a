"""The result of parsing one file: its documents, and the records that could not be read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DOCUMENTS = 10


@dataclass(frozen=True)
class FileLimits:
    """Limits on the size and cost of a file; one beyond them is skipped with a reason that names the limit.

    :ivar file_bytes: length of the file
    :ivar text_characters: of a document; all documents of a file together may have ``DOCUMENTS`` times as many
    :ivar pages: pages, slides or sheets
    :ivar members: files in an archive, such as an office document or e-book
    :ivar unpacked_bytes: all members of an archive together
    :ivar ratio: unpacked to packed bytes of one member (small members may have any ratio)
    :ivar nesting: levels of nested JSON values, or of nested parts of mail
    :ivar seconds: wall-clock time to parse one file
    :ivar memory_bytes: address space of the process that parses it
    """

    file_bytes: int = 256 * 2**20
    text_characters: int = 10_000_000
    pages: int = 10_000
    members: int = 10_000
    unpacked_bytes: int = 1024 * 2**20
    ratio: int = 1_000
    nesting: int = 1_000
    seconds: float = 20.0
    memory_bytes: int = 1536 * 2**20


DEFAULT_LIMITS = FileLimits()


Scalar = str | int | float | bool

Kind = Literal[
    "binary", "damaged", "empty", "encoding", "encrypted", "gone", "ignored", "limit", "link", "metadata", "name",
    "no reader", "no text", "permission", "refused", "special", "system",
]  # fmt: skip
"""The kind of problem with a file, for programs and counting; the reason tells it to a person.

``gone``: vanished or changed while it was read. ``ignored``: left out by a pattern. ``refused``: the encoder failed
on it. ``special``: a pipe, socket or device. ``system``: any other error of the file system.
"""


class NotReadable(Exception):
    """A file (or one of its records) gives no document; the message is the reason, a phrase to follow the path."""

    def __init__(self, reason: str, kind: Kind = "damaged") -> None:
        super().__init__(reason)
        self.kind: Kind = kind


@dataclass(frozen=True)
class ParsedDocument:
    """One document parsed from a file.

    :ivar record: '' for a file that is one document, '#3' for the record on the zero-based line 3
    :ivar title: formats leave it '' if the content has none; their caller then sets the name of the file
    :ivar text: the text to store; every offset counts its code points
    :ivar outline: (offset, heading), ascending; the heading's line starts at ``text[offset]``
    :ivar meta: values that JSON can represent
    :ivar locations: by kind ("page", "slide", "sheet", "row", "cell", "line"), ascending (offset, number or name) where
        a new one begins; rows and lines count on from the last one given, see ``store.locations``
    :ivar content_hash: of the source bytes and the format that reads them, hex; formats leave it to their caller
    :ivar has_own_title: whether the title comes from the content or its metadata file. A title that is only the file's
        name is shown and searched but not encoded: otherwise a renamed file would need encoding again
    """

    record: str
    title: str
    text: str
    outline: tuple[tuple[int, str], ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    locations: Mapping[str, tuple[tuple[int, int | str], ...]] = field(default_factory=dict)
    content_hash: str = ""
    has_own_title: bool = True


@dataclass(frozen=True)
class BadRecord:
    """A record that gives no document, and why; other records of its file are not affected."""

    record: str
    reason: str
    kind: Kind = "damaged"


@dataclass(frozen=True)
class ParsedFile:
    """Everything parsed from a file, in its order.

    :ivar notes: what could not be extracted, as phrases to follow a file name, e.g. "page 3 of 10 cannot be read"
    """

    documents: tuple[ParsedDocument, ...]
    bad_records: tuple[BadRecord, ...] = ()
    notes: tuple[str, ...] = ()


def content_hash(format_version: str, *source: bytes) -> str:
    """A hash of 32 hex digits; equal only for the same bytes read by the same version of the same format."""
    digest = hashlib.blake2b(format_version.encode(), digest_size=16)
    for part in source:
        digest.update(b"\0")
        digest.update(part)
    return digest.hexdigest()


def one_line(text: str) -> str:
    """Put a text on one line: each run of whitespace becomes one space."""
    return " ".join(text.split())
