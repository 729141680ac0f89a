"""Tables as text, with commas, semicolons, tabs or bars between cells: one line per record, cells named by the header.

Rows are numbered as in a spreadsheet: the header is row 1, a record with line ends in a cell is one row, and an empty
line counts as a row.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator

from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.parsed import FileLimits, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.tables import Row, lay_out, row
from deformer_qa.indexer.formats.text_encoding import decode

DELIMITERS = "\t;|,"  # of equally good ones the first wins: commas also stand in numbers and prose
_STATED = re.compile(r"sep=(.)\r?\n")  # as Excel reads it: not a row of the table
_SAMPLE_LINES = 200
_NO_LIMIT = 2**31 - 1  # for a cell; the limit of the text still holds
_ABOUT_EQUAL = 0.05
_MOST_OPEN_QUOTES = 10  # after so many cells opened by a quote and never closed, quotes are plain characters


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document without title and headings."""
    csv.field_size_limit(_NO_LIMIT)
    notes: list[str] = []
    text = decode(raw, notes)
    stated = _STATED.match(text)
    delimiter = stated[1] if stated else ""
    lines = list(io.StringIO(text[stated.end() :] if stated else text, newline=""))
    layout = Layout()
    lay_out(layout, _rows(lines, delimiter or _delimiter(lines)), limits)
    document = ParsedDocument("", "", layout.finish()[0], locations=layout.locations)
    return ParsedFile((document,), notes=tuple(notes))


def _delimiter(lines: list[str]) -> str:
    """The delimiter that splits most records into an equal number of cells; '' if every record is a single cell."""
    best, found = _ABOUT_EQUAL, ""
    for delimiter in DELIMITERS:
        counts = Counter(len(record) for _, record in _records(lines[:_SAMPLE_LINES], delimiter) if record)
        parted = [n for width, n in counts.items() if width > 1]
        share = (sum(parted) + max(parted, default=0)) / max(1, 2 * counts.total())
        if share > best + _ABOUT_EQUAL:
            best, found = share, delimiter
    return found


def _rows(lines: list[str], delimiter: str) -> Iterator[Row]:
    for number, record in _records(lines, delimiter):
        if any(record):
            yield row(number, [one_line(cell) for cell in record])


def _records(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with its number. A cell opened by a quote and never closed ends with its line."""
    start = number = n_open_quotes = 0
    while start < len(lines):
        quote = '"' if n_open_quotes < _MOST_OPEN_QUOTES else None
        reader = csv.reader(lines[start:], delimiter=delimiter or "\0", quotechar=quote)
        n_read = 0
        for record in reader:
            is_last = start + reader.line_num == len(lines)
            if is_last and reader.line_num > n_read + 1 and _is_open(lines[start + n_read :], delimiter):
                break
            n_read = reader.line_num
            number += 1
            yield number, record
        else:
            return
        start += n_read
        number += 1
        n_open_quotes += 1
        yield number, next(csv.reader(lines[start : start + 1], delimiter=delimiter or "\0", quoting=csv.QUOTE_NONE))
        start += 1


def _is_open(lines: list[str], delimiter: str) -> bool:
    """Whether these lines are one record only because a quote in it is never closed."""
    try:
        for _ in csv.reader(lines, delimiter=delimiter or "\0", strict=True):
            pass
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False
