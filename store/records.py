"""The values that go into a store and come out of it."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY_BYTES = 16


def block_key(text: str) -> bytes:
    """The 16-byte key of an encoder input: the name under which its vector and states are kept, once."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=KEY_BYTES).digest()


def encoder_input(heading: str, text: str) -> str:
    """What the encoder reads of a passage: the heading on a line of its own, where there is one, then the text."""
    return f"{heading}\n{text}" if heading else text


def keyed_input(key: bytes, heading: str, text: str) -> str | None:
    """The encoder input whose key this is, of a passage with this heading and text; None where it is of neither.

    That is what ``encoder_input`` gives, or the text alone: so passages were encoded before headings were read.
    """
    return next((one for one in (encoder_input(heading, text), text) if block_key(one) == key), None)


def to_json(value: Any) -> str:
    """Canonical json; ValueError or TypeError for what json cannot hold."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class EncoderInfo:
    """What the store must know of the encoder; compared, never interpreted."""

    encoder_id: str
    vector_width: int
    hidden_width: int
    about: Mapping[str, Any]  # json for people; not compared


@dataclass(frozen=True)
class DocumentRecord:
    """A document with its kept text; every offset counts Unicode code points of ``text``."""

    id: int  # stable, never reused
    root: str  # absolute path of the recorded root, a folder or a file; a plain name where documents are no files
    path: str  # relative to root, with '/'; never empty
    title: str
    content_hash: str  # of the source, hex: how a move is recognised
    text: str
    outline: tuple[tuple[int, str], ...]  # (offset, heading), ascending
    meta: Mapping[str, Any]  # json
    source_state: str = ""  # opaque here; the indexer recognises an unchanged file by it

    def heading_at(self, offset: int) -> str:
        """The last heading of the outline at or before a character; '' where there is none."""
        number = bisect_right(self.outline, offset, key=lambda entry: entry[0])
        return self.outline[number - 1][1] if number else ""


@dataclass(frozen=True)
class DocumentInfo:
    """A document without its text and outline: cheap to list."""

    id: int
    root: str
    path: str
    title: str
    content_hash: str
    meta: Mapping[str, Any]
    source_state: str
    n_passages: int


@dataclass(frozen=True)
class PassageDraft:
    """A passage as a caller proposes it; the store gives it an id."""

    start: int
    end: int
    heading: str  # what the encoder reads before the text, the names of its document and section; '' for nothing
    key: bytes  # block_key(encoder_input(heading, document_text[start:end]))


@dataclass(frozen=True)
class PassageRecord:
    """A passage of a document: its text is ``document_text[start:end]``, its key that of ``keyed_input``."""

    id: int  # stable, never reused
    document_id: int
    ordinal: int  # 0.. within its document
    start: int
    end: int
    heading: str
    key: bytes


@dataclass(frozen=True)
class Hit:
    """A passage found, with the score of the search that found it."""

    passage_id: int
    score: float


@dataclass(frozen=True)
class Damage:
    """One file that is not as it was committed; ``file`` is relative to the store."""

    file: str
    problem: str
