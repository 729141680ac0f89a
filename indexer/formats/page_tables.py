"""Finds tables among the printed lines of a page: rows whose pieces are aligned below a header.

A PDF does not mark tables. Columns of prose are aligned too, so lines count as a table only if the first of them
names columns that have values below. All others stay text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median
from typing import NamedTuple, Protocol

from deformer_qa.indexer.formats.tables import Row, is_header, is_value, joined_header, named, plain

_FEWEST_ROWS = 2
_MOST_STARTS = 3  # lines at the head of a run that may be the header
_MOST_LINES_OF_A_HEADER = 3
_NEAREST, _FARTHEST = 0.5, 3.5  # distance of rows, from baseline to baseline, times their size
_SAME = 0.2  # sizes differ by less than this in a table
_TIGHT = 0.9  # of the usual distance of rows: a nearer line continues the row above
_MOST_COLUMNS = 60
_MOST_WORDS = 6  # in a line inside a table that is a single piece
_CORNER = -1  # the column of row names, if the header does not name it


class Piece(NamedTuple):
    """A part of a printed line between wide gaps; lengths in points."""

    text: str
    left: float
    right: float


class PrintedLine(Protocol):
    """The parts of a line used here: pieces from left to right, position, and height of its letters."""

    @property
    def pieces(self) -> tuple[Piece, ...]: ...
    @property
    def baseline(self) -> float: ...
    @property
    def size(self) -> float: ...


class _Line(NamedTuple):
    """A line as seen on the page; the file may store it as ``n_parts`` lines side by side."""

    pieces: tuple[Piece, ...]
    baseline: float
    size: float
    n_parts: int


@dataclass(frozen=True)
class PrintedTable:
    """A table of ``n_lines`` printed lines, and the lines to write for it."""

    n_lines: int
    written: tuple[str, ...]


def tables(printed: Sequence[PrintedLine]) -> dict[int, PrintedTable]:
    """The tables of a page, by the number of their first line."""
    found: dict[int, PrintedTable] = {}
    lines = _seen_lines(printed)
    starts = [0, *accumulate(line.n_parts for line in lines)]
    for start, end in _runs(lines):
        at, n_tried = start, 0
        while n_tried < _MOST_STARTS and end - at > _FEWEST_ROWS:
            run = lines[at:end]
            table = (_with_groups(run) or _with_header(run)) if len(run[0].pieces) > 1 else None
            if table is not None:
                following = at + table.n_lines
                found[starts[at]] = PrintedTable(starts[following] - starts[at], table.written)
                at, n_tried = following, 0
            else:
                n_tried += len(run[0].pieces) > 1
                at += 1
    return found


def _seen_lines(printed: Sequence[PrintedLine]) -> list[_Line]:
    """Join lines at the same height, because a file may store the cells of a row as separate lines."""
    lines: list[_Line] = []
    for line in printed:
        before = lines[-1] if lines else None
        if (
            before is not None
            and before.n_parts < _MOST_COLUMNS
            and abs(before.baseline - line.baseline) < _SAME * line.size
            and abs(before.size - line.size) <= _SAME * line.size
            and before.pieces[-1].right < line.pieces[0].left
        ):
            lines[-1] = before._replace(pieces=(*before.pieces, *line.pieces), n_parts=before.n_parts + 1)
        else:
            lines.append(_Line(line.pieces, line.baseline, line.size, 1))
    return lines


def _runs(lines: Sequence[_Line]) -> Iterator[tuple[int, int]]:
    """Yield start and end of runs that may be tables: close lines, each with a gap or with few words."""
    start = n_parted = 0
    for number, line in enumerate(lines):
        if number > start and not _follows(lines[number - 1], line):
            if n_parted > _FEWEST_ROWS:
                yield start, number
            start, n_parted = number, 0
        is_text = len(line.pieces) == 1 and len(line.pieces[0].text.split()) > _MOST_WORDS
        n_parted += len(line.pieces) > 1
        if is_text or len(line.pieces) > _MOST_COLUMNS:
            if n_parted > _FEWEST_ROWS:
                yield start, number
            start, n_parted = number + 1, 0
    if n_parted > _FEWEST_ROWS:
        yield start, len(lines)


def _follows(above: _Line, line: _Line) -> bool:
    size = max(above.size, line.size)
    return (
        abs(above.size - line.size) <= _SAME * size
        and _NEAREST * size < above.baseline - line.baseline < _FARTHEST * size
    )


def _with_header(lines: Sequence[_Line]) -> PrintedTable | None:
    """A table whose header is the first line, or several lines closer to each other than the rows."""
    usual = _usual_distance(lines)
    columns = _Columns()
    n_header = 0
    for line in lines[:_MOST_LINES_OF_A_HEADER]:
        is_near = n_header and lines[n_header - 1].baseline - line.baseline < _TIGHT * usual
        if n_header and (not is_near or any(is_value(piece.text) for piece in line.pieces)):
            break
        if not columns.add_names(line.pieces):
            break
        n_header += 1
    header = Row(0, tuple(columns.names.items()))
    n_lines, rows = _rows(lines[n_header:], columns, usual)
    below = [Row(0, tuple(row.items())) for row in rows]
    if not _are_rows(rows) or not is_header(header, below, is_first=False):
        return None
    written = (plain([text for _, text in header.cells]), *(_written(row, columns.names) for row in rows))
    return PrintedTable(n_header + n_lines, written)


def _with_groups(lines: Sequence[_Line]) -> PrintedTable | None:
    """A table whose first line names groups of equally many columns, and whose second names the columns."""
    groups, columns = list(lines[0].pieces), _Columns()
    if len(groups) >= len(lines[1].pieces) or not columns.add_names(lines[1].pieces):
        return None
    first, cells, wide = 1, [], []
    if groups[0].right < columns.left_of(0):  # the first piece names the rows
        first, cells = 0, [(_CORNER, groups.pop(0).text)]
    n_over, rest = divmod(len(columns.names) - first, max(1, len(groups)))
    if len(groups) < 2 or n_over < 2 or rest:
        return None
    for number, group in enumerate(groups):
        over = first + number * n_over, first + (number + 1) * n_over - 1
        if not columns.left_of(over[0]) < (group.left + group.right) / 2 < columns.right_of(over[1]):
            return None
        cells.append((over[0], group.text))
        wide.append(over)
    header = Row(0, tuple(columns.names.items()))
    n_lines, rows = _rows(lines[2:], columns, _usual_distance(lines))
    below = [Row(0, tuple(row.items())) for row in rows]
    names = joined_header(Row(0, tuple(cells), tuple(wide)), header, below) if _are_rows(rows) else {}
    if not names:
        return None
    heads = (plain([text for _, text in cells]), plain([text for _, text in header.cells]))
    return PrintedTable(2 + n_lines, (*heads, *(_written(row, names) for row in rows)))


class _Columns:
    """The positions and names of a table's columns; a column widens with the pieces found in it."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._places: dict[int, tuple[float, float]] = {}

    def left_of(self, column: int) -> float:
        """The left edge of a column."""
        return self._places[column][0]

    def right_of(self, column: int) -> float:
        """The right edge of a column."""
        return self._places[column][1]

    def add_names(self, pieces: Sequence[Piece]) -> bool:
        """Add a line of the header; returns False, unchanged, if a piece of it spans several columns."""
        above = [[self.names[column]] for column in self.names]
        places = list(self._places.values())
        for piece in pieces:
            hit = [number for number, place in enumerate(places) if _overlap(piece, place)]
            if len(hit) > 1:
                return False
            if hit:
                above[hit[0]].append(piece.text)
                places[hit[0]] = _around(piece, places[hit[0]])
            else:
                above.append([piece.text])
                places.append((piece.left, piece.right))
        order = sorted(range(len(places)), key=lambda number: places[number])
        if any(places[one][1] > places[other][0] for one, other in pairwise(order)):
            return False
        self.names = {column: " ".join(above[number]) for column, number in enumerate(order)}
        self._places = {column: places[number] for column, number in enumerate(order)}
        return True

    def placed(self, pieces: Sequence[Piece]) -> dict[int, str]:
        """The texts of a line by column; {} if a piece is in no column, in several, or in one already filled."""
        places, cells = dict(self._places), {}
        for piece in pieces:
            hit = [column for column, place in places.items() if _overlap(piece, place)]
            if not hit and _CORNER not in places and piece.right < places[0][0]:
                hit = [_CORNER]
            if len(hit) != 1 or hit[0] in cells:
                return {}
            cells[hit[0]] = piece.text
            places[hit[0]] = _around(piece, places.get(hit[0], (piece.left, piece.right)))
        ordered = sorted(places.values())
        if any(one[1] > other[0] for one, other in pairwise(ordered)):
            return {}
        self._places = places
        return dict(sorted(cells.items()))


def _overlap(piece: Piece, place: tuple[float, float]) -> bool:
    return piece.left < place[1] and place[0] < piece.right


def _around(piece: Piece, place: tuple[float, float]) -> tuple[float, float]:
    return min(piece.left, place[0]), max(piece.right, place[1])


def _rows(lines: Sequence[_Line], columns: _Columns, usual: float) -> tuple[int, list[dict[int, str]]]:
    """The number of lines from here that are rows of the table, and the rows' texts by column.

    A line close to the row above continues it, if it lacks the first cell or has a single one.
    """
    rows: list[dict[int, str]] = []
    ends = [0]  # after how many lines each row ends
    for number, line in enumerate(lines):
        cells = columns.placed(line.pieces)
        if not cells:
            break
        is_near = number > 0 and lines[number - 1].baseline - line.baseline < _TIGHT * usual
        if is_near and rows and (len(cells) == 1 or min(cells) > min(rows[-1])):
            for column, text in cells.items():
                rows[-1][column] = f"{rows[-1].get(column, '')} {text}".strip()
            rows[-1] = dict(sorted(rows[-1].items()))
            ends[-1] = number + 1
        else:
            rows.append(cells)
            ends.append(number + 1)
    while rows and _heads_rows(rows[-1]):  # no rows follow it, so it is text below the table
        rows.pop()
        ends.pop()
    return ends[-1], rows


def _heads_rows(row: dict[int, str]) -> bool:
    return len(row) == 1 and min(row) <= 0


def _are_rows(rows: Sequence[dict[int, str]]) -> bool:
    """Whether there are enough rows, and the first is not another line of the header."""
    filled = [row for row in rows if len(row) > 1]
    if len(filled) < _FEWEST_ROWS or 2 * len(filled) < len(rows):
        return False
    return any(map(is_value, filled[0].values()))


def _written(row: dict[int, str], names: dict[int, str]) -> str:
    if _heads_rows(row):
        return plain(list(row.values()))
    return named((names.get(column, ""), text) for column, text in row.items())


def _usual_distance(lines: Sequence[_Line]) -> float:
    return median(one.baseline - other.baseline for one, other in pairwise(lines))
