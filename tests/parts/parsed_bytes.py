"""Reads the bytes of a file as ``qa index`` does, but in this process and without limits of time and memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from deformer_qa.indexer import FileLimits, formats
from deformer_qa.indexer.formats import NotReadable, ParsedFile


def parse(path: str, raw: bytes) -> ParsedFile:
    """The documents of a file of this name with these bytes, their hashes set."""
    if not raw:
        raise NotReadable("empty", "empty")
    format_ = formats.format_of(path, raw)
    parsed = formats.parse(format_, PurePosixPath(path).stem, raw, FileLimits())
    own = formats.hashes(format_, raw)
    return replace(parsed, documents=tuple(replace(one, content_hash=own[one.record]) for one in parsed.documents))


def hashes(path: str, raw: bytes) -> dict[str, str]:
    """The hashes of such a file's documents."""
    return formats.hashes(formats.format_of(path, raw), raw)
