"""Which documents have metadata that meet a condition? The condition as SQL over a catalogue's documents.

SQL finds every document that meets it. Where it may find others too (dates in many spellings, nested values), it says
that it is not exact, and whoever asked looks at those found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Operator = Literal["==", "!=", ">", ">=", "<", "<=", "in", "not in"]

_EXACT_IN_SQL = 2**53
"""Below this SQLite compares an integer with a float as Python does."""


@dataclass(frozen=True)
class Comparison:
    """One field of the metadata against a value; a field that is not there is None.

    :ivar keys: of the metadata, outermost first
    """

    keys: tuple[str, ...]
    operator: Operator
    value: Any


@dataclass(frozen=True)
class Every:
    """All of them hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Some:
    """At least one of them holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """It does not hold."""

    part: Condition


@dataclass(frozen=True)
class At:
    """The document at this path of this root, or the one of any other root whose root and path, joined, are this."""

    root: str
    path: str
    joined: str


@dataclass(frozen=True)
class Anything:
    """A condition of which SQL knows nothing."""


Condition = Comparison | Every | Some | Not | At | Anything


@dataclass(frozen=True)
class Where:
    """A condition in SQL, true for every document that meets it.

    :ivar is_exact: whether it is false for all others
    """

    sql: str
    parameters: tuple[Any, ...]
    is_exact: bool


def where(condition: Condition) -> Where:
    """What to put behind WHERE over ``documents``."""
    match condition:
        case Every(parts):
            return _joined(" AND ", "1", map(where, parts))
        case Some(parts):
            return _joined(" OR ", "0", map(where, parts))
        case Not(part):
            found = where(part)
            return Where(f"NOT {found.sql}", found.parameters, True) if found.is_exact else _UNKNOWN
        case Comparison(keys, operator, value):
            return _comparison(keys, operator, value)
        case At(root, path, joined):
            sql = "(root = ? AND path = ? OR root <> ? AND root || '/' || path = ?)"
            return Where(sql, (root, path, root, joined), True)
        case Anything():
            return _UNKNOWN


_UNKNOWN = Where("1", (), False)


def _joined(word: str, none: str, parts: Iterable[Where]) -> Where:
    found = list(parts)
    sql = word.join(one.sql for one in found) or none
    parameters = tuple(value for one in found for value in one.parameters)
    return Where(f"({sql})", parameters, all(one.is_exact for one in found))


def _comparison(keys: Sequence[str], operator: Operator, value: Any) -> Where:
    path = _json_path(keys)
    if path is None:
        return _UNKNOWN
    match operator:
        case "==":
            return _equal(path, value)
        case "in":
            return _joined(" OR ", "0", [_equal(path, one) for one in value])
        case "!=" | "not in":
            positive: Operator = "==" if operator == "!=" else "in"
            return where(Not(Comparison(tuple(keys), positive, value)))
    return _ordered(path, operator, value)


def _json_path(keys: Sequence[str]) -> str | None:
    """A path of SQLite's JSON functions; None for keys that it cannot spell."""
    if any(not key or not key.isprintable() or set(key) & set('"\\') for key in keys):
        return None
    return "$" + "".join(f'."{key}"' for key in keys)


def _equal(path: str, value: Any) -> Where:
    if value is None:
        return Where("(json_extract(meta, ?) IS NULL)", (path,), True)
    if isinstance(value, bool | int | float):
        if not math.isfinite(value) or abs(value) >= _EXACT_IN_SQL:
            return _of_type(path, _NUMBERS)
        found = _of_type(path, _NUMBERS)
        return Where(f"({found.sql} AND json_extract(meta, ?) = ?)", (*found.parameters, path, value), True)
    if isinstance(value, str):
        found = _of_type(path, ("text",))
        if may_be_a_date(value) or "\0" in value or not is_unicode(value):
            return found
        return Where(f"({found.sql} AND json_extract(meta, ?) = ?)", (*found.parameters, path, value), True)
    if isinstance(value, list | dict):
        return _of_type(path, ("array", "object"))
    return Where("(json_extract(meta, ?) IS NOT NULL)", (path,), False)


_NUMBERS = ("integer", "real", "true", "false")


def _ordered(path: str, operator: Operator, value: Any) -> Where:
    """Numbers are compared here. What is no number is found too: whether it has an order is not for SQL to say."""
    if isinstance(value, bool | int | float) and math.isfinite(value) and abs(value) < _EXACT_IN_SQL:
        others = _of_type(path, ("text", "array", "object"))
        return Where(
            f"(IFNULL(json_extract(meta, ?) {operator} ?, 0) OR {others.sql})",
            (path, value, *others.parameters),
            False,
        )
    return Where("(json_extract(meta, ?) IS NOT NULL)", (path,), False)


def _of_type(path: str, types: Sequence[str]) -> Where:
    kinds = ", ".join(f"'{kind}'" for kind in types)
    return Where(f"(IFNULL(json_type(meta, ?), 'null') IN ({kinds}))", (path,), False)


def may_be_a_date(value: str) -> bool:
    """Whether it begins as dates of ISO 8601 do; two of them can be equal and spelled differently."""
    return value[:4].isdigit() and value[4:5] == "-"


def is_unicode(value: str) -> bool:
    """Whether it can be written as UTF-8."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
