"""Builds a text with its outline of headings from blocks, lines and list items, or from whole pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from deformer_qa.indexer.formats.parsed import one_line

Outline = tuple[tuple[int, str], ...]


class Edit(NamedTuple):
    """A replacement of ``text[start:end]``; edits are ascending and do not overlap."""

    start: int
    end: int
    text: str


def edited(text: str, outline: Sequence[tuple[int, str]], edits: Iterable[Edit]) -> tuple[str, Outline]:
    """Apply all edits; returns the text and its ascending outline, without headings inside edits."""
    parts: list[str] = []
    moved: list[tuple[int, str]] = []
    at = shift = 0
    headings = iter(outline)
    heading = next(headings, None)
    for edit in [*edits, Edit(len(text), len(text), "")]:
        while heading is not None and heading[0] <= edit.start:
            moved.append((heading[0] + shift, heading[1]))
            heading = next(headings, None)
        parts += (text[at : edit.start], edit.text)
        at = edit.end
        shift += len(edit.text) - (edit.end - edit.start)
    return "".join(parts), tuple(moved)


_SPACE = re.compile("[ \t\n\r\f\u00a0]+")  # the whitespace that HTML folds, and the no-break space
_NOTHING, _WORD, _LINE, _BLOCK = 0, 1, 2, 3
_FURTHER_TERM = ", "
_SEPARATORS = ("", " ", "\n", "\n\n")
_MARKED = (".", ":", "!", "?", ";", ",")  # a text ending in one needs no further mark after it


class Layout:
    """Collects a document's text from left to right; ``finish`` gives it with its outline.

    A separator is written only before further text. So the text neither starts nor ends with one, and offsets need no
    correction.

    :ivar keeps_space: True while text is preformatted
    """

    def __init__(self) -> None:
        self.keeps_space = False
        self._parts: list[str] = []
        self._n_characters = 0
        self._separator = _NOTHING
        self._mark = ""  # written before the next text
        self._go_on = ""  # written before the next text instead of a separator
        self._term_start: int | None = None  # while a term lasts
        self._list_depth = 0
        self._in_heading = False
        self._heading_start: int | None = None
        self._heading_part = 0
        self._outline: list[tuple[int, str]] = []
        self._located: dict[str, int | str] = {}  # for the next text
        self._locations: dict[str, list[tuple[int, int | str]]] = {}

    @property
    def locations(self) -> dict[str, tuple[tuple[int, int | str], ...]]:
        """The offsets where locations begin, by kind, as in ``ParsedDocument.locations``."""
        return {kind: tuple(marks) for kind, marks in self._locations.items()}

    @property
    def n_characters(self) -> int:
        """The length of the text so far."""
        return self._n_characters

    def locate(self, kind: str, value: int | str) -> None:
        """Set the page, slide, sheet, row, cell or line of the following text; without text nothing is recorded."""
        self._located[kind] = value

    def text(self, text: str) -> None:
        """Add running text; its whitespace is folded and never starts a line."""
        if self.keeps_space:
            self._preformatted(text)
            return
        folded = _SPACE.sub(" ", text)
        if folded.startswith(" "):
            self._separate(_WORD)
        if words := folded.strip(" "):
            self._write(words)
            if folded.endswith(" "):
                self._separate(_WORD)

    def line_break(self) -> None:
        """Start a new line; inside a term, start a further term."""
        if self._term_start is not None and self._n_characters > self._term_start:
            self._go_on = _FURTHER_TERM
        self._separate(_LINE)

    def block(self) -> None:
        """Start a block: after a blank line, or inside a list on a new line."""
        self._separate(_LINE if self._list_depth else _BLOCK)

    def apart(self) -> None:
        """Start a block, even after a term."""
        self._go_on = ""
        self.block()

    def term(self) -> None:
        """Begin a term on its own line; its definition or another term follows."""
        self.line_break()
        self._go_on = self._go_on if self._go_on == _FURTHER_TERM else ""
        self._term_start = self._n_characters

    def end_term(self, mark: str) -> None:
        """End a term. The following text continues its line after the mark, unless it is a heading, a list or a table.

        :param mark: ": " before a definition, ", " before another term, '' if nothing belongs to the term
        """
        has_text = self._term_start is not None and self._n_characters > self._term_start
        self._go_on = mark if has_text else ""
        self._term_start = None
        self._separate(_LINE)

    def list(self) -> None:
        """Begin a list; a nested one continues the lines of the outer one."""
        self.apart()
        self._list_depth += 1

    def end_list(self) -> None:
        """End the innermost list."""
        self._list_depth = max(0, self._list_depth - 1)
        self.block()

    def item(self) -> None:
        """Begin a list item, on its own line and with its mark."""
        self._go_on = ""
        self._separate(_LINE)
        self._mark = "- "

    def end_item(self) -> None:
        """End a list item; one without text leaves no mark."""
        self._separate(_LINE)
        self._mark = ""

    def heading(self) -> None:
        """Begin a heading."""
        self._go_on = ""
        self._separate(_BLOCK)
        self._in_heading, self._heading_start = True, None

    def end_heading(self) -> None:
        """End a heading; if it has text, it enters the outline with the offset of its first character."""
        if self._heading_start is not None:
            kept = "".join(self._parts[self._heading_part :])
            if kept.strip():  # preformatted text can begin with blanks, or be nothing else
                start = self._heading_start + len(kept) - len(kept.lstrip())
                self._outline.append((start, one_line(kept)))
        self._in_heading, self._heading_start = False, None
        if self._term_start is not None:
            self._term_start = self._n_characters  # a heading is no term, whatever is around it
        self._separate(_BLOCK)

    def finish(self) -> tuple[str, tuple[tuple[int, str], ...]]:
        """The text, and (offset, heading) for each heading in it."""
        return "".join(self._parts), tuple(self._outline)

    def _preformatted(self, text: str) -> None:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip(" \t\n")
        if lines.strip():
            self._write(lines.lstrip("\n") if self._separator >= _LINE or not self._parts else lines)
            if text.endswith("\n"):
                self._separate(_LINE)
            elif text.endswith((" ", "\t")):
                self._separate(_WORD)
        elif "\n" in text:
            self._separate(_LINE)
        elif text:
            self._separate(_WORD)

    def _separate(self, kind: int) -> None:
        self._separator = max(self._separator, kind)

    def _write(self, text: str) -> None:
        if self._parts and self._go_on:
            self._append(self._go_on[1:] if self._parts[-1].endswith(_MARKED) else self._go_on)
        elif self._parts:
            self._append(_SEPARATORS[self._separator])
        if self._located:
            for kind, value in self._located.items():
                self._locations.setdefault(kind, []).append((self._n_characters, value))
            self._located = {}
        if self._mark:
            self._append(self._mark)
        if self._in_heading and self._heading_start is None:
            self._heading_start, self._heading_part = self._n_characters, len(self._parts)
        self._append(text)
        self._separator, self._mark, self._go_on = _NOTHING, "", ""

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._n_characters += len(text)


class Pieces:
    """Collects a document's text piece by piece, and shifts the offsets of each piece to its place in the text."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._n_characters = 0
        self._outline: list[tuple[int, str]] = []
        self._locations: dict[str, list[tuple[int, int | str]]] = {}

    def add(
        self, text: str, outline: Iterable[tuple[int, str]] = (), located: Mapping[str, int | str] | None = None
    ) -> None:
        """Add a piece without the empty lines around it; a piece without text is dropped.

        :param outline: (offset in the piece, heading)
        :param located: location of the whole piece, by kind
        """
        kept = text.lstrip("\r\n")
        n_before = len(text) - len(kept)
        kept = kept.rstrip()
        if not kept.strip():
            return
        if self._texts:
            self._append("\n\n")
        for kind, value in (located or {}).items():
            self._locations.setdefault(kind, []).append((self._n_characters, value))
        self._outline += [(self._n_characters + max(0, offset - n_before), heading) for offset, heading in outline]
        self._append(kept)

    def heading(self, heading: str) -> None:
        """Add a heading on a line of its own."""
        self.add(heading, ((0, heading),))

    def finish(self) -> tuple[str, Outline, dict[str, tuple[tuple[int, int | str], ...]]]:
        """The text, its outline, its locations."""
        locations = {kind: tuple(marks) for kind, marks in self._locations.items()}
        return "".join(self._texts), tuple(self._outline), locations

    def _append(self, text: str) -> None:
        self._texts.append(text)
        self._n_characters += len(text)
