"""How does a table inside a document become lines? One a row; headers and merged cells as the document has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from deformer_qa.indexer.formats.tables import (
    LONGEST_REPEATED,
    Row,
    are_pairs,
    is_header,
    is_value,
    joined_header,
    named,
    plain,
)

_WIDEST = 1_000  # columns that merged cells are followed into


class Cell(NamedTuple):
    """One cell as the document has it.

    :ivar text: on one line, '' without any
    :ivar is_name: whether the document says that it names its row or column
    :ivar n_columns, n_rows: that it is merged over; 0 rows: it goes on with the cell above it
    """

    text: str
    is_name: bool = False
    n_columns: int = 1
    n_rows: int = 1


class _Placed(NamedTuple):
    """A cell in its row, over columns ``first`` to ``last``; ``is_own`` unless it comes down from a row above."""

    text: str
    is_name: bool
    first: int
    last: int
    is_own: bool = True


_Line = list[_Placed]


def lines(rows: Iterable[Sequence[Cell]]) -> list[str]:
    """A line for each row; '' where it has no text of its own.

    A row of names only names the columns below it, several such rows together. Without one the header is told by its
    look. Names at the head of a row stand before its values: "Born: 1950."
    """
    grid = _placed(rows)
    width = max((row[-1].last + 1 for row in grid if row), default=0)
    names: dict[int, str] = {}
    n_said = next((number for number, row in enumerate(grid) if _names_columns(row)), -1)
    seen = {} if n_said >= 0 else _seen_header(grid)
    is_pairs = n_said < 0 and not seen and are_pairs([_as_row(row) for row in grid if len(row) > 1])
    found, above_is_header = [], False
    for number, row in enumerate(grid):
        here = _names_columns(row) or number in seen
        if number in seen:
            names = seen[number]
        elif here:
            names = _joined(names if above_is_header else {}, row)
        above_is_header = here
        if not any(cell.is_own for cell in row):
            found.append("")
        elif here or _is_section(row, width):
            found.append(_bars(row))
        elif is_pairs and len(row) == 2:
            found.append(named([(row[0].text, row[1].text)]))
        else:
            found.append(_line(row, names))
    return found


def _placed(rows: Iterable[Sequence[Cell]]) -> list[_Line]:
    """The cells that are not empty, at their columns, with those of rows above that reach down."""
    grid: list[_Line] = []
    reaching: dict[int, tuple[_Placed, int]] = {}  # by first column a cell above, and how many rows it still covers
    above: dict[int, _Placed] = {}
    for cells in rows:
        placed: dict[int, _Placed] = {first: cell._replace(is_own=False) for first, (cell, _) in reaching.items()}
        taken = {column for cell in placed.values() for column in range(cell.first, cell.last + 1)}
        reaching = {first: (cell, n_rows - 1) for first, (cell, n_rows) in reaching.items() if n_rows > 1}
        column = 0
        for cell in cells:
            while column in taken:
                column += 1
            n_columns = max(1, min(cell.n_columns, _WIDEST - column))
            one = _Placed(cell.text, cell.is_name, column, column + n_columns - 1)
            if cell.n_rows == 0 and not cell.text and column in above:
                one = above[column]._replace(is_own=False)
            placed[column] = one
            if cell.n_rows > 1 and column < _WIDEST:
                reaching[column] = one, cell.n_rows - 1
            column += n_columns
        above = {first: cell for first, cell in placed.items() if len(cell.text) <= LONGEST_REPEATED}
        reaching = {first: pair for first, pair in reaching.items() if first in above}
        grid.append([cell for _, cell in sorted(placed.items()) if cell.text])
    return grid


def _names_columns(row: _Line) -> bool:
    """Whether all of a row are names, and they are not that of the row itself or of a part of the table."""
    return all(cell.is_name for cell in row) and any(cell.first > 0 and cell.is_own for cell in row)


def _as_row(row: _Line) -> Row:
    wide = tuple((cell.first, cell.last) for cell in row if cell.last > cell.first)
    return Row(0, tuple((cell.first, cell.text) for cell in row), wide)


def _seen_header(grid: Sequence[_Line]) -> dict[int, dict[int, str]]:
    """By number the one or two rows that look like the header of those below, with the names they give the columns."""
    at = next((number for number, row in enumerate(grid) if len(row) > 1), -1)
    if at < 0 or any(cell.is_name for row in grid for cell in row):
        return {}
    for start in range(max(0, at - 1), min(at + 1, len(grid) - 2)):
        groups, header, *below = map(_as_row, grid[start:])
        if (
            groups.cells
            and header.cells
            and (joined := joined_header(groups, header, [one for one in below if one.cells]))
        ):
            return {start: joined, start + 1: joined}
    header, *below = (_as_row(row) for row in grid[at:] if row)
    # Of pairs the first is as likely a pair as the header: "Author | Ann" above "Publisher | Kestrel".
    is_sure = max(len(row) for row in grid) > 2 or all(is_value(one.cells[-1][1]) for one in below)
    return {at: dict(header.cells)} if is_sure and is_header(header, below, is_first=True) else {}


def _joined(names: dict[int, str], header: _Line) -> dict[int, str]:
    """The columns' names, with those of a further row of the header."""
    joined = dict(names)
    for cell in header:
        for column in range(cell.first, cell.last + 1):
            before = joined.get(column, "")
            if not before.endswith(cell.text):
                joined[column] = f"{before} {cell.text}".strip()
    return joined


def _is_section(row: _Line, width: int) -> bool:
    """Whether a row is one cell that heads the rows below it, or a remark."""
    return len(row) == 1 and (row[0].is_name or row[0].last - row[0].first + 1 >= width)


def _line(row: _Line, names: dict[int, str]) -> str:
    if names:
        return named([(names.get(column, ""), cell.text) for cell in row for column in _held_for(cell, names)])
    n_keys = next((number for number, cell in enumerate(row) if not cell.is_name), len(row))
    if 0 < n_keys < len(row):
        key, values = (", ".join(cell.text for cell in part) for part in (row[:n_keys], row[n_keys:]))
        return named([(key, values)])
    return _bars(row)


def _held_for(cell: _Placed, names: dict[int, str]) -> list[int]:
    """The columns for which a cell is said: "closed" for each of them, a label at the head of a row ("Total") once."""
    if cell.first == 0 or len(cell.text) > LONGEST_REPEATED:
        return [cell.first]
    return [column for column in range(cell.first, cell.last + 1) if column == cell.first or column in names]


def _bars(row: _Line) -> str:
    return plain([cell.text for cell in row])
