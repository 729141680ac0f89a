"""How documents and passages lie in a catalogue's tables: columns, and the checksum that each row carries."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import xxhash

from deformer_qa.store.records import DocumentInfo, DocumentRecord, PassageRecord, to_json

TOKENIZER = "porter unicode61 remove_diacritics 2"

# Column names and Python types, in order; the first is the primary key.
DOCUMENTS: dict[str, type] = {
    "id": int,
    "root": str,
    "path": str,
    "title": str,
    "content_hash": str,
    "source_state": str,
    "meta": str,  # json
    "n_passages": int,
    "checksum": int,
}
TEXTS: dict[str, type] = {"document_id": int, "outline": str, "checksum": int, "text": bytes}  # text last: it is long
PASSAGES: dict[str, type] = {
    "id": int,
    "document_id": int,
    "ordinal": int,
    "start": int,  # code points
    "end": int,
    "first_byte": int,  # the same places in the document's UTF-8
    "end_byte": int,
    "heading": str,
    "key": bytes,
    "checksum": int,
}

# Cuts texts into words; a table of it is never kept.
FTS5 = f"fts5(title, heading, body, content='', tokenize='{TOKENIZER}')"


def mark(segment: str) -> int:
    """What a catalogue says of the segment it was made for, as SQLite's user_version: a signed 32-bit integer."""
    return int.from_bytes(bytes.fromhex(segment.partition("-")[2]), "big", signed=True)


def columns(table: dict[str, type]) -> str:
    """The columns of a table for a SELECT, in order."""
    return ", ".join(f'"{name}"' for name in table)


def document_row(document: DocumentRecord, n_passages: int) -> tuple[Any, ...]:
    """A row of ``documents``."""
    fields = (
        document.id,
        document.root,
        document.path,
        document.title,
        document.content_hash,
        document.source_state,
        to_json(dict(document.meta)),
        n_passages,
    )
    return (*fields, row_checksum(fields))


def text_row(document: DocumentRecord, text: bytes) -> tuple[Any, ...]:
    """A row of ``texts``."""
    outline = to_json([list(entry) for entry in document.outline])
    return (document.id, outline, row_checksum((document.id, outline, text)), text)


def passage_row(passage: PassageRecord, first_byte: int, end_byte: int) -> tuple[Any, ...]:
    """A row of ``passages``."""
    fields = (
        passage.id,
        passage.document_id,
        passage.ordinal,
        passage.start,
        passage.end,
        first_byte,
        end_byte,
        passage.heading,
        passage.key,
    )
    return (*fields, row_checksum(fields))


def row_checksum(fields: Sequence[int | str | bytes]) -> int:
    """xxh3-64 over a row's fields, as the signed integer that SQLite keeps.

    An integer counts as 8 bytes little-endian; text and bytes as their length, likewise, and their UTF-8.
    """
    hasher = xxhash.xxh3_64()
    for field in fields:
        if isinstance(field, int):
            hasher.update(struct.pack("<q", field))
        else:
            content = field.encode("utf-8") if isinstance(field, str) else field
            hasher.update(struct.pack("<q", len(content)))
            hasher.update(content)
    return int.from_bytes(hasher.digest(), "big", signed=True)


def is_whole(row: Sequence[Any]) -> bool:
    """Whether a row, its checksum last, is as it was written; a value of another type than ours is damage too."""
    fields = row[:-1]
    if not all(isinstance(field, int | str | bytes) for field in fields):
        return False
    return bool(row_checksum(fields) == row[-1])


def document_info(row: Sequence[Any]) -> DocumentInfo:
    """The value of a checked row of ``documents``."""
    id_, root, path, title, content_hash, source_state, meta, n_passages, _ = row
    return DocumentInfo(id_, root, path, title, content_hash, json.loads(meta), source_state, n_passages)


def passage_record(row: Sequence[Any]) -> PassageRecord:
    """The value of a checked row of ``passages``."""
    id_, document_id, ordinal, start, end, _, _, heading, key, _ = row
    return PassageRecord(id_, document_id, ordinal, start, end, heading, key)
