"""reStructuredText: the document is the source, character for character, so that nothing in a directive is lost.

Tables that are drawn in it are lines that name their columns instead, as in other formats.

Headings are found by the lines drawn under them, as the format defines them. docutils would find the same ones, but it
does what a file tells it to unless that is forbidden, and its time grows with the square of equal titles.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from deformer_qa.indexer.formats.decoding import decode
from deformer_qa.indexer.formats.edits import edited
from deformer_qa.indexer.formats.limits import FileLimits
from deformer_qa.indexer.formats.parsed import ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.rst_tables import edits

_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*[ \t]*$")
_LONGEST_TITLE = 300
_MARKED = re.compile(
    r"``(?P<literal>.+?)``|(?::[\w:+.-]+:)?`(?P<text>[^`<]+?)(?:\s*<[^`>]*>)?`_{0,2}|\*\*(?P<strong>[^*]+)\*\*"
    r"|\*(?P<emphasis>[^*]+)\*|\|(?P<replaced>[^|]+)\|"
)


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is its first heading. Headings are at the lines of their text."""
    notes: list[str] = []
    text = decode(raw, notes)
    text, outline = edited(text, tuple(_headings(text)), edits(text, _unmarked))
    title = outline[0][1] if outline else ""
    return ParsedFile((ParsedDocument("", title, text, outline),), (), tuple(notes))


def _headings(text: str) -> Iterator[tuple[int, str]]:
    """A line of text with a line of one mark under it, as long as the text, and nothing or the same line above it."""
    above, line, start = "", "", 0
    for found in _LINE.finditer(text):
        below = found[1]
        drawn = _ADORNMENT.match(below)
        if drawn and line.strip() and len(line) <= _LONGEST_TITLE and not _ADORNMENT.match(line):
            is_overlined = above.rstrip() == below.rstrip()
            is_alone = not above.strip() and not line[0].isspace()
            if (is_overlined or is_alone) and len(below.rstrip()) >= min(4, _width(line.strip())):
                yield start + len(line) - len(line.lstrip()), _unmarked(line)
        above, line, start = line, below, found.start()


def _unmarked(text: str) -> str:
    """A text on one line as a reader sees it; in a long one marks stay, as some take for ever to match."""
    return one_line(_MARKED.sub(_visible, text) if len(text) <= _LONGEST_TITLE else text)


def _visible(marked: re.Match[str]) -> str:
    return next(part for part in marked.groups() if part is not None)


def _width(text: str) -> int:
    """How many columns a text takes."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide
