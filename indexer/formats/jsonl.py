"""JSON lines: each line is a document of its own, found again as ``file.jsonl#<zero-based line>``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from deformer_qa.indexer.formats.parsed import (
    BadRecord,
    FileLimits,
    NotReadable,
    ParsedDocument,
    ParsedFile,
    Scalar,
    one_line,
)
from deformer_qa.indexer.formats.text_encoding import decode, storable

TEXT_FIELDS = ("text", "content", "context", "body")
MOST_RECORDS = 1_000_000  # each has a hash in the indexer's memory, and would be a document


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """A document per line: text from the first of ``TEXT_FIELDS``, title from "title", other plain values as meta.

    Empty lines are skipped; a line that gives no document is reported, and the others are still read.
    """
    documents, bad = [], []
    for record, line in records(raw):
        try:
            documents.append(_document(record, line))
        except NotReadable as reason:
            bad.append(BadRecord(record, str(reason), reason.kind))
    return ParsedFile(tuple(documents), tuple(bad))


def records(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Each record, good or bad, with its name, unparsed. :raises NotReadable: if there are too many."""
    raw = _as_utf8(raw)
    if raw.count(b"\n") > MOST_RECORDS:
        raise NotReadable(f"more than {MOST_RECORDS:,} lines; split it into several files", "limit")
    for number, line in enumerate(raw.split(b"\n")):
        if stripped := line.strip():
            yield f"#{number}", stripped


def _as_utf8(raw: bytes) -> bytes:
    """The file in UTF-8 if it has one encoding; else unchanged, so that each line is decoded on its own."""
    marked = raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))
    try:
        return decode(raw).encode()
    except NotReadable:
        if marked or b"\0" in raw:
            raise
        return raw


def _utf8(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise NotReadable(f"not UTF-8 (byte {error.start:,} of the line)") from None


def _document(record: str, line: bytes) -> ParsedDocument:
    fields = _fields(line)
    field = next((field for field in TEXT_FIELDS if isinstance(fields.get(field), str)), None)
    if field is None:
        raise NotReadable(f"no text: expected one of {', '.join(map(repr, TEXT_FIELDS))}", "no text")
    text = storable(fields.pop(field))
    if not text.strip():
        raise NotReadable(f"no text: {field!r} is empty", "no text")
    title = fields.pop("title", None)
    title = one_line(storable(title)) if isinstance(title, str) else ""
    meta = {storable(key): _scalar(value) for key, value in fields.items() if _is_scalar(value)}
    return ParsedDocument(record, title, text, meta=meta)


def _fields(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(_utf8(line))
    except json.JSONDecodeError as error:
        raise NotReadable(f"not JSON ({error.msg}, column {error.colno:,})") from None
    except ValueError as error:
        raise NotReadable(f"not JSON ({error})") from None
    except RecursionError:
        raise NotReadable("JSON nested too deeply", "limit") from None
    if not isinstance(value, dict):
        raise NotReadable(f"expected an object, found {_kind(value)}")
    return value


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return "a string"
    return "null" if value is None else "a number" if not isinstance(value, bool) else "a boolean"


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _scalar(value: Scalar) -> Scalar:
    return storable(value) if isinstance(value, str) else value
