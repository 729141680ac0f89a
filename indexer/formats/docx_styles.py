"""What is a paragraph of a Word document: a heading, a list item, a line of a table of contents, or running text?"""

from __future__ import annotations

import re
from typing import Any, Literal

from docx.oxml.ns import qn

Role = Literal["heading", "item", "contents", "text"]

_VAL = qn("w:val")
_HEADING = re.compile(r"(?i)heading [1-9]|title")
_CONTENTS = re.compile(r"(?i)toc (?:[1-9]|heading)|table of figures|contents (?:[1-9]|heading)")
_BODY_LEVEL = "9"  # of an outline: none


class Styles:
    """A document's styles: Word keeps the built-in names English in every language, outline levels say the rest."""

    def __init__(self, root: Any | None) -> None:
        """:param root: ``w:styles``, None where the document has none."""
        self._elements: dict[str, Any] = {}
        self._properties: dict[str, tuple[str, str, str]] = {}
        for style in () if root is None else root.iterchildren(qn("w:style")):
            if style.get(qn("w:type")) in (None, "paragraph"):
                self._elements[style.get(qn("w:styleId")) or ""] = style

    def role(self, paragraph: Any) -> Role:
        """By the paragraph's own properties, else by those of its style and the styles that that one is made from."""
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
        """Its name, outline level and list, '' where it has none."""
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
