"""Presentations: each slide's title as heading, its text in the order of a screen reader, and its notes.

Tables become rows, and charts the table of their numbers. Hidden slides are read and counted too, as in PowerPoint;
dates, footers and slide numbers are left out.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

from lxml import etree
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.opc.package import OpcPackage
from pptx.oxml.ns import qn
from pptx.package import Package

from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.office import XML_PARSER, checked, library
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.tables import Cell, lines

Element = Any  # of lxml, which ships no types

_AROUND_THE_TEXT = frozenset({PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER})
_LISTS = frozenset({PP_PLACEHOLDER.BODY, PP_PLACEHOLDER.OBJECT})
_COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_IN_BETWEEN = frozenset({"pres", "parTrans", "sibTrans"})  # points of a diagram that are not boxes


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is that of its properties, else of its first slide that has one."""
    meta = checked(raw, limits)
    with library("presentation"):
        slides = _presentation(raw).slides
        if len(slides) > limits.pages:
            raise NotReadable(f"{len(slides):,} slides, at most {limits.pages:,} are read (--max-pages)", "limit")
        reader = _Reader()
        for number, slide in enumerate(slides, 1):
            reader.slide(number, slide)
    text, outline = reader.layout.finish()
    title = meta.pop("title", "") or next(iter(reader.titles), "")
    document = ParsedDocument("", title, text, outline, meta, reader.layout.locations)
    return ParsedFile((document,), notes=tuple(reader.notes))


def _presentation(raw: bytes) -> Any:
    """Open a file like ``pptx.Presentation``, but also slide shows and templates."""
    package: OpcPackage = Package.open(io.BytesIO(raw))
    part: Any = package.main_document_part
    if not hasattr(part, "presentation"):
        raise NotReadable("damaged: not a complete presentation")
    return part.presentation


class _Reader:
    """Reads slide after slide."""

    def __init__(self) -> None:
        self.layout = Layout()
        self.titles: list[str] = []
        self.notes: list[str] = []
        self._number = 0

    def slide(self, number: int, slide: Any) -> None:
        """Write a slide: its title, or its number to separate it from the slide before, then its text and notes."""
        self._number = number
        for alternatives in list(slide.element.iter(f"{_COMPATIBILITY}AlternateContent")):
            _choose(alternatives)
        title = slide.shapes.title
        stated = one_line(title.text_frame.text) if title is not None else ""
        if stated:
            self.titles.append(stated)
        elif not self._has_text(slide):
            return
        self.layout.locate("slide", number)
        self.layout.heading()
        self.layout.text(stated or f"Slide {number}")
        self.layout.end_heading()
        self._body(slide)

    def _has_text(self, slide: Any) -> bool:
        kept, notes, self.layout, self.notes = self.layout, self.notes, Layout(), []
        self._body(slide)
        has_text = self.layout.n_characters > 0
        self.layout, self.notes = kept, notes
        return has_text

    def _body(self, slide: Any) -> None:
        title = slide.shapes.title
        self._shapes(shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id)
        frame = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        if frame is not None and frame.text.strip():
            self.layout.block()
            self.layout.text("Notes: ")
            self._lines(frame)
            self.layout.block()

    def _shapes(self, shapes: Iterable[Any]) -> None:
        for shape in shapes:
            kind = shape.placeholder_format.type if shape.is_placeholder else None
            if kind in _AROUND_THE_TEXT:
                continue
            self.layout.block()
            if hasattr(shape, "shapes"):
                self._shapes(shape.shapes)
            elif getattr(shape, "has_table", False):
                self._rows([[_cell(cell) for cell in row.cells if not cell.is_spanned] for row in shape.table.rows])
            elif getattr(shape, "has_chart", False):
                self._chart(shape)
            elif shape.has_text_frame:
                is_list = kind in _LISTS and len(shape.text_frame.paragraphs) > 1
                self._items(shape.text_frame) if is_list else self._lines(shape.text_frame)
            else:
                self._diagram(shape)
        self.layout.block()

    def _rows(self, rows: Iterable[Sequence[Cell]]) -> None:
        for line in lines(rows):
            self.layout.text(line)
            self.layout.line_break()

    def _lines(self, frame: Any) -> None:
        for paragraph in frame.paragraphs:
            self.layout.text(_text(paragraph))
            self.layout.line_break()

    def _items(self, frame: Any) -> None:
        self.layout.list()
        for paragraph in frame.paragraphs:
            self.layout.item()
            self.layout.text(_text(paragraph))
            self.layout.end_item()
        self.layout.end_list()

    def _chart(self, shape: Any) -> None:
        try:
            chart = shape.chart
            title = chart.chart_title.text_frame.text if chart.has_title and chart.chart_title.has_text_frame else ""
            series = list(chart.series)
            categories = [str(one) for one in chart.plots[0].categories]
            columns = [[_number(value) for value in one.values] for one in series]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, etree.LxmlError):
            self.notes.append(f"a chart on slide {self._number:,} is not read")
            return
        self.layout.text(title)
        self.layout.line_break()
        rows = [
            [
                Cell(_title_of_categories(chart), is_name=True),
                *(Cell(one_line(one.name or ""), is_name=True) for one in series),
            ]
        ]
        for number, category in enumerate(categories):
            values = [column[number] if number < len(column) else "" for column in columns]
            rows.append([Cell(one_line(category)), *map(Cell, values)])
        self._rows(rows)

    def _diagram(self, shape: Any) -> None:
        """Write the text of SmartArt, whose boxes are in a separate part."""
        relation = next(shape.element.iter(f"{_DIAGRAM}relIds"), None)
        if relation is None:
            return
        try:
            part = shape.part.related_part(relation.get(qn("r:dm")))
            root = etree.fromstring(part.blob, XML_PARSER)
        except (KeyError, etree.XMLSyntaxError):
            self.notes.append(f"a diagram on slide {self._number:,} is not read")
            return
        self.layout.list()
        for point in root.iter(f"{_DIAGRAM}pt"):
            if point.get("type") not in _IN_BETWEEN:
                self.layout.item()
                self.layout.text(" ".join(text.text or "" for text in point.iter(qn("a:t"))))
                self.layout.end_item()
        self.layout.end_list()


def _choose(alternatives: Element) -> None:
    """Replace alternatives for older and newer programs by the first, so that python-pptx sees it."""
    parent = alternatives.getparent()
    for alternative in alternatives.iterchildren("{*}*"):
        for element in list(alternative.iterchildren("{*}*")):
            alternatives.addprevious(element)
        break
    parent.remove(alternatives)


def _cell(cell: Any) -> Cell:
    spans = (cell.span_width, cell.span_height) if cell.is_merge_origin else (1, 1)
    return Cell(one_line(cell.text), False, *spans)


def _title_of_categories(chart: Any) -> str:
    """The name of a chart's categories, such as "Year"; '' if it states none."""
    try:
        axis = chart.category_axis
        return one_line(axis.axis_title.text_frame.text) if axis.has_title else ""
    except (AttributeError, ValueError):  # a pie has no axes
        return ""


def _text(paragraph: Any) -> str:
    return str(paragraph.text).replace("\v", " ")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.15g}"
