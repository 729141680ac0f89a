"""JSON: a line for each value, under a heading with the keys that lead to it, so that questions find the value.

``{"server": {"port": 80}}`` becomes the heading "server" and the line "port: 80". Values stand as the file writes them;
nothing is rounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from deformer_qa.indexer.formats.builder import Pieces
from deformer_qa.indexer.formats.jsonl import TEXT_FIELDS
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.text_encoding import decode, storable

_NAMES = ("title", "name", "label", "id", "key")  # keys that name an object in a list, in this order
_LONG = 200  # characters; a longer text is a paragraph of its own
_LONGEST_NAME = 80
_MOST_NUMBERS = 64  # in a list; longer ones are coordinates, vectors or signals, which nobody reads
_MOST_KEYS = 5  # the last of those that lead to a value are its heading


class _Object(tuple[tuple[str, Any], ...]):
    """The fields of an object in order, including those of equal name."""


class _Literal(str):
    """A number, a boolean or null as the file writes it."""


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document; its title is the top object's.

    Of lists with more than ``_MOST_NUMBERS`` numbers only the length is written; the notes count them.

    :raises NotReadable: if it is not JSON, or nested deeper than ``limits.nesting``.
    """
    notes: list[str] = []
    value = _loaded(decode(raw, notes))
    writer = _Writer(limits.nesting)
    writer.write(value)
    text, outline, _ = writer.pieces.finish()
    title = _named(value, ("title", "name"))
    return ParsedFile((ParsedDocument("", title, text, outline),), (), (*notes, *writer.notes()))


def _loaded(source: str) -> Any:
    try:
        return json.loads(
            source,
            object_pairs_hook=_Object,
            parse_float=_Literal,
            parse_int=_Literal,
            parse_constant=_Literal,
        )
    except json.JSONDecodeError as error:
        raise NotReadable(f"not JSON ({error.msg}, line {error.lineno:,}, column {error.colno:,})") from None
    except RecursionError:
        raise NotReadable("JSON nested too deeply", "limit") from None


class _Writer:
    """Lays out values in order, with an explicit stack, because they may nest deeply."""

    def __init__(self, deepest: int) -> None:
        self.pieces = Pieces()
        self._deepest = deepest
        self._n_left_out = 0

    def write(self, value: Any) -> None:
        """Write a value. Of an object or list, its plain values come first, under its heading, then its inner ones."""
        stack: list[tuple[tuple[str, ...], Any]] = [((), value if isinstance(value, list | _Object) else [value])]
        while stack:
            path, value = stack.pop()
            if len(path) > self._deepest:
                raise NotReadable(f"JSON nested more than {self._deepest:,} deep (--max-nesting)", "limit")
            lines, inner = [], []
            for key, one in [("", value)] if _is_line(value) else _fields(value):
                if _is_line(one):
                    lines.append((key, one))
                else:
                    inner.append(((*path, key), one))
            if lines and path:
                self._write_heading(path)
            self._write_lines(lines)
            stack += reversed(inner)

    def notes(self) -> Iterator[str]:
        """Notes on lists that were left out."""
        if self._n_left_out:
            lists = "list" if self._n_left_out == 1 else "lists"
            yield f"{self._n_left_out:,} {lists} of more than {_MOST_NUMBERS} numbers not read"

    def _write_heading(self, path: tuple[str, ...]) -> None:
        for key in path[-_MOST_KEYS:]:
            if len(key) > _LONGEST_NAME:
                self.pieces.add(key)
        shown = [key if len(key) <= _LONGEST_NAME else f"{key[:_LONGEST_NAME]}…" for key in path[-_MOST_KEYS:]]
        self.pieces.heading(one_line(" › ".join(shown)))

    def _write_lines(self, lines: list[tuple[str, Any]]) -> None:
        short: list[str] = []
        for key, value in lines:
            text = self._told(value)
            if len(text) <= _LONG and "\n" not in text:
                short.append(f"{key}: {text}" if key and not key.isdecimal() else f"- {text}")
                continue
            self.pieces.add("\n".join(short))
            self.pieces.add(text if not key or key.isdecimal() or key in TEXT_FIELDS else f"{key}: {text}")
            short = []
        self.pieces.add("\n".join(short))

    def _told(self, value: Any) -> str:
        if not isinstance(value, list) or not value:
            return _written(value)
        n_numbers = _n_numbers(value)
        if n_numbers > _MOST_NUMBERS:
            self._n_left_out += 1
            return f"{n_numbers:,} numbers"
        return ", ".join(map(_written, value))


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """The values of an object by key; those of a list by name or, without one, by number from 1."""
    if isinstance(value, _Object):
        for key, one in value:
            yield storable(key), one
    else:
        for number, one in enumerate(value, 1):
            yield _named(one, _NAMES) or str(number), one


def _named(value: Any, keys: tuple[str, ...]) -> str:
    """The name of an object, from the first of ``keys`` with text, on one line; '' if it has none."""
    fields = dict(value) if isinstance(value, _Object) else {}
    found = (fields.get(key) for key in keys)
    return next((name for one in found if isinstance(one, str) and (name := one_line(storable(one)))), "")


def _is_line(value: Any) -> bool:
    """Whether a value fits on a line: plain, empty, many numbers, or a short list of plain values."""
    if not isinstance(value, list) or not value:
        return not isinstance(value, _Object) or not value
    if not all(isinstance(one, str | bool | None) for one in value):
        return _n_numbers(value) > _MOST_NUMBERS
    n_numbers = _n_numbers(value)
    return n_numbers > _MOST_NUMBERS or sum(len(_written(one)) + 2 for one in value) <= _LONG


def _n_numbers(value: Any) -> int:
    """The number of numbers in nested lists, 0 if they hold anything else."""
    stack, n_numbers = [value], 0
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            stack += one
        elif isinstance(one, _Literal):
            n_numbers += 1
        else:
            return 0
    return n_numbers


def _written(value: Any) -> str:
    """A plain value as JSON writes it, but texts without quotes."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list | _Object):
        return "{}" if isinstance(value, _Object) else "[]"
    return "null" if value is None else "true" if value else "false"
