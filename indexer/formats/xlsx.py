"""Spreadsheets: each sheet under its name, a line a row, cells as a person sees them, formulas by their last value.

Sheets, rows and columns that are hidden are read too. A formula that no program ever calculated has no value.
"""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

# defusedxml, where it is installed, makes openpyxl twice as slow; it refuses only what expat and we refuse anyway.
os.environ["OPENPYXL_DEFUSEDXML"] = "False"

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from deformer_qa.indexer.formats.cells import shown
from deformer_qa.indexer.formats.layout import Layout
from deformer_qa.indexer.formats.limits import FileLimits
from deformer_qa.indexer.formats.office import checked, library
from deformer_qa.indexer.formats.parsed import NotReadable, ParsedDocument, ParsedFile
from deformer_qa.indexer.formats.tables import Row, lay_out

_WORKBOOK, _SHEET = "xl/workbook.xml", re.compile(rb"<(?:\w+:)?sheet\s")


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
    """The rows that have text in them."""
    for number, cells in enumerate(sheet.iter_rows(), 1):
        found = []
        for column, cell in enumerate(cells):
            value = cell.value
            if value is not None:
                text = shown(value, cell.number_format if isinstance(value, int | float) else "")
                if text:
                    found.append((column, text))
        if found:
            yield Row(number, tuple(found))
