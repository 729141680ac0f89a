"""Plain text: the document is the file, character for character."""

from __future__ import annotations

from deformer_qa.indexer.formats.decoding import decode
from deformer_qa.indexer.formats.limits import FileLimits
from deformer_qa.indexer.formats.parsed import ParsedDocument, ParsedFile


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document without title and headings."""
    notes: list[str] = []
    return ParsedFile((ParsedDocument("", "", decode(raw, notes)),), notes=tuple(notes))
