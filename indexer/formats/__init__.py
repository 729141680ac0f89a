"""Which text does a file hold? One module per format, found by the suffix of the file's name.

A new format is one module with ``VERSION``, ``SUFFIXES`` and ``parse``, and its line in ``_MODULES``. ``VERSION`` is
part of every content hash and source state: raise it when ``parse`` gives another result for the same bytes, and files
are read anew.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from types import ModuleType

from deformer_qa.indexer.formats import html, jsonl, markdown, text
from deformer_qa.indexer.formats.parsed import (
    BadRecord,
    NotReadable,
    ParsedDocument,
    ParsedFile,
    content_hash,
    one_line,
)

__all__ = [
    "BadRecord",
    "NotReadable",
    "ParsedDocument",
    "ParsedFile",
    "file_of",
    "format_version",
    "hashes",
    "one_line",
    "parse",
]

_MODULES: tuple[ModuleType, ...] = (text, markdown, html, jsonl)
_BY_SUFFIX: dict[str, ModuleType] = {suffix: module for module in _MODULES for suffix in module.SUFFIXES}
_RECORD = re.compile(r"(?P<file>.+)(?P<record>#[0-9]+)", re.DOTALL)


def format_version(path: str) -> str:
    """Name and version of the format that reads a path, as 'markdown1'.

    :raises NotReadable: where there is none.
    """
    return str(_module(path).VERSION)


def hashes(path: str, raw: bytes) -> dict[str, str]:
    """The content hashes of a file's documents by record ('' for a file that is one document), without parsing them.

    Records that give no document are among them.
    """
    module = _module(path)
    if module is jsonl:
        return jsonl.hashes(raw)
    return {"": content_hash(module.VERSION, raw)}


def parse(path: str, raw: bytes) -> ParsedFile:
    """The documents of a file, each with text in it.

    :raises NotReadable: with the reason, for a file that gives none and says nothing about single records either.
    """
    parsed = _parse(path, raw)
    if not any(document.text.strip() for document in parsed.documents) and not parsed.bad_records:
        raise NotReadable("no text in it")
    return parsed


def file_of(path: str) -> str:
    """The file that holds a document: its own path, or for 'a.jsonl#3' the path 'a.jsonl'."""
    match = _RECORD.fullmatch(path)
    if match and _BY_SUFFIX.get(_suffix(match["file"])) is jsonl:
        return match["file"]
    return path


def _parse(path: str, raw: bytes) -> ParsedFile:
    module = _module(path)
    name = PurePosixPath(path)
    try:
        parsed: ParsedFile = module.parse(name.stem, raw)
    except NotReadable:
        raise
    except Exception as error:  # a parser that stumbles over one file must not stop the others
        raise NotReadable(one_line(f"{module.VERSION} failed on it: {type(error).__name__}: {error}")) from error
    return parsed


def _module(path: str) -> ModuleType:
    suffix = _suffix(path)
    if suffix not in _BY_SUFFIX:
        raise NotReadable(f"no reader for {suffix}" if suffix else "no reader for files without a suffix")
    return _BY_SUFFIX[suffix]


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()
