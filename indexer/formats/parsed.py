"""What a format makes of one file: its documents, and the records it could not read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DOCUMENTS = 10


@dataclass(frozen=True)
class FileLimits:
    """What a file may be and cost; one beyond a limit is skipped with a reason that names the limit.

    :ivar file_bytes: length of the file
    :ivar text_characters: of a document; of all documents of a file together, ``DOCUMENTS`` times as many
    :ivar pages: pages, slides or sheets
    :ivar members: files in an archive, as office documents and e-books are
    :ivar unpacked_bytes: all members of an archive together
    :ivar ratio: unpacked to packed bytes of one member (small members may have any)
    :ivar nesting: values of JSON, or parts of mail, in each other
    :ivar seconds: of a clock on the wall, for reading one file's text
    :ivar memory_bytes: address space of the process that reads it
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
"""What is wrong with a file, for programs and for counting; the reason says it to a person.

``gone``: vanished or changed while it was read. ``ignored``: not wanted, by a pattern. ``refused``: the encoder did
not take it. ``special``: no file but a pipe, a socket, a device. ``system``: any other error of the file system.
"""


class NotReadable(Exception):
    """A file (or one record of it) that gives no document; the message is the reason, as half a sentence."""

    def __init__(self, reason: str, kind: Kind = "damaged") -> None:
        super().__init__(reason)
        self.kind: Kind = kind


@dataclass(frozen=True)
class ParsedDocument:
    """One document as its file gives it.

    :ivar record: '' for a file that is one document, '#3' for the record on the zero-based line 3
    :ivar title: formats leave it '' where the content has none; their caller then puts the name of the file there
    :ivar text: the kept text; every offset counts its code points
    :ivar outline: (offset, heading), ascending; the heading's line starts at ``text[offset]``
    :ivar meta: what JSON can say
    :ivar locations: by kind ("page", "slide", "sheet", "row", "cell", "line") the offsets where a new one begins, and
        its number or name, ascending; rows and lines are counted on from the last one given, see ``store.locations``
    :ivar content_hash: of the source bytes and the format that reads them, hex; formats leave it to their caller
    :ivar has_own_title: whether the content, or the file of metadata beside it, says the title. One that is the name
        of the file is shown and searched but never encoded: a renamed file would be another text
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
    """A record that gives no document, and why; the others of its file are not concerned."""

    record: str
    reason: str
    kind: Kind = "damaged"


@dataclass(frozen=True)
class ParsedFile:
    """All that a file gives, in its order.

    :ivar notes: what of it is not in the documents though it should be, as half sentences: metadata that is not
        readable, a page without text
    """

    documents: tuple[ParsedDocument, ...]
    bad_records: tuple[BadRecord, ...] = ()
    notes: tuple[str, ...] = ()


def content_hash(format_version: str, *source: bytes) -> str:
    """32 hex digits; equal only for the same bytes read by the same version of the same format."""
    digest = hashlib.blake2b(format_version.encode(), digest_size=16)
    for part in source:
        digest.update(b"\0")
        digest.update(part)
    return digest.hexdigest()


def one_line(text: str) -> str:
    """A title, heading or reason on one line, runs of whitespace as one space."""
    return " ".join(text.split())
