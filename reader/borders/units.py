"""Which stretches of a text hold an answer whole? Sentences, items of lists, headings and cells, each a unit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deformer_qa.reader.borders.cells import cells_of
from deformer_qa.reader.passages import Span, sentence_ends

_LINE = re.compile(r"[^\n]+")
ITEM = re.compile(r"\s*(?:[-*•‣◦▪+]|\d{1,3}[.)]|[a-zA-Z][.)]|\(\w{1,3}\))\s+(?=\S)")
"""The mark of an item of a list."""
_HEADING = re.compile(r"\s*#{1,6}\s+|(?:\s*[=~^-]{3,}\s*$)")
_SHORT = 0.5  # of the longest line of its block: a line that ends there was ended, not wrapped
_BEGINS = re.compile(r"\s*[\"'“‘«(\[]*[^\Wa-z_]")


def units(text: str) -> list[Span]:
    """The units of a text, in order; what lies in none (marks of items, names of columns) is never in an answer.

    A line that was only wrapped goes on in the next one.
    """
    whole = [Span(0, len(text))] if "\n" not in text and "|" not in text else _lines_joined(text)
    ends = sentence_ends(text)
    found, at = [], 0
    for unit in whole:
        start = unit.start
        while at < len(ends) and ends[at] <= start:
            at += 1
        while at < len(ends) and ends[at] < unit.end:
            found.append(Span(start, ends[at]))
            start = ends[at]
            at += 1
        found.append(Span(start, unit.end))
    return found


def _lines_joined(text: str) -> list[Span]:
    found: list[Span] = []
    block: list[tuple[int, str]] = []
    for match in _LINE.finditer(text):
        line = match.group()
        follows = bool(block) and block[-1][0] + len(block[-1][1]) + 1 == match.start()
        if block and not (follows and line.strip()):
            found += _of_block(block)
            block = []
        if line.strip():
            block.append((match.start(), line))
    return found + (_of_block(block) if block else [])


def _of_block(block: Sequence[tuple[int, str]]) -> list[Span]:
    """The units of lines between two blank ones."""
    found: list[Span] = []
    longest = max(len(line) for _, line in block)
    goes_on = False
    for number, ((start, line), cells) in enumerate(zip(block, cells_of([line for _, line in block]), strict=True)):
        if cells is not None:
            found += [Span(start + first, start + last) for first, last in cells if last > first]
            goes_on = False
            continue
        item, heading = ITEM.match(line), _HEADING.match(line)
        mark = item or heading
        if goes_on and not mark:
            found[-1] = Span(found[-1].start, start + len(line))
        else:
            begin = mark.end() if mark else 0
            if begin < len(line):
                found.append(Span(start + begin, start + len(line)))
        below = block[number + 1][1] if number + 1 < len(block) else ""
        was_ended = len(line) < _SHORT * longest and _BEGINS.match(below) is not None
        goes_on = not heading and not was_ended
    return found
