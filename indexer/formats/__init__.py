"""Extracts the text of a file. One module per format; ``registry`` lists them and recognises a file's format."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deformer_qa.indexer.formats.jsonl import records
from deformer_qa.indexer.formats.metadata import MOST_CHARACTERS, plain
from deformer_qa.indexer.formats.parsed import (
    DOCUMENTS,
    BadRecord,
    FileLimits,
    Kind,
    NotReadable,
    ParsedDocument,
    ParsedFile,
    content_hash,
    one_line,
)
from deformer_qa.indexer.formats.registry import DETECTION, VERSIONS, Format, format_of, suffix_of

__all__ = [
    "DETECTION",
    "VERSIONS",
    "BadRecord",
    "FileLimits",
    "Format",
    "Kind",
    "NotReadable",
    "ParsedDocument",
    "ParsedFile",
    "file_of",
    "format_of",
    "hashes",
    "one_line",
    "parse",
]

_NO_ROOM = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")  # messages of the loader
_LONGEST_NAME = 1_000  # characters of a title or heading
_RECORDS = (".jsonl", ".ndjson")
_RECORD = re.compile(r"(?P<file>.+)(?P<record>#[0-9]+)", re.DOTALL)


def hashes(format_: Format, raw: bytes, sidecar: bytes = b"") -> dict[str, str]:
    """The content hashes of a file's documents by record ('' for a file that is one document), without parsing them.

    Records that give no document are included.

    :param sidecar: content of the metadata file beside it, if there is one.
    """
    more = (sidecar,) if sidecar else ()
    if format_.name == "jsonl":
        return {record: content_hash(format_.versioned, line, *more) for record, line in records(raw)}
    return {"": content_hash(format_.versioned, raw, *more)}


def parse(format_: Format, name: str, raw: bytes, limits: FileLimits) -> ParsedFile:
    """Parse a file into documents with text.

    :param name: of the file without its suffix, the title of documents whose content gives none.
    :raises NotReadable: with the reason, if the file has neither documents nor bad records.
    """
    try:
        parsed = format_.parse(raw, limits)
    except NotReadable:
        raise
    except RecursionError:
        raise NotReadable("nested too deeply", "limit") from None
    except MemoryError:
        raise NotReadable(memory_reason(limits), "limit") from None
    except Exception as error:  # a parser that fails on one file must not stop the others
        if _is_for_memory(error):
            raise NotReadable(memory_reason(limits), "limit") from None
        found = one_line(f"{type(error).__name__}: {error}")[:200]
        raise NotReadable(f"the {format_.name} parser failed: {found}") from error
    if not any(document.text.strip() for document in parsed.documents) and not parsed.bad_records:
        raise NotReadable("no text in it", "no text")
    lengths = [len(document.text) for document in parsed.documents]
    _check_length(max(lengths, default=0), limits.text_characters, "text")
    _check_length(sum(lengths), DOCUMENTS * limits.text_characters, "documents")
    return _with_short_names(_with_titles(parsed, name))


def _with_titles(parsed: ParsedFile, name: str) -> ParsedFile:
    """Give documents without a title the name of their file, with ``has_own_title`` False."""
    documents = (one if one.title else replace(one, title=name, has_own_title=False) for one in parsed.documents)
    return replace(parsed, documents=tuple(documents))


def _with_short_names(parsed: ParsedFile) -> ParsedFile:
    """Shorten titles, headings and metadata, because they are stored with every passage and shown with it.

    A heading is also in the text, so nothing of it is lost; other cuts become notes.
    """
    documents, notes = [], []
    for document in parsed.documents:
        if len(document.title) > _LONGEST_NAME:
            notes.append(f"its title of {len(document.title):,} characters is cut to {_LONGEST_NAME:,}")
        if any(len(heading) > _LONGEST_NAME for _, heading in document.outline):
            outline = tuple((offset, heading[:_LONGEST_NAME]) for offset, heading in document.outline)
            document = replace(document, outline=outline)
        meta, left_out = plain(document.meta) if _n_characters(document.meta) > MOST_CHARACTERS else (document.meta, [])
        documents.append(replace(document, title=document.title[:_LONGEST_NAME], meta=meta))
        notes += left_out
    return replace(parsed, documents=tuple(documents), notes=(*parsed.notes, *notes))


def _n_characters(meta: Mapping[str, Any]) -> int:
    return sum(len(value) if isinstance(value, str | list) else 0 for value in meta.values())


def _is_for_memory(error: BaseException | None) -> bool:
    """Whether an error comes from a lack of memory, perhaps for loading a library."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if isinstance(error, ImportError) and any(said in str(error) for said in _NO_ROOM):
            return True
        error = error.__cause__ or error.__context__
    return False


def _check_length(n_characters: int, most: int, what: str) -> None:
    if n_characters > most:
        raise NotReadable(f"{what} of {n_characters:,} characters, at most {most:,} are read (--max-text)", "limit")


def memory_reason(limits: FileLimits) -> str:
    """The reason for skipping a file that takes too much memory."""
    return f"reading it takes more than {limits.memory_bytes // 2**20:,} MiB of memory (--max-memory)"


def file_of(path: str) -> str:
    """The file that holds a document: its own path, or for 'a.jsonl#3' the path 'a.jsonl'."""
    match = _RECORD.fullmatch(path)
    return match["file"] if match and suffix_of(match["file"]) in _RECORDS else path
