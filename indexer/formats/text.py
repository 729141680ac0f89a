"""Plain text: the document is the file, character for character."""

from __future__ import annotations

from deformer_qa.indexer.formats.decoding import decode
from deformer_qa.indexer.formats.limits import FileLimits
from deformer_qa.indexer.formats.parsed import ParsedDocument, ParsedFile


def parse(name: str, raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document without headings.

    :param name: the file's name without its suffix, the title where there is no better one.
    """
    notes: list[str] = []
    return ParsedFile((ParsedDocument("", name, decode(raw, notes)),), notes=tuple(notes))
