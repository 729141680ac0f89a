"""Splits a text into units that an answer must not cross: sentences, list items, headings and cells."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from deformer_qa.reader.borders.cells import cells_of
from deformer_qa.reader.passages import Span, sentence_ends

_LINE = re.compile(r"[^\n]+")
ITEM = re.compile(r"\s*(?:[-*•‣◦▪+]|\d{1,3}[.)]|[a-zA-Z][.)]|\(\w{1,3}\))\s+(?=\S)")
"""The mark of an item of a list."""
_HEADING = re.compile(r"\s*#{1,6}\s+|(?:\s*[=~^-]{3,}\s*$)")
_LONGEST_ROW = 250  # characters of a row kept as one statement; a longer cell holds sentences
_SHORT = 0.5  # of the longest line of its block: a shorter line was ended, not wrapped
_BEGINS = re.compile(r"\s*[\"'“‘«(\[]*[^\Wa-z_]")


def units(text: str) -> list[Span]:
    """The units of a text, in order; text outside of them (item marks, column names) is never in an answer.

    A line that was only wrapped continues in the next one.
    """
    ends = sentence_ends(text)
    return [unit for line in _lines_joined(text) for cell in line.cells for unit in _sentences(cell, ends)]


@dataclass(frozen=True)
class Statement(Span):
    """A part of a text that makes one statement.

    :ivar is_row: whether it is a row of a table, or part of one
    """

    is_row: bool = False


@lru_cache(maxsize=256)
def statements(text: str) -> tuple[Statement, ...]:
    """The statements of a text, in order: sentences, items, headings, and table rows with all their cells.

    The latest texts are cached, because every span of a passage asks for the passage's statements.
    """
    ends = sentence_ends(text)
    found = []
    for line in _lines_joined(text):
        is_short_row = line.is_row and line.whole.end - line.whole.start <= _LONGEST_ROW
        for one in [line.whole] if is_short_row else _sentences(line.whole, ends):
            part = text[one.start : one.end]
            if part.strip():
                start = one.start + len(part) - len(part.lstrip())
                found.append(Statement(start, start + len(part.strip()), line.is_row))
    return tuple(found)


def statement_around(text: str, start: int, end: int) -> Span:
    """The statement, or statements, that ``text[start:end]`` stands in."""
    touched = [one for one in statements(text) if one.end > start and one.start < max(end, start + 1)]
    if not touched:
        return Span(start, end)
    return Span(min(touched[0].start, start), max(touched[-1].end, end))


@dataclass(frozen=True)
class _Line:
    """A line without its mark, together with its wrapped lines; a row's cells, else the whole line as one part."""

    whole: Span
    cells: tuple[Span, ...]
    is_row: bool = False

    @classmethod
    def of_text(cls, start: int, end: int) -> _Line:
        return cls(Span(start, end), (Span(start, end),))


def _sentences(part: Span, ends: Sequence[int]) -> list[Span]:
    """A part of a text, split at sentence ends."""
    inside = ends[bisect_right(ends, part.start) : bisect_left(ends, part.end)]
    return [Span(start, end) for start, end in pairwise([part.start, *inside, part.end])]


@lru_cache(maxsize=64)  # a passage needs its units once, and its statements once per span
def _lines_joined(text: str) -> tuple[_Line, ...]:
    if "\n" not in text and "|" not in text:
        return (_Line.of_text(0, len(text)),)
    found: list[_Line] = []
    block: list[tuple[int, str]] = []
    for match in _LINE.finditer(text):
        line = match.group()
        follows = bool(block) and block[-1][0] + len(block[-1][1]) + 1 == match.start()
        if block and not (follows and line.strip()):
            found += _of_block(block)
            block = []
        if line.strip():
            block.append((match.start(), line))
    return (*found, *(_of_block(block) if block else ()))


def _of_block(block: Sequence[tuple[int, str]]) -> list[_Line]:
    """The lines between two blank ones."""
    found: list[_Line] = []
    longest = max(len(line) for _, line in block)
    goes_on = False
    for number, ((start, line), cells) in enumerate(zip(block, cells_of([line for _, line in block]), strict=True)):
        if cells is not None:
            inside = tuple(Span(start + first, start + last) for first, last in cells if last > first)
            found.append(_Line(Span(start, start + len(line)), inside, is_row=True))
            goes_on = False
            continue
        item, heading = ITEM.match(line), _HEADING.match(line)
        mark = item or heading
        if goes_on and not mark:
            found[-1] = _Line.of_text(found[-1].whole.start, start + len(line))
        else:
            begin = mark.end() if mark else 0
            if begin < len(line):
                found.append(_Line.of_text(start + begin, start + len(line)))
        below = block[number + 1][1] if number + 1 < len(block) else ""
        was_ended = len(line) < _SHORT * longest and _BEGINS.match(below) is not None
        goes_on = not heading and not was_ended
    return found
