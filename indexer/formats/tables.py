"""Turns tables into lines of text that can answer questions: one per row, naming its columns if a header does."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.parsed import FileLimits

_SAMPLE_ROWS = 20  # examined below a row to tell whether it is a header
_LONGEST_NAME = 80  # characters of a column's name
LONGEST_REPEATED = 80  # characters of a merged cell that is repeated for each column or row
_YEAR = re.compile(r"(?:19|20)\d\d")
_VALUE = re.compile(r"(?=.*\d)[^A-Za-z]*(?:[A-Za-z]{1,3}[^A-Za-z]*)?", re.DOTALL)
_HALF = 0.5  # of the rows below a header, at most, may have cells beside its columns


class Row(NamedTuple):
    """A row that is not empty.

    :ivar number: as a spreadsheet shows it, from 1
    :ivar cells: (column, text on one line) for each cell that is not empty, in order
    :ivar wide: (first, last column) of the cells that are merged sideways
    """

    number: int
    cells: tuple[tuple[int, str], ...]
    wide: tuple[tuple[int, int], ...] = ()

    @property
    def columns(self) -> frozenset[int]:
        """The columns that are filled."""
        return frozenset(column for column, _ in self.cells)


def row(number: int, texts: Sequence[str]) -> Row:
    """Make a row from all its cells, some of which may be empty."""
    return Row(number, tuple((column, text) for column, text in enumerate(texts) if text))


def lay_out(layout: Layout, rows: Iterable[Row], limits: FileLimits, *, is_numbered: bool = True) -> None:
    """Write rows line by line, with their numbers. Stops beyond the limit of characters: the file is refused then.

    :param rows: ascending; rows without cells are skipped.
    :param is_numbered: whether their numbers are those that a person sees.
    """
    expected = -1
    for number, line in _lines(one for one in rows if one.cells):
        layout.line_break()
        if is_numbered and number != expected:
            layout.locate("row", number)
        layout.text(line)
        layout.line_break()
        expected = number + 1
        if layout.n_characters > limits.text_characters:
            return


def _lines(rows: Iterator[Row]) -> Iterator[tuple[int, str]]:
    """Yield each row's number and line. Empty rows separate tables; one without a header uses the previous header."""
    names: dict[int, str] = {}
    below: deque[Row] = deque(islice(rows, _SAMPLE_ROWS))
    at = -2
    n_to_search = 0  # how many more rows may be this table's header
    n_pairs = 0  # how many more rows are pairs of name and value
    is_rest_of_header = False
    while below:
        this = below.popleft()
        below.extend(islice(rows, 1))
        n_to_search = _SAMPLE_ROWS if this.number > at + 1 else max(0, n_to_search - 1)
        at = this.number
        same = _same_table(this, below) if n_to_search else []
        joined = joined_header(this, same[0], same[1:]) if same and not n_pairs else {}
        if is_rest_of_header:
            is_rest_of_header, n_to_search = False, 0
            yield at, plain([text for _, text in this.cells])
            continue
        if joined:
            names, is_rest_of_header = joined, True
            yield at, plain([text for _, text in this.cells])
            continue
        if not n_pairs and same and len(same) < _SAMPLE_ROWS and _kinds_are_mixed([this, *same]):
            names, n_pairs = {}, len(same) + 1
        if n_pairs:
            n_pairs -= 1
            yield at, named([(this.cells[0][1], this.cells[-1][1])])
        elif n_to_search and is_header(this, same, is_first=not names):
            names, n_to_search = {min(this.columns) - 1: "", **dict(this.cells)}, 0
            yield at, plain([text for _, text in this.cells])
        elif (
            names
            and all(column in names for column, _ in this.cells)
            and not (n_to_search and _is_title(this))
            and not _heads_rows(this, names)
        ):
            n_to_search = 0
            yield at, named(_pairs(this, names))
        else:
            yield at, plain([text for _, text in this.cells])


def _pairs(this: Row, names: dict[int, str]) -> Iterator[tuple[str, str]]:
    """Name and text of each cell. A cell merged sideways is repeated for each of its columns, a row's label is not."""
    wide = dict(this.wide)
    for number, (column, text) in enumerate(this.cells):
        is_once = number == 0 or len(text) > LONGEST_REPEATED
        for one in range(column, (column if is_once else wide.get(column, column)) + 1):
            if one in names:
                yield names[one], text


def _heads_rows(this: Row, names: dict[int, str]) -> bool:
    """Whether a row is one cell over the whole table, a heading of the rows below it."""
    column = this.cells[0][0]
    return len(this.cells) == 1 and column <= min(names) + 1 and dict(this.wide).get(column, -1) >= max(names)


def _is_title(this: Row) -> bool:
    return len(this.cells) == 1 and not is_value(this.cells[0][1])


def _same_table(this: Row, below: Iterable[Row]) -> list[Row]:
    found: list[Row] = []
    for number, one in enumerate(below, this.number + 1):
        if one.number != number:
            break
        found.append(one)
    return found


def is_header(this: Row, below: Sequence[Row], *, is_first: bool) -> bool:
    """Whether a row names the columns of the rows below: by kinds of cells or, in the first table, by its look alone.

    The corner above the row names may be empty.
    """
    texts = [text for _, text in this.cells]
    if len(texts) < 2 or not all(map(_may_name, texts)):
        return False
    if all(map(is_value, texts)) and not any(min(this.columns) - 1 in one.columns for one in below):
        return False
    return _stands_over(dict(this.cells), {column: [text] for column, text in this.cells}, below, is_first=is_first)


def joined_header(groups: Row, this: Row, below: Sequence[Row]) -> dict[int, str]:
    """Column names from two rows, "2024" over "Area" and "Yield"; {} if they are no header of the rows below.

    A group ends with its merged cell. If no cell of its row is merged, it ends before the next group, and the row only
    counts as groups if each has several columns.
    """
    parts = {column: [text] for column, text in this.cells}
    wide, columns = dict(groups.wide), sorted(groups.columns)
    if not all(_may_name(text) for _, text in (*groups.cells, *this.cells)):
        return {}
    n_over = []
    for (column, text), following in zip(groups.cells, [*columns[1:], max(this.columns) + 1], strict=True):
        end = wide.get(column, column) + 1 if wide else following
        own = [one for one in range(column, min(end, max(this.columns) + 1)) if one in parts]
        if column not in parts:
            own = [column, *own] if wide else [column]
        elif not wide and len(own) < 2:
            return {}
        n_over.append(len(own))
        for one in own:
            parts[one] = [text, *(part for part in parts.get(one, []) if part != text)]
    if max(n_over) < 2 or (len(n_over) == 1 and columns[0] == min(parts)):  # one over the first column is a title
        return {}
    joined = {column: " ".join(parts[column]) for column in sorted(parts)}
    if not _stands_over(joined, parts, below, is_first=False):
        return {}
    return {min(joined) - 1: "", **joined}


def _may_name(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and bool(_YEAR.fullmatch(text) or not _VALUE.fullmatch(text))


def _stands_over(names: dict[int, str], parts: dict[int, list[str]], below: Sequence[Row], *, is_first: bool) -> bool:
    """Whether column names fit the rows below; ``parts`` has the texts that each name was joined from."""
    if not below or len(set(names.values())) < len(names):
        return False
    with_corner = {min(names) - 1, *names}
    if sum(not one.columns <= with_corner for one in below) > _HALF * len(below):
        return False
    columns: dict[int, list[str]] = {column: [] for column in names}
    for one in below:
        for column, text in one.cells:
            columns.setdefault(column, []).append(text)
    if any(name in columns[column] for column, name in names.items()):
        return False
    kinds_differ = any(
        not all(map(is_value, parts[column])) and 2 * sum(map(is_value, columns[column])) > len(columns[column])
        for column in names
    )
    return kinds_differ or is_first


def are_pairs(rows: Sequence[Row]) -> bool:
    """Whether rows are pairs of name and value: two columns, the first with different words in each row."""
    if len(rows) < 2 or any(len(one.cells) != 2 or one.columns != rows[0].columns for one in rows):
        return False
    names = {one.cells[0][1] for one in rows}
    return len(names) == len(rows) and all(len(name) <= _LONGEST_NAME and not is_value(name) for name in names)


def _kinds_are_mixed(rows: Sequence[Row]) -> bool:
    """Whether rows are pairs whose values, below the first, are of both kinds: a filled form."""
    kinds = {is_value(one.cells[-1][1]) for one in rows[1:]}
    return len(kinds) == 2 and are_pairs(rows)


def is_value(text: str) -> bool:
    """Whether a text looks like a number, an amount, a date or a code, rather than words."""
    return _VALUE.fullmatch(text) is not None


def named(pairs: Iterable[tuple[str, str]]) -> str:
    """A line of "name: text" pairs; a text without a name stands alone."""
    line = ", ".join(f"{name.rstrip(' :')}: {text}" if name else text for name, text in pairs)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def plain(texts: Sequence[str]) -> str:
    """A line of texts without names."""
    return texts[0] if len(texts) == 1 else f"| {' | '.join(texts)} |"


_WIDEST = 1_000  # columns; merged cells are cut off there


class Cell(NamedTuple):
    """One cell of a document's table.

    :ivar text: on one line, '' if empty
    :ivar is_name: whether the document marks it as the name of its row or column
    :ivar n_columns, n_rows: columns and rows that it spans; 0 rows: it continues the cell above
    """

    text: str
    is_name: bool = False
    n_columns: int = 1
    n_rows: int = 1


class _Placed(NamedTuple):
    """A cell in its row, over columns ``first`` to ``last``; ``is_own`` unless it reaches down from a row above."""

    text: str
    is_name: bool
    first: int
    last: int
    is_own: bool = True


_Line = list[_Placed]


def lines(rows: Iterable[Sequence[Cell]]) -> list[str]:
    """A line for each row; '' if it has no text of its own.

    A row that consists of names names the columns below it, together with adjacent such rows. Without one, the header
    is recognised by its look. Names at the start of a row precede its values: "Born: 1950."
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
    """The non-empty cells at their columns, including those that reach down from rows above."""
    grid: list[_Line] = []
    reaching: dict[int, tuple[_Placed, int]] = {}  # by first column: a cell above, and how many more rows it covers
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
    """Whether a row consists of names of columns, not only the name of the row or of a part of the table."""
    return all(cell.is_name for cell in row) and any(cell.first > 0 and cell.is_own for cell in row)


def _as_row(row: _Line) -> Row:
    wide = tuple((cell.first, cell.last) for cell in row if cell.last > cell.first)
    return Row(0, tuple((cell.first, cell.text) for cell in row), wide)


def _seen_header(grid: Sequence[_Line]) -> dict[int, dict[int, str]]:
    """The one or two rows that look like the header, by number, with the names that they give the columns."""
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
    # The first of several pairs is as likely a pair as the header: "Author | Ann" above "Publisher | Kestrel".
    is_sure = max(len(row) for row in grid) > 2 or all(is_value(one.cells[-1][1]) for one in below)
    return {at: dict(header.cells)} if is_sure and is_header(header, below, is_first=True) else {}


def _joined(names: dict[int, str], header: _Line) -> dict[int, str]:
    """The columns' names, extended by a further row of the header."""
    joined = dict(names)
    for cell in header:
        for column in range(cell.first, cell.last + 1):
            before = joined.get(column, "")
            if not before.endswith(cell.text):
                joined[column] = f"{before} {cell.text}".strip()
    return joined


def _is_section(row: _Line, width: int) -> bool:
    """Whether a row is a single cell: a heading of the rows below it, or a remark."""
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
    """The columns for which a cell is written: a value for each that it spans, a label at the row's start once."""
    if cell.first == 0 or len(cell.text) > LONGEST_REPEATED:
        return [cell.first]
    return [column for column in range(cell.first, cell.last + 1) if column == cell.first or column in names]


def _bars(row: _Line) -> str:
    return plain([cell.text for cell in row])
