"""Spreadsheets: each sheet under its name, one line per row, cells as a person sees them, formulas by their last value.

Hidden sheets, rows and columns are read too. A formula that no program ever calculated has no value.

Number formats are followed if they fix decimals, group thousands, or add a percent sign, a currency or a unit. Any
other number is shown as it is stored.
"""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import openpyxl
from openpyxl.utils.cell import range_boundaries
from openpyxl.utils.exceptions import InvalidFileException

from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.office import checked, library
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile
from deformer_qa.indexer.formats.tables import LONGEST_REPEATED, Row, lay_out

_SYMBOL = re.compile(r"\[\$([^\]-]*)[^\]]*\]")  # [$€-407]
_PART = re.compile(r'"([^"]*)"|\\(.)|\[[^\]]*\]|_.|\*.|([^"\\])', re.DOTALL)
_NUMBER = re.compile(r"(?P<whole>[#0?,]*[#0?])(?:\.(?P<decimals>[#0?]+))?")
_PLACES = frozenset("#0?,.")
_LETTER = "\ue000"  # stands for a literal in the pattern of a format
_MOST_DIGITS = 15


class _Shown(NamedTuple):
    """How a format shows numbers.

    :ivar before, after: text around the digits
    :ivar least, most: decimals
    :ivar grouped: whether thousands are separated
    """

    before: str
    after: str
    least: int
    most: int
    grouped: bool
    percent: bool


def shown(value: object, number_format: str = "General") -> str:
    """The text that a person sees in a cell, without line ends."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, number_format)
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    return " ".join(str(value).split())


def _moment(value: datetime) -> str:
    if value.time() == time():
        return value.date().isoformat()
    return value.isoformat(" ", "seconds" if value.second else "minutes")


def _duration(value: timedelta) -> str:
    minutes, seconds = divmod(round(abs(value.total_seconds())), 60)
    sign = "-" if value < timedelta() else ""
    return f"{sign}{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")


def _number(value: float, number_format: str) -> str:
    rule = _rule(number_format)
    if rule is None or not abs(value) < 10**_MOST_DIGITS:
        return f"{value:.{_MOST_DIGITS}g}" if isinstance(value, float) else str(value)
    number = abs(value) * (100 if rule.percent else 1)
    digits = f"{number:{',' if rule.grouped else ''}.{rule.most}f}"
    if rule.most > rule.least:
        optional = len(digits) - (rule.most - rule.least)
        digits = (digits[:optional] + digits[optional:].rstrip("0")).rstrip(".")
    sign = "-" if value < 0 and digits.strip("0.,") else ""
    return f"{sign}{rule.before}{digits}{rule.after}".strip()


@lru_cache(maxsize=1_000)
def _rule(number_format: str) -> _Shown | None:
    """How a format shows a positive number; None if the format is not followed."""
    written = _SYMBOL.sub(lambda symbol: f'"{symbol[1]}"', number_format[:200])
    pattern, literals = "", []
    for part in _PART.finditer(written):
        quoted, escaped, plain = part.groups()
        if plain == ";":
            break
        if plain is not None and (plain in _PLACES or plain.isalpha()):
            pattern += plain
        elif literal := quoted or escaped or plain:
            pattern += _LETTER
            literals.append(literal)
    number = _NUMBER.search(pattern)
    if number is None:
        return None
    before, after = pattern[: number.start()], pattern[number.end() :]
    if (before + after).strip(_LETTER):
        return None  # letters or further digits: exponents, fractions, scaling by thousands
    texts = "".join(literals[: len(before)]), "".join(literals[len(before) :])
    decimals = number["decimals"] or ""
    return _Shown(
        *texts, decimals.count("0"), len(decimals), grouped="," in number["whole"], percent="%" in "".join(texts)
    )


# defusedxml, where it is installed, makes openpyxl twice as slow; it refuses only what expat and we refuse anyway.
os.environ["OPENPYXL_DEFUSEDXML"] = "False"

_WORKBOOK, _SHEET = "xl/workbook.xml", re.compile(rb"<(?:\w+:)?sheet\s")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^>]{0,100}?ref=[\"']([A-Z]{1,3}[0-9]{1,7}:[A-Z]{1,3}[0-9]{1,7})[\"']")
_BLOCK_BYTES, _LONGEST_TAG = 2**20, 200


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is that of its properties."""
    meta = checked(raw, limits)
    layout, notes = Layout(), []
    with library("spreadsheet"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about content that openpyxl would not write back
        try:
            book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True, keep_links=False)
        except InvalidFileException as error:
            raise NotReadable(f"damaged: not a complete spreadsheet ({error})") from None
        if len(book.sheetnames) > limits.pages:
            reason = f"{len(book.sheetnames):,} sheets, at most {limits.pages:,} are read (--max-pages)"
            raise NotReadable(reason, "limit")
        n_missing = _n_stated(raw) - len(book.sheetnames)
        if n_missing > 0:
            # openpyxl passes over them
            notes.append("1 sheet is missing" if n_missing == 1 else f"{n_missing:,} sheets are missing")
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # the size that a sheet states is often wrong
            add_sheet(layout, sheet.title, _rows(sheet), limits)
    text, outline = layout.finish()
    document = ParsedDocument("", meta.pop("title", ""), text, outline, meta, layout.locations)
    return ParsedFile((document,), notes=tuple(notes))


def _n_stated(raw: bytes) -> int:
    """The number of sheets in the workbook's list; 0 if that is not in its usual place."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return len(_SHEET.findall(archive.read(_WORKBOOK))) if _WORKBOOK in archive.namelist() else 0


def add_sheet(layout: Layout, title: str, rows: Iterator[Row], limits: FileLimits) -> None:
    """Write a sheet unless it is empty; its heading counts as part of its first row."""
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
    """The rows with text; a cell merged downwards is repeated in each such row that it spans."""
    starting = _merged(sheet)
    reaching: dict[int, tuple[int, int, str]] = {}  # by first column: last row, last column, text of a cell merged down
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
    """First column, last column and last row of each merged cell, by first row; openpyxl skips them in this mode."""
    found: dict[int, list[tuple[int, int, int]]] = {}
    rest = b""
    with sheet._get_source() as source:
        while block := source.read(_BLOCK_BYTES):
            tail = rest + block
            for match in _MERGED.finditer(tail):
                try:
                    left, top, right, bottom = range_boundaries(match[1].decode())
                except ValueError:  # not a range of a sheet
                    continue
                found.setdefault(top, []).append((left - 1, right - 1, bottom))
            end = max((match.end() for match in _MERGED.finditer(tail)), default=0)
            rest = tail[max(end, len(tail) - _LONGEST_TAG) :]
    return found
