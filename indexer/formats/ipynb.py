"""Jupyter notebooks: the source of each cell, then its text outputs. Nothing is run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from deformer_qa.indexer.formats import markdown
from deformer_qa.indexer.formats.builder import Outline, Pieces
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.text_encoding import decode, storable

_MOST_OUTPUT = 10_000  # characters of what one cell printed
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document with the location "cell", from 1 in the order of the file.

    Headings are those of its Markdown cells. Images and HTML in outputs are left out.
    """
    notes: list[str] = []
    notebook = _object(_loaded(decode(raw, notes)))
    pieces, title, cut = Pieces(), "", []
    for number, cell in enumerate(_cells(notebook), 1):
        located = {"cell": number}
        source, outline, heading = _source(cell, limits)
        title = title or heading
        pieces.add(source, outline, located)
        output = "\n".join(one for one in _outputs(cell) if one.strip())
        if len(output) > _MOST_OUTPUT:
            cut.append(number)
        pieces.add(output[:_MOST_OUTPUT], (), {} if source.strip() else located)
    text, outline, locations = pieces.finish()
    stated, meta = _metadata(notebook)
    document = ParsedDocument("", stated or title, text, outline, meta, locations)
    return ParsedFile((document,), (), (*notes, *_notes(cut)))


def _loaded(source: str) -> Any:
    try:
        return json.loads(source, parse_int=float)
    except json.JSONDecodeError as error:
        raise NotReadable(f"damaged notebook: not JSON ({error.msg}, line {error.lineno:,})") from None
    except RecursionError:
        raise NotReadable("JSON nested too deeply", "limit") from None


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of format 4, or those of all worksheets of format 3."""
    if isinstance(notebook.get("worksheets"), list) and "cells" not in notebook:
        cells = [cell for sheet in notebook["worksheets"] for cell in _list(_object(sheet).get("cells"))]
    elif isinstance(notebook.get("cells"), list):
        cells = notebook["cells"]
    else:
        raise NotReadable("damaged notebook: it has no cells")
    return [_object(cell) for cell in cells]


def _source(cell: dict[str, Any], limits: FileLimits) -> tuple[str, Outline, str]:
    """The source of a cell, its outline, and its heading of level 1 ('' if none)."""
    text = _text(cell.get("source", cell.get("input")))
    if cell.get("cell_type") == "heading":  # of format 3
        return text, ((0, one_line(text)),) if text.strip() else (), ""
    if cell.get("cell_type") != "markdown" or not text.strip():
        return text, (), ""
    (document,) = markdown.parse(text.encode(), limits).documents
    return document.text, document.outline, document.title


def _outputs(cell: dict[str, Any]) -> Iterator[str]:
    """The text outputs of a cell; the text form of a picture is left out, as it says nothing."""
    for output in map(_object, _list(cell.get("outputs"))):
        shown = _object(output.get("data")) or output
        if "text" in output:
            yield _COLOUR.sub("", _text(output["text"]))
        elif any(str(kind).startswith(("image/", "png", "svg", "jpeg")) for kind in shown):
            continue
        elif "text/plain" in shown:
            yield _text(shown["text/plain"])
        elif "ename" in output:
            yield f"{_text(output['ename'])}: {_text(output.get('evalue'))}"


def _metadata(notebook: dict[str, Any]) -> tuple[str, dict[str, str]]:
    metadata = _object(notebook.get("metadata"))
    authors = [_text(_object(one).get("name")) for one in _list(metadata.get("authors"))]
    author = one_line(", ".join(one for one in authors if one))
    return one_line(_text(metadata.get("title"))), {"author": author} if author else {}


def _notes(cut: list[int]) -> Iterator[str]:
    if cut:
        named = ", ".join(map(str, cut[:5])) + (" and others" if len(cut) > 5 else "")
        cells = "cell" if len(cut) == 1 else "cells"
        yield f"only the first {_MOST_OUTPUT:,} characters printed by {cells} {named} are read"


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """A text, or a list of its lines."""
    if isinstance(value, list):
        value = "".join(one for one in value if isinstance(one, str))
    return storable(value) if isinstance(value, str) else ""
