"""Plain text: the document is the file, character for character."""

from __future__ import annotations

from deformer_qa.indexer.formats.decoding import decode
from deformer_qa.indexer.formats.parsed import ParsedDocument, ParsedFile, content_hash

VERSION = "text2"
SUFFIXES = (".txt", ".text")


def parse(name: str, raw: bytes) -> ParsedFile:
    """One document without headings.

    :param name: the file's name without its suffix, the title where there is no better one.
    """
    return ParsedFile((ParsedDocument("", name, decode(raw), (), content_hash(VERSION, raw)),))
