"""The values that a store takes and returns."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY_BYTES = 16


def block_key(text: str) -> bytes:
    """The 16-byte key of an encoder input, under which its vector and states are stored once."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=KEY_BYTES).digest()


def encoder_input(heading: str, text: str) -> str:
    """The encoder input of a passage: the heading, if any, on a line of its own, then the text."""
    return f"{heading}\n{text}" if heading else text


def keyed_input(key: bytes, heading: str, text: str) -> str | None:
    """The encoder input of a passage that has this key; None if neither form has it.

    It is the result of ``encoder_input``, or the text alone, as passages were encoded before headings were read.
    """
    return next((one for one in (encoder_input(heading, text), text) if block_key(one) == key), None)


def to_json(value: Any) -> str:
    """Canonical JSON; raises ValueError or TypeError for values that JSON cannot hold."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class EncoderInfo:
    """The store's description of the encoder; compared, never interpreted."""

    encoder_id: str
    vector_width: int
    hidden_width: int
    about: Mapping[str, Any]  # JSON for people; not compared


@dataclass(frozen=True)
class DocumentRecord:
    """A document with its stored text; every offset counts Unicode code points of ``text``."""

    id: int  # stable, never reused
    root: str  # absolute path of the recorded root, a folder or a file; a plain name for documents not from files
    path: str  # relative to root, with '/'; never empty
    title: str
    content_hash: str  # of the source, hex; moves are recognised by it
    text: str
    outline: tuple[tuple[int, str], ...]  # (offset, heading), ascending
    meta: Mapping[str, Any]  # json
    source_state: str = ""  # opaque here; the indexer recognises an unchanged file by it

    def heading_at(self, offset: int) -> str:
        """The last heading of the outline at or before a character; '' if there is none."""
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
    heading: str  # read by the encoder before the text: names of document and section; may be ''
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
    """One file that differs from what was committed; ``file`` is relative to the store."""

    file: str
    problem: str
