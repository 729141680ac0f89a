"""Markdown: the document is the source, character for character, except that table rows become lines naming columns.

As in other formats, a row of a table is one line. It has no markup and no link targets, as in HTML, and the line that
separates the header from the rows is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from deformer_qa.indexer.formats.builder import Edit, edited
from deformer_qa.indexer.formats.metadata import from_yaml
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.tables import Cell, lines
from deformer_qa.indexer.formats.text_encoding import decode

_LINE_END = re.compile(r"\r\n|\r|\n")  # line endings of CommonMark; str.splitlines splits at more
_MOST_MARKED = 1_000  # characters of a heading; longer ones keep their markup, because some take forever to parse
_BEFORE_ROW = re.compile(r"[ \t>]*(?:(?:[-+*]|\d{1,9}[.)])[ \t]+)*")  # marks a table inside a quote or list
_BREAK = re.compile(r"<br\b", re.IGNORECASE)
_ENDING = re.compile(r"[\r\n]")
_BAR = re.compile(r"(?<!\\)\|")
_MARK_OF_INLINE = re.compile(r"[\\`*_\[\]<>&!]")
_INDENT = re.compile(r"[ \t]*")
_FRONT_MATTER = re.compile(r"---[ \t]*(?:\r\n|\r|\n)(?s:(?P<fields>.*?))(?<=[\r\n])(?:---|\.\.\.)[ \t]*(?=\r|\n|\Z)")
_FRONT_TITLE = re.compile(r"^title:[ \t]*(?P<quote>[\"']?)(?P<title>[^\r\n]+?)(?P=quote)[ \t]*$", re.MULTILINE)


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is the front matter's, else the first heading of level 1.

    The offset of a heading is that of its line, including its marks.
    """
    doubts: list[str] = []
    text = decode(raw, doubts)
    title, meta, notes, source = _front_matter(text)
    line_starts = [0, *(match.end() for match in _LINE_END.finditer(source))]
    blocks = MarkdownIt("commonmark").enable("table").disable("inline")
    spans = MarkdownIt("commonmark")
    env: dict[str, object] = {}
    tokens = blocks.parse(source, env)
    outline = []
    for opening, content in pairwise(tokens):
        if opening.type != "heading_open" or opening.map is None:
            continue
        marked = content.content
        heading = one_line(_visible(spans.parseInline(marked, env)) if len(marked) <= _MOST_MARKED else marked)
        if not heading:
            continue
        line = _INDENT.match(text, line_starts[opening.map[0]])
        outline.append((line.end() if line else 0, heading))
        if opening.tag == "h1":
            title = title or heading
    edits = _edits(tokens, text, [*line_starts, len(text)], lambda marked: _in_cell(marked, spans, env))
    text, placed = edited(text, outline, edits)
    document = ParsedDocument("", title, text, placed, meta)
    return ParsedFile((document,), notes=(*doubts, *notes))


def _edits(
    tokens: Sequence[Token], text: str, line_starts: Sequence[int], visible: Callable[[str], str]
) -> Iterator[Edit]:
    """The edits that replace each line of the tables.

    :param line_starts: offsets of all lines, then the end of the text
    """
    rows: list[tuple[int, list[Cell]]] = []
    for before, token in pairwise(tokens):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open" and token.map is not None:
            rows.append((token.map[0], []))
        elif before.type in ("th_open", "td_open") and token.type == "inline":
            rows[-1][1].append(Cell(visible(token.content), before.type == "th_open"))
        elif token.type == "table_close":
            header = rows[0][0]
            for (number, _), written in zip(rows, lines(cells for _, cells in rows), strict=True):
                start, end = line_starts[number], line_starts[number + 1]
                ending = _ENDING.search(text, start, end)
                content = text[start : ending.start() if ending else end]
                lead = _BEFORE_ROW.match(content) if token.level else _INDENT.match(content)
                n_lead = lead.end() if lead else 0
                if len(_BAR.findall(content[n_lead:].strip().removeprefix("|").removesuffix("|"))) < len(rows[0][1]):
                    kept = f"{content[:n_lead]}{written}{text[start + len(content) : end]}" if written else ""
                    yield Edit(start, end, kept)
                if number == header:  # the line below separates it from the rows
                    yield Edit(end, line_starts[number + 2], "")


def _in_cell(marked: str, spans: MarkdownIt, env: dict[str, object]) -> str:
    if len(marked) <= _MOST_MARKED and _MARK_OF_INLINE.search(marked):
        marked = _visible(spans.parseInline(marked, env))
    return one_line(marked)


def _front_matter(text: str) -> tuple[str, dict[str, Any], list[str], str]:
    """Read a YAML head: title, other metadata, notes on fields not kept, and the text with the head blanked out.

    Markdown itself would read such a head as a rule and a heading.
    """
    head = _FRONT_MATTER.match(text)
    if not head:
        return "", {}, [], text
    source = re.sub(r"[^\r\n]", " ", head.group()) + text[head.end() :]
    stated = _FRONT_TITLE.search(head["fields"])
    title = one_line(stated["title"]) if stated else ""
    try:
        meta, notes = from_yaml(head["fields"])
    except NotReadable as reason:
        return title, {}, [f"its YAML head is not used: {reason}"], source
    own_title = meta.pop("title", None)
    return (one_line(own_title) if isinstance(own_title, str) else "") or title, meta, notes, source


def _visible(tokens: list[Token]) -> str:
    """The visible text of inline content: without marks, link targets and HTML tags."""
    parts = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak") or (token.type == "html_inline" and _BREAK.match(token.content)):
            parts.append(" ")
        elif token.type in ("text", "code_inline", "text_special"):
            parts.append(token.content)
        elif token.children:
            parts.append(_visible(token.children))
    return "".join(parts)
