"""Plain text: the document is the file, character for character."""

from __future__ import annotations

from deformer_qa.indexer.formats.parsed import FileLimits, ParsedDocument, ParsedFile
from deformer_qa.indexer.formats.text_encoding import decode


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document without title and headings."""
    notes: list[str] = []
    return ParsedFile((ParsedDocument("", "", decode(raw, notes)),), notes=tuple(notes))
