"""Markdown: the document is the source, character for character, so that offsets are those of the file."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from deformer_qa.indexer.formats.decoding import decode
from deformer_qa.indexer.formats.limits import FileLimits
from deformer_qa.indexer.formats.metadata import from_yaml
from deformer_qa.indexer.formats.parsed import NotReadable, ParsedDocument, ParsedFile, one_line

_LINE_END = re.compile(r"\r\n|\r|\n")  # what CommonMark calls a line ending; str.splitlines knows more
_MOST_MARKED = 1_000  # characters of a heading; marks in longer ones, some of which take for ever to parse, stay
_INDENT = re.compile(r"[ \t]*")
_FRONT_MATTER = re.compile(r"---[ \t]*(?:\r\n|\r|\n)(?s:(?P<fields>.*?))(?<=[\r\n])(?:---|\.\.\.)[ \t]*(?=\r|\n|\Z)")
_FRONT_TITLE = re.compile(r"^title:[ \t]*(?P<quote>[\"']?)(?P<title>[^\r\n]+?)(?P=quote)[ \t]*$", re.MULTILINE)


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is the front matter's, else the first heading of level 1.

    The headings' offsets are those of their lines, marks included.
    """
    doubts: list[str] = []
    text = decode(raw, doubts)
    title, meta, notes, source = _front_matter(text)
    line_starts = [0, *(match.end() for match in _LINE_END.finditer(source))]
    blocks = MarkdownIt("commonmark").disable("inline")
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
    document = ParsedDocument("", title, text, tuple(outline), meta)
    return ParsedFile((document,), notes=(*doubts, *notes))


def _front_matter(text: str) -> tuple[str, dict[str, Any], list[str], str]:
    """What a YAML head states: title, other metadata, what of it is not kept; and the text with that head blanked.

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
    """What a reader sees of inline content: no marks, no link targets, no HTML tags."""
    parts = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif token.type in ("text", "code_inline", "text_special"):
            parts.append(token.content)
        elif token.children:
            parts.append(_visible(token.children))
    return "".join(parts)
