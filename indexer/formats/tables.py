"""How does a table become lines that can be asked about? A line a row, which names its columns where a header does."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from deformer_qa.indexer.formats.layout import Layout
from deformer_qa.indexer.formats.limits import FileLimits

_SAMPLE_ROWS = 20  # that are looked at below a row to tell whether it is a header
_LONGEST_NAME = 80  # characters of a column's name
LONGEST_REPEATED = 80  # characters of a merged cell that is written more than once
_YEAR = re.compile(r"(?:19|20)\d\d")
_VALUE = re.compile(r"(?=.*\d)[^A-Za-z]*(?:[A-Za-z]{1,3}[^A-Za-z]*)?", re.DOTALL)
_HALF = 0.5  # of the rows below a header, at most, may have cells beside its columns


class Row(NamedTuple):
    """A row that is not empty.

    :ivar number: as a spreadsheet shows it, from 1
    :ivar cells: (column, text on one line) for each cell that is not empty, in order
    :ivar wide: (first, last column) of those of them that are merged sideways
    """

    number: int
    cells: tuple[tuple[int, str], ...]
    wide: tuple[tuple[int, int], ...] = ()

    @property
    def columns(self) -> frozenset[int]:
        """Those that are filled."""
        return frozenset(column for column, _ in self.cells)


def row(number: int, texts: Sequence[str]) -> Row:
    """A row of all its cells, of which some may be empty."""
    return Row(number, tuple((column, text) for column, text in enumerate(texts) if text))


def lay_out(layout: Layout, rows: Iterable[Row], limits: FileLimits, *, is_numbered: bool = True) -> None:
    """Write rows line by line, with their numbers. Stops beyond the limit of characters, as the file is refused then.

    :param rows: ascending; those without cells are passed over.
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
    """Each row's number and line. Tables are parted by empty rows; one without a header goes on with that before it."""
    names: dict[int, str] = {}
    below: deque[Row] = deque(islice(rows, _SAMPLE_ROWS))
    at = -2
    n_to_search = 0  # rows that may still be this table's header
    n_pairs = 0  # rows from here on that are a name and what it means
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
    """Name and text of each cell. A cell merged sideways is said of each of its columns, a label of the row once."""
    wide = dict(this.wide)
    for number, (column, text) in enumerate(this.cells):
        is_once = number == 0 or len(text) > LONGEST_REPEATED
        for one in range(column, (column if is_once else wide.get(column, column)) + 1):
            if one in names:
                yield names[one], text


def _heads_rows(this: Row, names: dict[int, str]) -> bool:
    """Whether it is one cell over the whole table, which heads the rows below it."""
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
    """Whether a row names the columns of those below: by their kinds, else, in the first table, by the look of it.

    The corner above names of rows may be empty.
    """
    texts = [text for _, text in this.cells]
    if len(texts) < 2 or not all(map(_may_name, texts)):
        return False
    if all(map(is_value, texts)) and not any(min(this.columns) - 1 in one.columns for one in below):
        return False
    return _stands_over(dict(this.cells), {column: [text] for column, text in this.cells}, below, is_first=is_first)


def joined_header(groups: Row, this: Row, below: Sequence[Row]) -> dict[int, str]:
    """Names of columns by two rows, "2024" over "Area" and "Yield"; {} where those are no header of the rows below.

    A group ends with its merged cell. Where none of its row is merged it ends before the next one, and only rows in
    which each group has several columns are taken for groups.
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
    """Whether names of columns fit the rows below them; ``parts`` has the texts that each name was joined of."""
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
    """Whether rows are pairs of a name and what it means: two columns, other words in each row of the first."""
    if len(rows) < 2 or any(len(one.cells) != 2 or one.columns != rows[0].columns for one in rows):
        return False
    names = {one.cells[0][1] for one in rows}
    return len(names) == len(rows) and all(len(name) <= _LONGEST_NAME and not is_value(name) for name in names)


def _kinds_are_mixed(rows: Sequence[Row]) -> bool:
    """Whether they are pairs whose second parts have no kind in common below the first: a filled form."""
    kinds = {is_value(one.cells[-1][1]) for one in rows[1:]}
    return len(kinds) == 2 and are_pairs(rows)


def is_value(text: str) -> bool:
    """Whether it looks like a number, an amount, a date, a code, rather than words."""
    return _VALUE.fullmatch(text) is not None


def named(pairs: Iterable[tuple[str, str]]) -> str:
    """A line of (name, text); a text without a name stands alone."""
    line = ", ".join(f"{name.rstrip(' :')}: {text}" if name else text for name, text in pairs)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def plain(texts: Sequence[str]) -> str:
    """A line of texts that nothing names."""
    return texts[0] if len(texts) == 1 else f"| {' | '.join(texts)} |"
