"""Word documents: headings, paragraphs, lists, tables, text boxes and notes in the order of the text.

python-docx opens the file. The order of its parts is read here, because that library skips inserted text, content
controls, text boxes and notes. Pages are known only if the program that saved the file marked where they began on its
screen (``w:lastRenderedPageBreak``), as Word does. Deleted text, comments, headers, footers and tables of
contents are left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, Literal

from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from docx.package import Package

from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.office import checked, library
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.tables import Cell, lines

Role = Literal["heading", "item", "contents", "text"]

_VAL = qn("w:val")
_HEADING = re.compile(r"(?i)heading [1-9]|title")
_CONTENTS = re.compile(r"(?i)toc (?:[1-9]|heading)|table of figures|contents (?:[1-9]|heading)")
_BODY_LEVEL = "9"  # of an outline: none


class Styles:
    """A document's styles. Word keeps built-in names English in every language; outline levels tell the others."""

    def __init__(self, root: Any | None) -> None:
        """:param root: ``w:styles``, None where the document has none."""
        self._elements: dict[str, Any] = {}
        self._properties: dict[str, tuple[str, str, str]] = {}
        for style in () if root is None else root.iterchildren(qn("w:style")):
            if style.get(qn("w:type")) in (None, "paragraph"):
                self._elements[style.get(qn("w:styleId")) or ""] = style

    def role(self, paragraph: Any) -> Role:
        """The role of a paragraph by its own properties, else by those of its style and that style's ancestors."""
        own = paragraph.find(qn("w:pPr"))
        style = _value(own, "w:pStyle")
        name, level, number = self._of_style(style)
        level = _value(own, "w:outlineLvl") or level
        number = _value(own, "w:numPr", "w:numId") or number
        if _CONTENTS.fullmatch(name):
            return "contents"
        if _HEADING.fullmatch(name) or level not in ("", _BODY_LEVEL):
            return "heading"
        return "item" if number not in ("", "0") else "text"

    def _of_style(self, style: str) -> tuple[str, str, str]:
        """The name, outline level and list of a style, '' for each that it lacks."""
        if style not in self._properties:
            name = level = number = ""
            seen: set[str] = set()
            at = style
            while at in self._elements and at not in seen:
                seen.add(at)
                element = self._elements[at]
                properties = element.find(qn("w:pPr"))
                name = name or _value(element, "w:name")
                level = level or _value(properties, "w:outlineLvl")
                number = number or _value(properties, "w:numPr", "w:numId")
                at = _value(element, "w:basedOn")
            self._properties[style] = (name, level, number)
        return self._properties[style]


def _value(parent: Any | None, *path: str) -> str:
    for tag in path:
        parent = None if parent is None else parent.find(qn(tag))
    return "" if parent is None else parent.get(_VAL) or ""


Element = Any  # of lxml, which ships no types

_RENDERED_BREAK = qn("w:lastRenderedPageBreak")
_BOX = qn("w:txbxContent")
_NOTES = {
    qn("w:footnoteReference"): (RELATIONSHIP_TYPE.FOOTNOTES, qn("w:footnote")),
    qn("w:endnoteReference"): (RELATIONSHIP_TYPE.ENDNOTES, qn("w:endnote")),
}
_CHARACTERS = {qn("w:tab"): " ", qn("w:ptab"): " ", qn("w:noBreakHyphen"): "-", qn("w:cr"): "\n"}
_TEXT = frozenset({qn("w:t"), qn("m:t")})
_NOT_READ = frozenset(
    map(
        qn,
        (
            "w:pPr", "w:rPr", "w:tblPr", "w:tcPr", "w:sdtPr", "w:sectPr",  # appearance
            "w:del", "w:moveFrom", "w:delText", "w:instrText",
            "w:rt",  # pronunciation of the text below it
        ),
    )
)  # fmt: skip
_ALTERNATIVES = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is that of its properties, else its first heading."""
    meta = checked(raw, limits)
    with library("Word document"):
        main = Package.open(io.BytesIO(raw)).main_document_part
        body = _root(main).find(qn("w:body"))
        if body is None:
            raise NotReadable("damaged: not a complete Word document (no body)")
        reader = _Reader(main, limits)
        reader.read(body)
    text, outline = reader.layout.finish()
    title = meta.pop("title", "") or (outline[0][1] if outline else "")
    return ParsedFile((ParsedDocument("", title, text, outline, meta, reader.layout.locations),))


def _root(part: Part) -> Element:
    """The XML of a part; python-docx parses only the kinds of parts it knows."""
    element = getattr(part, "element", None)
    return parse_xml(part.blob) if element is None else element


def _related(part: Part, kind: str) -> Element | None:
    try:
        return _root(part.part_related_by(kind))
    except KeyError:
        return None


class _Reader:
    """Walks through the document once."""

    def __init__(self, main: Part, limits: FileLimits) -> None:
        self.layout = Layout()
        self._limits = limits
        self._styles = Styles(_related(main, RELATIONSHIP_TYPE.STYLES))
        self._notes: dict[tuple[str, str], Element] = {}
        for reference, (kind, tag) in _NOTES.items():
            root = _related(main, kind)
            for note in () if root is None else root.iterchildren(tag):
                if note.get(qn("w:type")) is None:  # the others are separators above the notes
                    self._notes[reference, note.get(qn("w:id"))] = note
        self._waiting: list[Element] = []  # boxes and notes to read after their paragraph or table
        self._page = 1
        self._in_list = False

    def read(self, body: Element) -> None:
        if next(body.iter(_RENDERED_BREAK), None) is not None:
            self.layout.locate("page", 1)
        self._blocks(body)

    def _blocks(self, parent: Element) -> None:
        for block in _readable(parent):
            if block.tag == qn("w:p"):
                self._paragraph(block)
            elif block.tag == qn("w:tbl"):
                self._end_list()
                self._table(block)
            else:  # a content control, an insertion, ...
                self._blocks(block)
                continue
            while self._waiting:
                self._end_list()
                self._blocks(self._waiting.pop(0))

    def _paragraph(self, paragraph: Element) -> None:
        role = self._styles.role(paragraph)
        pieces = list(self._pieces(paragraph))
        if not any(isinstance(piece, str) and piece.strip() for piece in pieces) or role == "contents":
            self._next_page(pieces.count(None))
            return
        layout = self.layout
        if role == "item":
            if not self._in_list:
                layout.list()
                self._in_list = True
            layout.item()
        else:
            self._end_list()
            layout.heading() if role == "heading" else layout.block()
        for piece in pieces:
            if piece is None:
                self._next_page(1)
            elif piece == "\n" and role != "heading":
                layout.line_break()
            else:
                layout.text(piece)
        if role == "item":
            layout.end_item()
        elif role == "heading":
            layout.end_heading()
        else:
            layout.block()

    def _pieces(self, parent: Element) -> Iterator[str | None]:
        """Yield text, line ends, and None where a page begins. Boxes and notes are kept for later."""
        for part in _readable(parent):
            tag = part.tag
            if tag in _TEXT:
                yield part.text or ""
            elif tag in _CHARACTERS:
                yield _CHARACTERS[tag]
            elif tag == qn("w:br"):
                yield "\n"
            elif tag == _RENDERED_BREAK:
                yield None
            elif tag == _BOX:
                self._waiting.append(part)
            elif tag in _NOTES:
                note = self._notes.pop((tag, part.get(qn("w:id"))), None)
                self._waiting.extend([] if note is None else [note])
            else:
                yield from self._pieces(part)

    def _table(self, table: Element) -> None:
        """Write a data table line by line; a layout table (one column, or around other tables) as its text."""
        rows = [row for row in _rows(table) if row.find(f"{qn('w:trPr')}/{qn('w:del')}") is None]
        cells = [[cell for cell in _within(row, qn("w:tc"))] for row in rows]
        if all(len(row) < 2 for row in cells) or next(table.iterdescendants(qn("w:tbl")), None) is not None:
            for row in cells:
                for cell in row:
                    self._blocks(cell)
            return
        self.layout.block()
        pieces = [[list(self._pieces_of_cell(cell)) for cell in row] for row in cells]
        grid = [
            [_cell(cell, of_cell, _is_header(row)) for cell, of_cell in zip(in_row, of_row, strict=True)]
            for row, in_row, of_row in zip(rows, cells, pieces, strict=True)
        ]
        for line, of_row in zip(lines(grid), pieces, strict=True):
            self._row(line, of_row)
        self.layout.block()

    def _row(self, line: str, cells: list[list[str | None]]) -> None:
        """Write a row. Each cell marks where it continues on the next page; the latest one sets the row's page."""
        before = [next((n for n, piece in enumerate(cell) if piece is not None), len(cell)) for cell in cells]
        n_breaks = max((cell.count(None) for cell in cells), default=0)
        n_before = max(before, default=0)
        self._next_page(n_before)
        self.layout.line_break()
        self.layout.text(line)
        self.layout.line_break()
        self._next_page(n_breaks - n_before)

    def _pieces_of_cell(self, cell: Element) -> Iterator[str | None]:
        for paragraph in _within(cell, qn("w:p")):
            yield from self._pieces(paragraph)
            yield "\n"

    def _next_page(self, n_pages: int) -> None:
        if n_pages > 0:
            self._page += n_pages
            if self._page > self._limits.pages:
                raise NotReadable(f"more than {self._limits.pages:,} pages (--max-pages)", "limit")
            self.layout.locate("page", self._page)

    def _end_list(self) -> None:
        if self._in_list:
            self.layout.end_list()
            self._in_list = False


def _is_header(row: Element) -> bool:
    """Whether a row is marked as a header, which is repeated on each page of the table."""
    return row.find(f"{qn('w:trPr')}/{qn('w:tblHeader')}") is not None


def _cell(cell: Element, pieces: list[str | None], is_name: bool) -> Cell:
    span = cell.find(f"{qn('w:tcPr')}/{qn('w:gridSpan')}")
    merged = cell.find(f"{qn('w:tcPr')}/{qn('w:vMerge')}")
    stated = "1" if span is None else span.get(qn("w:val"), "1")
    goes_on = merged is not None and merged.get(qn("w:val")) != "restart"
    text = one_line("".join(piece or "" for piece in pieces))
    return Cell(text, is_name, int(stated) if stated.isdecimal() else 1, 0 if goes_on else 1)


def _readable(parent: Element) -> Iterator[Element]:
    """The children to read; of alternatives for older and newer programs, the first."""
    for child in parent.iterchildren("{*}*"):
        if child.tag == _ALTERNATIVES:
            for alternative in child.iterchildren("{*}*"):
                yield alternative
                break
        elif child.tag not in _NOT_READ:
            yield child


def _rows(table: Element) -> Iterator[Element]:
    return _within(table, qn("w:tr"))


def _within(parent: Element, tag: str) -> Iterator[Element]:
    """Descendants with a tag, in order, including those in content controls and insertions."""
    for child in _readable(parent):
        if child.tag == tag:
            yield child
        else:
            yield from _within(child, tag)
