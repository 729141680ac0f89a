"""Formats that the optional kreuzberg reads: OpenDocument, RTF, Office before 2007, Outlook's messages, FictionBook.

kreuzberg gets the bytes and a media type, which is recognised by content. It knows the order of headings, paragraphs,
lists and tables, and the sheets of a spreadsheet, but neither pages nor rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import kreuzberg

from deformer_qa.indexer.formats.archives import member, open_archive
from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.metadata import plain
from deformer_qa.indexer.formats.office import refuse_locked
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.tables import Cell, lay_out, lines, row

_BINARY_WORKBOOK = "application/vnd.ms-excel.sheet.binary.macroEnabled.12"
_COMPOUND = (  # a stream's name, and the kind of file that has it
    ("WordDocument", "application/msword"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("__substg1.0_", "application/vnd.ms-outlook"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
)
_OPEN_DOCUMENT = re.compile(r"application/vnd\.oasis\.opendocument\.(?P<kind>[a-z]+)(?:-template)?")
_READ = frozenset({"text", "spreadsheet"})  # kinds of OpenDocument
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d) 00:00:00")  # how kreuzberg writes dates of a spreadsheet
_WORD_BYTES, _WORD_MAGIC, _WORD_FLAGS, _WORD_ENCRYPTED = 512, b"\xec\xa5", 11, 0x01


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is that of its properties, else its first heading."""
    media_type = _media_type(raw, limits)
    config = kreuzberg.ExtractionConfig(
        use_cache=False, enable_quality_processing=False, include_document_structure=True
    )
    try:
        result = kreuzberg.extract_bytes_sync(raw, media_type, config)
    except (kreuzberg.KreuzbergError, RuntimeError, ValueError, OSError) as error:
        found = one_line(str(error))[:150]
        if "password" in found.lower() or "encrypted" in found.lower():
            raise NotReadable("encrypted: it opens with a password only", "encrypted") from None
        raise NotReadable(f"damaged: kreuzberg cannot read it ({found})") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # from Rust; it is not an Exception
            raise
        raise NotReadable("damaged: kreuzberg cannot read it") from None
    layout = Layout()
    nodes = (result.document or {}).get("nodes") or []
    _lay_out(layout, nodes, "spreadsheet" in media_type or "excel" in media_type, limits)
    if not layout.n_characters:
        _paragraphs(layout, result.content)
    text, outline = layout.finish()
    meta = _meta(result.metadata)
    title = meta.pop("title", "") or (outline[0][1] if outline else "")
    return ParsedFile((ParsedDocument("", title, text, outline, meta, layout.locations),))


def _media_type(raw: bytes, limits: FileLimits) -> str:
    """The media type of the content; kreuzberg itself goes by file names only."""
    if raw.startswith(b"{\\rtf"):
        return "application/rtf"
    if raw.startswith(b"PK"):
        return _of_archive(raw, limits)
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        return _of_compound(raw)
    if b"<FictionBook" in raw[:2_000]:
        return "application/x-fictionbook+xml"
    raise NotReadable("no reader for this kind of content", "no reader")


def _of_archive(raw: bytes, limits: FileLimits) -> str:
    with open_archive(raw, limits) as archive:
        if "xl/workbook.bin" in archive.namelist():
            return _BINARY_WORKBOOK
        refuse_locked(archive)
        stated = member(archive, "mimetype").decode("latin-1").strip()
    found = _OPEN_DOCUMENT.fullmatch(stated)
    if found is None or found["kind"] not in _READ:
        raise NotReadable(f"no reader for {one_line(stated)[:100]}", "no reader")
    return f"application/vnd.oasis.opendocument.{found['kind']}"


def _of_compound(raw: bytes) -> str:
    for stream, media_type in _COMPOUND:
        if stream.encode("utf-16-le") in raw:
            if stream == "WordDocument" and _is_encrypted_word(raw):
                raise NotReadable("encrypted: it opens with a password only", "encrypted")
            return media_type
    raise NotReadable("no reader for this kind of content", "no reader")


def _is_encrypted_word(raw: bytes) -> bool:
    """Whether the flags at the head of its text say so; kreuzberg would take the encrypted bytes for text."""
    starts = range(_WORD_BYTES, len(raw) - _WORD_FLAGS, _WORD_BYTES)
    head = next((start for start in starts if raw.startswith(_WORD_MAGIC, start)), None)
    return head is not None and bool(raw[head + _WORD_FLAGS] & _WORD_ENCRYPTED)


def _lay_out(layout: Layout, nodes: Iterable[Mapping[str, Any]], is_spreadsheet: bool, limits: FileLimits) -> None:
    in_list = False
    for node in nodes:
        content = node["content"]
        kind, text = content.get("node_type"), content.get("text") or ""
        if node.get("content_layer") in ("header", "footer") or kind in ("group", "image"):
            continue
        is_item = kind in ("list", "list_item")
        if is_item != in_list:
            layout.list() if is_item else layout.end_list()
            in_list = is_item
        if kind in ("heading", "title"):
            if is_spreadsheet:
                layout.locate("sheet", one_line(text))
            layout.heading()
            layout.text(text)
            layout.end_heading()
        elif kind == "list_item":
            layout.item()
            layout.text(text)
            layout.end_item()
        elif kind == "table":
            layout.block()
            _table(layout, content["grid"], is_spreadsheet, limits)
            layout.block()
        else:
            _paragraphs(layout, text)


def _paragraphs(layout: Layout, text: str) -> None:
    for line in text.splitlines():
        layout.block()
        layout.text(line)
        layout.block()


def _table(layout: Layout, grid: Mapping[str, Any], is_spreadsheet: bool, limits: FileLimits) -> None:
    rows: dict[int, dict[int, str]] = {}
    for cell in grid["cells"]:
        rows.setdefault(cell["row"], {})[cell["col"]] = _MIDNIGHT.sub(r"\1", one_line(cell.get("content") or ""))
    texts = [[rows[at].get(column, "") for column in range(grid["cols"])] for at in sorted(rows)]
    if is_spreadsheet:
        lay_out(layout, (row(at, cells) for at, cells in enumerate(texts)), limits, is_numbered=False)
        return
    for line in lines([Cell(text) for text in cells] for cells in texts):
        layout.text(line)
        layout.line_break()


def _meta(stated: Mapping[str, Any]) -> dict[str, Any]:
    authors = stated.get("authors") or [stated.get("created_by") or stated.get("initial_creator")]
    fields = {
        "title": one_line(str(stated.get("title") or "")),
        "author": ", ".join(str(author) for author in authors if author),
        "created": stated.get("created_at"),
        "modified": stated.get("modified_at"),
        "subject": stated.get("subject"),
        "keywords": stated.get("keywords"),
        "language": stated.get("language"),
    }
    return plain({name: value for name, value in fields.items() if value})[0]
