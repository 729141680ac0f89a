"""What a format makes of one file: its documents, and the records it could not read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Scalar = str | int | float | bool


class NotReadable(Exception):
    """A file (or one record of it) that gives no document; the message is the reason, as half a sentence."""


@dataclass(frozen=True)
class ParsedDocument:
    """One document as its file gives it.

    :ivar record: '' for a file that is one document, '#3' for the record on the zero-based line 3
    :ivar text: the kept text; every offset counts its code points
    :ivar outline: (offset, heading), ascending; the heading's line starts at ``text[offset]``
    :ivar meta: what JSON can say
    :ivar content_hash: of the source bytes and the format that reads them, hex
    """

    record: str
    title: str
    text: str
    outline: tuple[tuple[int, str], ...]
    content_hash: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BadRecord:
    """A record that gives no document, and why; the others of its file are not concerned."""

    record: str
    reason: str


@dataclass(frozen=True)
class ParsedFile:
    """All that a file gives, in its order."""

    documents: tuple[ParsedDocument, ...]
    bad_records: tuple[BadRecord, ...] = ()


def content_hash(format_version: str, source: bytes) -> str:
    """32 hex digits; equal only for the same bytes read by the same version of the same format."""
    digest = hashlib.blake2b(format_version.encode(), digest_size=16)
    digest.update(b"\0")
    digest.update(source)
    return digest.hexdigest()


def one_line(text: str) -> str:
    """A title, heading or reason on one line, runs of whitespace as one space."""
    return " ".join(text.split())
