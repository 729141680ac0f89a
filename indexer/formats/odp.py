"""OpenDocument presentations, as LibreOffice saves them: each slide's title as heading, then its text and notes.

kreuzberg reads the other kinds of OpenDocument, but not this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

from deformer_qa.indexer.formats.archives import member, open_archive, refuse_entities
from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.office import XML_PARSER, library, refuse_locked
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.tables import Cell, lines

Element = Any  # of lxml, which ships no types

_NAMESPACE = "urn:oasis:names:tc:opendocument:xmlns"
_META = {
    "{http://purl.org/dc/elements/1.1/}title": "title",
    "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}initial-creator": "author",
    "{http://purl.org/dc/elements/1.1/}subject": "subject",
    "{http://purl.org/dc/elements/1.1/}language": "language",
    "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}creation-date": "created",
    "{http://purl.org/dc/elements/1.1/}date": "modified",
}


_DRAW, _OFFICE, _PRESENTATION, _TABLE, _TEXT = (
    f"{{{_NAMESPACE}:{name}:1.0}}" for name in ("drawing", "office", "presentation", "table", "text")
)
_PAGE, _CLASS, _ANNOTATION = f"{_DRAW}page", f"{_PRESENTATION}class", f"{_OFFICE}annotation"
_PARAGRAPHS = frozenset({f"{_TEXT}p", f"{_TEXT}h"})
_SPACES = frozenset({f"{_TEXT}s", f"{_TEXT}tab", f"{_TEXT}line-break"})
_ITEM, _ROW, _CELL, _NOTES = f"{_TEXT}list-item", f"{_TABLE}table-row", f"{_TABLE}table-cell", f"{_PRESENTATION}notes"
_AROUND_THE_TEXT = frozenset({"date-time", "footer", "header", "page", "page-number", "handout"})


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is that of its properties, else of its first slide that has one."""
    with open_archive(raw, limits) as archive, library("presentation"):
        refuse_locked(archive)
        refuse_entities(archive, limits)
        root = etree.fromstring(member(archive, "content.xml"), XML_PARSER)
        meta = _meta(member(archive, "meta.xml")) if "meta.xml" in archive.namelist() else {}
    slides = list(root.iter(_PAGE))
    if len(slides) > limits.pages:
        raise NotReadable(f"{len(slides):,} slides, at most {limits.pages:,} are read (--max-pages)", "limit")
    layout = Layout()
    for number, slide in enumerate(slides, 1):
        _slide(layout, number, slide)
    text, outline = layout.finish()
    title = meta.pop("title", "") or (outline[0][1] if outline else "")
    return ParsedFile((ParsedDocument("", title, text, outline, meta, layout.locations),))


def _meta(raw: bytes) -> dict[str, Any]:
    found = {}
    for element in etree.fromstring(raw, XML_PARSER).iter(*_META):
        if value := one_line(element.text or ""):
            found[_META[element.tag]] = value
    return found


def _slide(layout: Layout, number: int, slide: Element) -> None:
    title = next((frame for frame in slide if frame.get(_CLASS) == "title"), None)
    stated = one_line(" ".join(_text(one) for one in title.iter(*_PARAGRAPHS))) if title is not None else ""
    frames = [frame for frame in slide if frame is not title and frame.get(_CLASS) not in _AROUND_THE_TEXT]
    if not stated and not any(_text(one).strip() for frame in frames for one in frame.iter(*_PARAGRAPHS)):
        return
    layout.locate("slide", number)
    layout.heading()
    layout.text(stated or f"Slide {number}")
    layout.end_heading()
    for frame in frames:
        layout.block()
        if frame.tag == _NOTES and any(_text(one).strip() for one in frame.iter(*_PARAGRAPHS)):
            layout.text("Notes: ")
        _blocks(layout, frame)
        layout.block()


def _blocks(layout: Layout, parent: Element) -> None:
    for child in parent.iterchildren("{*}*"):
        if child.tag in _PARAGRAPHS:
            layout.text(_text(child))
            layout.line_break()
        elif child.tag == _ITEM:
            layout.item()
            _blocks(layout, child)
            layout.end_item()
        elif child.tag == f"{_TABLE}table":
            for line in lines([_cell(cell) for cell in row.iterchildren(_CELL)] for row in child.iter(_ROW)):
                layout.text(line)
                layout.line_break()
        elif child.tag != _ANNOTATION and child.get(_CLASS) not in _AROUND_THE_TEXT:
            _blocks(layout, child)


def _cell(cell: Element) -> Cell:
    text = one_line(" ".join(_text(one) for one in cell.iter(*_PARAGRAPHS)))
    in_head = next(cell.iterancestors(f"{_TABLE}table-header-rows"), None) is not None
    over = (cell.get(f"{_TABLE}number-{what}-spanned", "") for what in ("columns", "rows"))
    return Cell(text, in_head, *(int(one) if one.isdecimal() else 1 for one in over))


def _text(paragraph: Element) -> str:
    return "".join(_pieces(paragraph))


def _pieces(parent: Element) -> Iterator[str]:
    yield parent.text or ""
    for child in parent.iterchildren("{*}*"):
        if child.tag in _SPACES:
            yield " "
        elif child.tag != _ANNOTATION:
            yield from _pieces(child)
        yield child.tail or ""
