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
_YEAR = re.compile(r"(?:19|20)\d\d")
_VALUE = re.compile(r"(?=.*\d)[^A-Za-z]*(?:[A-Za-z]{1,3}[^A-Za-z]*)?", re.DOTALL)
_HALF = 0.5  # of the rows below a header, at most, may have cells beside its columns


class Row(NamedTuple):
    """A row that is not empty.

    :ivar number: as a spreadsheet shows it, from 1
    :ivar cells: (column, text on one line) for each cell that is not empty, in order
    """

    number: int
    cells: tuple[tuple[int, str], ...]

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
    while below:
        this = below.popleft()
        below.extend(islice(rows, 1))
        n_to_search = _SAMPLE_ROWS if this.number > at + 1 else max(0, n_to_search - 1)
        at = this.number
        same = _same_table(this, below) if n_to_search else []
        if not n_pairs and same and len(same) < _SAMPLE_ROWS and _kinds_are_mixed([this, *same]):
            names, n_pairs = {}, len(same) + 1
        if n_pairs:
            n_pairs -= 1
            yield at, named([(this.cells[0][1], this.cells[-1][1])])
        elif n_to_search and is_header(this, same, is_first=not names):
            names, n_to_search = {min(this.columns) - 1: "", **dict(this.cells)}, 0
            yield at, plain([text for _, text in this.cells])
        elif names and all(column in names for column, _ in this.cells) and not (n_to_search and _is_title(this)):
            n_to_search = 0
            yield at, named([(names[column], text) for column, text in this.cells])
        else:
            yield at, plain([text for _, text in this.cells])


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
    if len(texts) < 2 or not below or len(set(texts)) < len(texts):
        return False
    if not all(len(text) <= _LONGEST_NAME and (_YEAR.fullmatch(text) or not _VALUE.fullmatch(text)) for text in texts):
        return False
    corner = min(this.columns) - 1
    if all(map(is_value, texts)) and not any(corner in one.columns for one in below):
        return False
    if sum(not one.columns <= this.columns | {corner} for one in below) > _HALF * len(below):
        return False
    columns: dict[int, list[str]] = {column: [] for column in this.columns}
    for one in below:
        for column, text in one.cells:
            columns.setdefault(column, []).append(text)
    if any(text in columns[column] for column, text in this.cells):
        return False
    kinds_differ = any(
        not _VALUE.fullmatch(text) and 2 * sum(map(is_value, columns[column])) > len(columns[column])
        for column, text in this.cells
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
