"""Parts of a text written otherwise, as its tables are, and where its headings come to stand then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

Outline = tuple[tuple[int, str], ...]


class Edit(NamedTuple):
    """``text[start:end]`` is replaced by ``text``; ascending, and apart from each other."""

    start: int
    end: int
    text: str


def edited(text: str, outline: Sequence[tuple[int, str]], edits: Iterable[Edit]) -> tuple[str, Outline]:
    """The text with all edits, and its outline, ascending, of headings outside of them."""
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
