"""HTML: the readable text of a page, its blocks set apart by blank lines, without navigation and scripts."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.metadata import plain
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.tables import Cell, lines
from deformer_qa.indexer.formats.text_encoding import decode, storable

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# fmt: off
_NEVER_TEXT = frozenset({
    "annotation", "audio", "button", "canvas", "datalist", "dialog", "embed", "head", "iframe", "input", "map", "meter",
    "noscript", "object", "progress", "rp", "rt", "script", "select", "style", "svg", "template", "textarea", "title",
    "video",
})
_AROUND_THE_TEXT = frozenset({"nav", "header", "footer", "aside", "menu"})
_AROUND_ROLES = frozenset({"alertdialog", "banner", "contentinfo", "dialog", "navigation", "search"})
_AROUND_CLASSES = frozenset({"navheader", "navfooter"})  # DocBook's, whose links stand in tables
_MARK_ROLES = frozenset({"doc-backlink", "doc-noteref", "noteref"})
_META = {
    "article:author": "author", "article:published_time": "created", "author": "author", "date": "created",
    "dc.creator": "author", "dc.date": "created", "dcterms.created": "created", "dcterms.creator": "author",
    "dcterms.date": "created", "description": "description", "keywords": "keywords",
}
_BLOCKS = HEADINGS | {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "details", "div", "dl",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "main", "nav",
    "p", "search", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
}
# fmt: on
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.\-]+)""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""^<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_:.\-]+)""")
_CODEC = re.compile(r"utf-8|cp(125|8\d|9\d)\d|iso8859-\d+|koi8-[rtu]|mac-\w+|big5\w*|gb\w+|(euc|shift|iso2022)_\w+")
_NESTING_TAG = re.compile(  # elements that are always closed, and whose nesting costs time
    r"<(/?)(?:address|article|aside|blockquote|center|details|dialog|div|dl|fieldset|figcaption|figure|footer|header"
    r"|hgroup|main|menu|nav|ol|pre|search|section|summary|table|ul)\b",
    re.IGNORECASE,
)
_MOST_CHARACTERS = 10_000  # of a field of metadata
_DEEPEST = 5_000  # levels of nesting; the time to parse grows with their square
_MOST_SIBLINGS = 20  # searched for the definition of a term
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is that of the page, else its first heading of level 1.

    List items start with '- ', and table rows become lines that name the columns. If a page has no text outside its
    header, navigation and footer, these are its text.
    """
    notes: list[str] = []
    tree = _tree(decode_page(raw, notes))
    text, outline = _readable(tree)
    return ParsedFile((ParsedDocument("", _title(tree), text, outline, _meta(tree)),), notes=tuple(notes))


def read(source: str) -> tuple[str, str, tuple[tuple[int, str], ...]]:
    """Read a page, also one inside a mail or book: title ('' if none), text and outline."""
    tree = _tree(source)
    return _title(tree), *_readable(tree)


def _tree(source: str) -> LexborHTMLParser:
    _check_depth(source)
    return LexborHTMLParser(source)


def _title(tree: LexborHTMLParser) -> str:
    return _text_of(tree, "head > title") or _text_of(tree, "h1")


def _readable(tree: LexborHTMLParser) -> tuple[str, tuple[tuple[int, str], ...]]:
    page = Page(tree)
    text, outline = page.readable(_NEVER_TEXT | _AROUND_THE_TEXT)
    return (text, outline) if text else page.readable(_NEVER_TEXT)


def _meta(tree: LexborHTMLParser) -> dict[str, Any]:
    found: dict[str, str] = {}
    for node in tree.css("head > meta"):
        stated = node.attributes.get("name") or node.attributes.get("property") or ""
        if field := _META.get(stated.lower()):
            found.setdefault(field, one_line(storable(node.attributes.get("content") or "")))
    language = tree.root.attributes.get("lang") if tree.root is not None else None
    found["language"] = one_line(storable(language or ""))
    return plain({field: value for field, value in found.items() if value and len(value) <= _MOST_CHARACTERS})[0]


def decode_page(raw: bytes, notes: list[str] | None = None) -> str:
    """Decode a page: by its byte order mark, else by the encoding it states if that fits, else like any text file.

    :param notes: as for ``decode``.
    """
    stated = _CHARSET.search(raw, 0, 2048) or _XML_ENCODING.search(raw)
    return decode_stated(raw, stated[1].decode() if stated else "", notes)


def decode_stated(raw: bytes, label: str, notes: list[str] | None = None) -> str:
    """Decode bytes with a stated encoding; one that is unknown or does not fit is ignored.

    :raises NotReadable: as ``decode``.
    """
    if label and not raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) and b"\0" not in raw:
        label = label.lower()
        if label in ("iso-8859-1", "latin1", "latin-1", "ascii", "us-ascii"):
            label = "cp1252"  # as browsers do
        try:
            if _CODEC.fullmatch(codecs.lookup(label).name):
                return storable(raw.decode(label))
        except (LookupError, ValueError):
            pass
    return decode(raw, notes)


def _check_depth(source: str) -> None:
    depth = 0
    for tag in _NESTING_TAG.finditer(source):
        depth = max(0, depth - 1) if tag[1] else depth + 1
        if depth > _DEEPEST:
            raise NotReadable(f"elements nested more than {_DEEPEST:,} deep", "limit")


def _text_of(tree: LexborHTMLParser, selector: str) -> str:
    node = tree.css_first(selector)
    return one_line(storable(node.text(deep=True))) if node is not None else ""


class Page:
    """The tree of a page, read in the order of its text, with an explicit stack, because pages may nest deeply."""

    def __init__(self, tree: LexborHTMLParser) -> None:
        self._root = tree.root
        self._data_tables: set[int] = set()
        if tree.root is not None:
            self._find_data_tables(tree.root)

    def readable(self, dropped: frozenset[str]) -> tuple[str, tuple[tuple[int, str], ...]]:
        """Text and outline of the page without the elements ``dropped``."""
        layout = Layout()
        if self._root is not None:
            self._lay_out(self._root, layout, dropped)
        return layout.finish()

    def _lay_out(self, root: LexborNode, layout: Layout, dropped: frozenset[str]) -> None:
        for node, enters in self._walk(root, dropped):
            tag = node.tag or ""
            if node.is_text_node:
                layout.text(node.text_content or "")
            elif tag == "br":
                layout.line_break()
            elif tag == "dt":
                layout.term() if enters else _end_term(node, layout)
            elif tag == "dd":
                layout.line_break()
            elif tag == "li":
                layout.item() if enters else layout.end_item()
            elif tag == "table" and node.mem_id in self._data_tables:
                layout.apart()
                if enters:
                    self._table(node, layout, dropped)
            elif tag == "pre":
                layout.apart()
                layout.keeps_space = enters
            elif tag in HEADINGS:
                layout.heading() if enters else layout.end_heading()
            elif tag in ("ul", "ol", "menu"):
                layout.list() if enters else layout.end_list()
            elif tag in ("dl", "table"):
                layout.apart()
            elif tag in _BLOCKS:
                layout.block()

    def _walk(self, root: LexborNode, dropped: frozenset[str]) -> Iterator[tuple[LexborNode, bool]]:
        """Yield each node before its content (True) and each element also after it (False); data tables as a whole."""
        stack: list[tuple[LexborNode, bool]] = [(root, True)]
        while stack:
            node, enters = stack.pop()
            if enters and not node.is_text_node:
                if not node.is_element_node or (node is not root and _is_dropped(node, dropped)):
                    continue
                stack.append((node, False))
                if node.mem_id not in self._data_tables:
                    child = node.last_child
                    while child is not None:
                        stack.append((child, True))
                        child = child.prev
            yield node, enters

    def _find_data_tables(self, root: LexborNode) -> None:
        """Find tables that hold data. One without texts side by side, or around other tables or headings, is layout.

        A table whose columns are named by heading cells holds data even with other tables in its cells.
        """
        found: set[int] = set()
        arranging: set[int] = set()
        outer: set[int] = set()
        named: set[int] = set()
        around: list[int] = []
        n_filled, is_filled = 0, True  # cells of this row with text, and whether the current cell has text
        n_names, is_name = 0, False  # heading cells among them, and whether the current cell is one
        for node, enters in self._walk(root, _NEVER_TEXT):
            if node.tag == "table" and not enters:
                around.pop()
            elif enters and (node.tag == "table" or node.tag in HEADINGS):
                (outer if node.tag == "table" else arranging).update(around[-1:])
                if node.tag == "table":
                    around.append(node.mem_id)
                    arranging.update([node.mem_id] if node.attributes.get("role") == "presentation" else [])
            elif enters and node.tag == "tr":
                n_filled, is_filled, n_names = 0, True, 0
            elif node.tag in ("td", "th"):
                is_filled, is_name = not enters, node.tag == "th"
            elif around and not is_filled and node.is_text_node and (node.text_content or "").strip():
                n_filled, is_filled = n_filled + 1, True
                n_names += is_name
                if n_filled > 1:
                    found.add(around[-1])
                if n_names > 1:
                    named.add(around[-1])
        self._data_tables = found - arranging - (outer - named)

    def _table(self, table: LexborNode, layout: Layout, dropped: frozenset[str]) -> None:
        rows = []
        for part in _children(table, "caption", "thead", "tbody", "tfoot", "tr"):
            if _is_dropped(part, dropped):
                continue
            if part.tag == "caption":
                self._lay_out(part, layout, dropped)
            for row in [part] if part.tag == "tr" else _children(part, "tr"):
                cells = [] if _is_dropped(row, dropped) else _children(row, "td", "th")
                rows.append([self._cell(cell, dropped, part.tag == "thead") for cell in cells])
        for line in lines(rows):
            layout.line_break()
            layout.text(line)
        layout.line_break()

    def _cell(self, cell: LexborNode, dropped: frozenset[str], in_head: bool) -> Cell:
        layout = Layout()
        if not _is_dropped(cell, dropped):
            self._lay_out(cell, layout, dropped)
        text = one_line(layout.finish()[0].removeprefix("- ").replace("\n- ", ", "))
        return Cell(text, in_head or cell.tag == "th", _span(cell, "colspan"), _span(cell, "rowspan"))


def _end_term(term: LexborNode, layout: Layout) -> None:
    """End a term: its definition, or a further term with the same definition, continues its line."""
    following = [one for one in islice(_after(term), _MOST_SIBLINGS) if one.is_element_node]
    definition = next((one for one in following if one.tag == "dd"), None)
    is_defined = definition is not None and not _children(definition, "dl")  # nested: a table of contents
    layout.end_term("" if not is_defined else ": " if following[0].tag == "dd" else ", ")


def _after(node: LexborNode) -> Iterator[LexborNode]:
    following = node.next
    while following is not None:
        yield following
        following = following.next


def _children(node: LexborNode, *tags: str) -> list[LexborNode]:
    found, child = [], node.first_child
    while child is not None:
        if child.tag in tags:
            found.append(child)
        child = child.next
    return found


def _span(cell: LexborNode, attribute: str) -> int:
    stated = (cell.attributes.get(attribute) or "").strip()
    return max(1, int(stated)) if re.fullmatch("[0-9]{1,5}", stated) else 1


def _is_dropped(node: LexborNode, dropped: frozenset[str]) -> bool:
    attributes = node.attributes
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    if _HIDDEN.search(attributes.get("style") or ""):
        return True
    if node.tag in ("header", "footer") and node.tag in dropped:
        return not _stands_in_article(node)
    if "nav" in dropped and (
        attributes.get("role") in _AROUND_ROLES
        or not _AROUND_CLASSES.isdisjoint((attributes.get("class") or "").split())
    ):
        return True
    return node.tag in dropped or (node.tag in ("a", "sup") and _is_mark(node))


def _is_mark(node: LexborNode) -> bool:
    """Whether a link only leads to a note, back from one, or to a heading's own place: [1], \u21a9, \u00b6."""
    attributes = node.attributes
    if attributes.get("role") in _MARK_ROLES or attributes.get("epub:type") in _MARK_ROLES:
        return True
    inner = node.first_child
    raised = inner is not None and inner.next is None and {node.tag, inner.tag} == {"a", "sup"}
    link = inner if raised and inner is not None and node.tag == "sup" else node
    if link.tag != "a" or "#" not in (link.attributes.get("href") or ""):
        return False
    return raised or not any(map(str.isalnum, node.text(deep=True)))


def _stands_in_article(node: LexborNode) -> bool:
    """Whether a header or footer belongs to an article rather than to the page: it often holds the title."""
    parent = node.parent
    while parent is not None:
        if parent.tag in ("article", "main", "section", "blockquote"):
            return True
        parent = parent.parent
    return False
