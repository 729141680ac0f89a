"""reStructuredText: the document is the source, character for character, so that nothing in a directive is lost.

As in other formats, drawn tables become lines that name their columns.

Headings are found by the lines drawn under them, as the format defines them. docutils would find the same ones, but it
executes directives of a file unless that is forbidden, and its time grows with the square of equal titles.

A table that is not drawn exactly stays as it is, and so does one with cells over several rows of a grid, or in a
literal block. Tables of directives (list-table, csv-table) stay as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, takewhile

from deformer_qa.indexer.formats.builder import Edit, edited
from deformer_qa.indexer.formats.parsed import FileLimits, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.tables import Cell, lines
from deformer_qa.indexer.formats.text_encoding import decode

_TABLE_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_BORDER = re.compile(r"=+(?: +=+)+")
_SPANS = re.compile(r"-+(?: +-+)*")
_GRID = re.compile(r"\+(?:-+\+)+|\+(?:=+\+)+")
_LITERAL = re.compile(
    r"\.\.[ \t]+(?:code|code-block|sourcecode|parsed-literal|raw|math|prompt|productionlist)::.*|(?!\.\.[ \t]).*::"
)
_MOST_LINES = 10_000  # of a table
_Rows = list[list[Cell]]


def edits(text: str, visible: Callable[[str], str]) -> Iterator[Edit]:
    """The edits that replace each table by its rows, with the table's indent.

    :param visible: a cell's text without marks
    """
    found = [(one[1].expandtabs(), one.start(), one.end(), one[2]) for one in _TABLE_LINE.finditer(text)]
    drawn = [line.rstrip() for line, *_ in found]
    literal_indent = -1
    at = n_lines = 0
    while (at := at + n_lines) < len(drawn):
        line, n_lines = drawn[at].lstrip(), 1
        indent = len(drawn[at]) - len(line)
        if line and indent <= literal_indent:
            literal_indent = -1
        if not line or literal_indent >= 0:
            continue
        if line.endswith("::") or line.startswith(".."):
            literal_indent = indent if _LITERAL.fullmatch(line) else -1
        elif line[0] in "+=":
            n_lines, rows = _table(drawn, at, indent)
            last = found[at + n_lines - 1]
            cells = ([cell._replace(text=visible(cell.text)) for cell in row] for row in rows)
            written = [f"{' ' * indent}{row}" for row in lines(cells) if row]
            if written:
                yield Edit(found[at][1], last[2], found[at][3].join(written) + last[3])


def _table(drawn: Sequence[str], at: int, indent: int) -> tuple[int, _Rows]:
    """The number of lines to advance, and the rows of the table in them; no rows if none is drawn exactly."""
    first = drawn[at][indent:]
    if _GRID.fullmatch(first) and first.count("+") > 2:
        block = _grid_block(drawn, at, indent)
        return len(block), _of_grid(block)
    if _BORDER.fullmatch(first) and (block := _simple_block(drawn, at, indent)):
        rows = _of_simple(block)
        return len(block) if rows else 1, rows
    return 1, []


def _grid_block(drawn: Sequence[str], at: int, indent: int) -> list[str]:
    lines_from_here = (drawn[number][indent:] for number in range(at, min(at + _MOST_LINES, len(drawn))))
    return list(takewhile(lambda line: line.startswith(("+", "|")), lines_from_here))


def _simple_block(drawn: Sequence[str], at: int, indent: int) -> list[str]:
    """The lines from a border to the second or third one that an empty line follows; none if there is no such."""
    block: list[str] = []
    n_borders = 0
    for number in range(at, min(at + _MOST_LINES, len(drawn))):
        line = drawn[number]
        if line[:indent].strip() or n_borders == 3:
            break
        block.append(line[indent:])
        if _BORDER.fullmatch(block[-1]):
            n_borders += 1
            if n_borders > 1 and not "".join(drawn[number + 1 : number + 2]):
                return block
    return []


def _of_grid(block: Sequence[str]) -> _Rows:
    places = sorted({place for line in block if line[0] == "+" for place, mark in enumerate(line) if mark == "+"})
    width = places[-1] + 1
    rows: _Rows = []
    band: list[str] = []
    n_names = 0
    for line in block:
        if len(line) != width or line[-1] not in "+|":
            return []
        if line[0] == "|":
            if re.search(r"\+-+[+|]", line):  # a cell over several rows
                return []
            band.append(line)
            continue
        if not _GRID.fullmatch(line):
            return []
        if band:
            rows.append(_cells_of_band(band, places))
        n_names = len(rows) if "=" in line else n_names
        band = []
    if band or not rows or not all(rows):
        return []
    return _with_names(rows, n_names)


def _cells_of_band(band: Sequence[str], places: Sequence[int]) -> list[Cell]:
    """A row of a grid; a cell ends where all its lines have a bar at the end of a column."""
    ends = [place for place in places if all(line[place] == "|" for line in band)]
    cells = []
    for start, end in pairwise(ends):
        text = one_line(" ".join(line[start + 1 : end] for line in band))
        cells.append(Cell(text, n_columns=places.index(end) - places.index(start)))
    return cells


def _of_simple(block: Sequence[str]) -> _Rows:
    columns = [match.start() for match in re.finditer("=+", block[0])]
    rows: _Rows = []
    n_names = 0
    for number, line in enumerate(block[1:-1], 1):
        if _BORDER.fullmatch(line):
            n_names = len(rows)
        elif line and not _SPANS.fullmatch(line):
            below = block[number + 1]
            starts = [match.start() for match in re.finditer("-+", below)] if _SPANS.fullmatch(below) else columns
            if not set(starts) <= set(columns) or any(line[start - 1 : start].strip() for start in starts[1:]):
                return []
            ends = [*starts[1:], None]
            texts = [one_line(line[start:end]) for start, end in zip(starts, ends, strict=True)]
            if not texts[0] and rows and len(rows[-1]) == len(starts):  # continues the row above
                rows[-1] = [
                    cell._replace(text=one_line(f"{cell.text} {text}"))
                    for cell, text in zip(rows[-1], texts, strict=True)
                ]
                continue
            over = [columns.index(start) for start in starts] + [len(columns)]
            rows.append([Cell(text, n_columns=over[n + 1] - over[n]) for n, text in enumerate(texts)])
    return _with_names(rows, n_names)


def _with_names(rows: _Rows, n_names: int) -> _Rows:
    return [[cell._replace(is_name=number < n_names) for cell in row] for number, row in enumerate(rows)]


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
    """Yield headings: text over a line of one repeated mark as long as the text, with nothing or that line above."""
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
    """A text on one line without markup; a long one keeps it, because some take forever to match."""
    return one_line(_MARKED.sub(_visible, text) if len(text) <= _LONGEST_TITLE else text)


def _visible(marked: re.Match[str]) -> str:
    return next(part for part in marked.groups() if part is not None)


def _width(text: str) -> int:
    """How many columns a text takes."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide
