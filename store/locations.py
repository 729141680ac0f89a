"""Locates a character of a document by page, slide, sheet or row of its source.

A document keeps its locations in its metadata, under ``LOCATIONS``: for each kind, where a new one begins.
``{"page": [[0, 1], [1200, 2]]}`` means that the second page begins with character 1,200. Rows and lines count on from
the last place given, by one for each line end of the text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

LOCATIONS = "_locations"
"""The key of locations in ``DocumentRecord.meta``; it is not the document's own metadata and never shown."""

KINDS = ("page", "slide", "sheet", "row", "cell", "line")
COUNTED_ON = frozenset({"row", "line"})

Locations = Mapping[str, Sequence[tuple[int, int | str]]]


def kept_locations(locations: Locations, text: str) -> dict[str, list[tuple[int, int | str]]]:
    """The locations that a document needs to keep: those that do not follow from the previous one.

    :param locations: by kind, ascending.
    :param text: the document's; offsets count its code points.
    """
    kept: dict[str, list[tuple[int, int | str]]] = {}
    for kind, marks in locations.items():
        kept[kind] = list(marks[:1])
        for before, mark in pairwise(marks):
            if mark[1] != _value_at(kind, before, text, mark[0]):
                kept[kind].append(mark)
    return kept


def own_metadata(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that a document came with."""
    return {key: value for key, value in meta.items() if key != LOCATIONS}


def location_at(meta: Mapping[str, Any], text: str, offset: int) -> dict[str, int | str]:
    """The location of a character, by kind; unknown kinds are left out.

    If the document's own metadata have a "page", it applies to the whole document.

    :param text: the whole text of the document.
    """
    page, kept = meta.get("page"), meta.get(LOCATIONS)
    found: dict[str, int | str] = {"page": page} if type(page) is int else {}
    if not isinstance(kept, Mapping):
        return found
    for kind in KINDS:
        marks: Any = kept.get(kind)
        number = bisect_right(marks, offset, key=lambda mark: mark[0]) if _are_marks(marks) else 0
        if number:
            found[kind] = _value_at(kind, marks[number - 1], text, offset)
    return found


def in_words(location: Mapping[str, int | str]) -> str:
    """A location for a person: "sheet Budget, row 12"; '' for none."""
    return ", ".join(f"{kind} {location[kind]}" for kind in KINDS if kind in location)


def _value_at(kind: str, mark: tuple[int, int | str], text: str, offset: int) -> int | str:
    """The value at an offset that follows from the last mark before it."""
    start, value = mark
    return value + text.count("\n", start, offset) if kind in COUNTED_ON and isinstance(value, int) else value


def _are_marks(marks: Any) -> bool:
    """Whether a value has the form of marks; documents from elsewhere may have anything under the key."""
    return isinstance(marks, list | tuple) and all(
        isinstance(mark, list | tuple) and len(mark) == 2 and type(mark[0]) is int and type(mark[1]) in (int, str)
        for mark in marks
    )
