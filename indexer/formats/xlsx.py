"""Spreadsheets: each sheet under its name, a line a row, cells as a person sees them, formulas by their last value.

Sheets, rows and columns that are hidden are read too. A formula that no program ever calculated has no value.
"""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

# defusedxml, where it is installed, makes openpyxl twice as slow; it refuses only what expat and we refuse anyway.
os.environ["OPENPYXL_DEFUSEDXML"] = "False"

import openpyxl
from openpyxl.utils.cell import range_boundaries
from openpyxl.utils.exceptions import InvalidFileException

from deformer_qa.indexer.formats.cells import shown
from deformer_qa.indexer.formats.layout import Layout
from deformer_qa.indexer.formats.limits import FileLimits
from deformer_qa.indexer.formats.office import checked, library
from deformer_qa.indexer.formats.parsed import NotReadable, ParsedDocument, ParsedFile
from deformer_qa.indexer.formats.tables import LONGEST_REPEATED, Row, lay_out

_WORKBOOK, _SHEET = "xl/workbook.xml", re.compile(rb"<(?:\w+:)?sheet\s")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^>]{0,100}?ref=[\"']([A-Z]{1,3}[0-9]{1,7}:[A-Z]{1,3}[0-9]{1,7})[\"']")
_BLOCK_BYTES, _LONGEST_TAG = 2**20, 200


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is that of its properties."""
    meta = checked(raw, limits)
    layout, notes = Layout(), []
    with library("spreadsheet"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what openpyxl does not keep when it writes
        try:
            book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True, keep_links=False)
        except InvalidFileException as error:
            raise NotReadable(f"damaged: it is no whole spreadsheet ({error})") from None
        if len(book.sheetnames) > limits.pages:
            reason = f"{len(book.sheetnames):,} sheets, at most {limits.pages:,} are read (--max-pages)"
            raise NotReadable(reason, "limit")
        n_missing = _n_stated(raw) - len(book.sheetnames)
        if n_missing > 0:
            notes.append(f"{n_missing:,} of its sheets are not there")  # openpyxl passes over them
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what a sheet states of its own size is often wrong, and may be anything
            add_sheet(layout, sheet.title, _rows(sheet), limits)
    text, outline = layout.finish()
    document = ParsedDocument("", meta.pop("title", ""), text, outline, meta, layout.locations)
    return ParsedFile((document,), notes=tuple(notes))


def _n_stated(raw: bytes) -> int:
    """How many sheets the list of sheets names; 0 where it does not lie in its usual place."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return len(_SHEET.findall(archive.read(_WORKBOOK))) if _WORKBOOK in archive.namelist() else 0


def add_sheet(layout: Layout, title: str, rows: Iterator[Row], limits: FileLimits) -> None:
    """Write a sheet that is not empty; its heading stands in its first row, as far as there is one to say."""
    first = next(rows, None)
    if first is None:
        return
    layout.block()
    layout.locate("sheet", title)
    layout.locate("row", first.number)
    layout.heading()
    layout.text(title)
    layout.end_heading()
    lay_out(layout, _again(first, rows), limits)


def _again(first: Row, rows: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rows


def _rows(sheet: Any) -> Iterator[Row]:
    """The rows that have text in them, cells merged downwards in each row that has more."""
    starting = _merged(sheet)
    reaching: dict[int, tuple[int, int, str]] = {}  # by first column last row and column of a cell merged downwards
    for number, cells in enumerate(sheet.iter_rows(), 1):
        found = dict(_shown_cells(cells))
        wide = {}
        for first, last, last_row in starting.pop(number, ()):
            text = found.get(first, "")
            if text and last > first:
                wide[first] = last
            if text and last_row > number and len(text) <= LONGEST_REPEATED:
                reaching[first] = last_row, last, text
        if not found:
            continue
        for column, (last_row, last, text) in list(reaching.items()):
            if last_row < number:
                del reaching[column]
            elif column not in found:
                found[column] = text
                wide |= {column: last} if last > column else {}
        yield Row(number, tuple(sorted(found.items())), tuple(sorted(wide.items())))


def _shown_cells(cells: Iterable[Any]) -> Iterator[tuple[int, str]]:
    for column, cell in enumerate(cells):
        value = cell.value
        if value is not None:
            text = shown(value, cell.number_format if isinstance(value, int | float) else "")
            if text:
                yield column, text


def _merged(sheet: Any) -> dict[int, list[tuple[int, int, int]]]:
    """By first row: first and last column and last row of each merged cell, which openpyxl passes over in this mode."""
    found: dict[int, list[tuple[int, int, int]]] = {}
    rest = b""
    with sheet._get_source() as source:
        while block := source.read(_BLOCK_BYTES):
            tail = rest + block
            for match in _MERGED.finditer(tail):
                try:
                    left, top, right, bottom = range_boundaries(match[1].decode())
                except ValueError:  # no range of a sheet
                    continue
                found.setdefault(top, []).append((left - 1, right - 1, bottom))
            end = max((match.end() for match in _MERGED.finditer(tail)), default=0)
            rest = tail[max(end, len(tail) - _LONGEST_TAG) :]
    return found
