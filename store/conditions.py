"""Translates conditions on metadata into SQL over a catalogue's documents.

The SQL finds every document that meets the condition. If it may find others too, it is marked as not exact, and the
caller checks the documents found. This happens with dates in many spellings and with nested values, and because SQLite
reads some fractions one bit wrong and ends some texts at their first NUL.

A field is given by its keys in the metadata, outermost first. A missing field is null or, if its name is one of
``PLACES``, the column of ``documents`` of this name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from deformer_qa.store.records import to_json

Part = TypeVar("Part", covariant=True)
Operator = Literal["==", "!=", ">", ">=", "<", "<=", "in", "not in"]

_EXACT_IN_SQL = 2**53
"""Below this SQLite compares an integer with a float as Python does."""


_MOST_PARAMETERS = 30_000
"""SQLite takes 32,766 in its default build; a condition that needs more is not translated."""


@dataclass(frozen=True)
class Comparison:
    """Compare one field of the metadata with a value; a missing field is None.

    :ivar keys: of the metadata, outermost first
    """

    keys: tuple[str, ...]
    operator: Operator
    value: Any


@dataclass(frozen=True)
class Every(Generic[Part]):
    """All parts hold."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Some(Generic[Part]):
    """At least one part holds."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Not(Generic[Part]):
    """The part does not hold."""

    part: Part


@dataclass(frozen=True)
class At:
    """The document at this path of this root, or one of another root whose root and path, joined, give the same."""

    root: str
    path: str
    joined: str


@dataclass(frozen=True)
class InColumn:
    """A field of the metadata is one of these texts; for a document of another root without the field, its column is.

    :ivar values: plain texts only, see ``is_plain_text``
    """

    column: Literal["root", "path", "title"]
    root: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Anything:
    """A condition that cannot be expressed in SQL."""


@dataclass(frozen=True)
class Where:
    """A condition in SQL, true for every document that meets it.

    :ivar is_exact: whether it is false for all others
    """

    sql: str
    parameters: tuple[Any, ...]
    is_exact: bool


class Stated(Protocol):
    """A condition defined elsewhere that gives its own SQL."""

    def where(self) -> Where: ...


Plain = Comparison | At | InColumn | Anything | Where | Stated
Condition = Plain | Every["Condition"] | Some["Condition"] | Not["Condition"]


def where(condition: Condition) -> Where:
    """The SQL to put behind WHERE over ``documents``."""
    found = _where(condition)
    return found if len(found.parameters) <= _MOST_PARAMETERS else UNKNOWN


def _where(condition: Condition) -> Where:
    match condition:
        case Every(parts):
            return _joined(" AND ", "1", map(_where, parts))
        case Some(parts):
            return _joined(" OR ", "0", map(_where, parts))
        case Not(part):
            found = _where(part)
            return Where(f"NOT {found.sql}", found.parameters, True) if found.is_exact else UNKNOWN
        case Comparison(keys, operator, value):
            return _comparison(keys, operator, value)
        case At(root, path, joined):
            sql = "(root = ? AND path = ? OR root <> ? AND root || '/' || path = ?)"
            return Where(sql, (root, path, root, joined), True)
        case InColumn(column, root, values):
            own = equal_texts(f"$.{column}", values)
            marks = ", ".join("?" * len(values))
            has_own = f"root = ? OR json_type(meta, '$.{column}') IS NOT NULL"
            sql = f"(CASE WHEN {has_own} THEN {own.sql} ELSE {column} IN ({marks}) END)"
            return Where(sql, (root, *own.parameters, *values), True)
        case Anything():
            return UNKNOWN
        case Where():
            return condition
    return condition.where()


UNKNOWN = Where("1", (), False)


def _joined(word: str, none: str, parts: Iterable[Where]) -> Where:
    found = list(parts)
    parameters = tuple(value for one in found for value in one.parameters)
    return Where(_tree(word, [one.sql for one in found]) or none, parameters, all(one.is_exact for one in found))


def _tree(word: str, parts: Sequence[str]) -> str:
    """Join the parts as a balanced tree, because SQLite's expressions may be at most 1,000 deep."""
    if len(parts) <= 1:
        return "".join(parts)
    half = len(parts) // 2
    return f"({_tree(word, parts[:half])}{word}{_tree(word, parts[half:])})"


def _comparison(keys: Sequence[str], operator: Operator, value: Any) -> Where:
    path = json_path(keys)
    if path is None:
        return UNKNOWN
    match operator:
        case "==":
            return _equal(path, value)
        case "in":
            texts = [one for one in value if is_plain_text(one)]
            others = [_equal(path, one) for one in value if not is_plain_text(one)]
            return _joined(" OR ", "0", [equal_texts(path, texts), *others] if texts else others)
        case "!=" | "not in":
            positive: Operator = "==" if operator == "!=" else "in"
            return _where(Not(Comparison(tuple(keys), positive, value)))
    return _ordered(path, operator, value)


def json_path(keys: Sequence[str]) -> str | None:
    """The path for SQLite's JSON functions; None for keys that it cannot express."""
    if any(not key or not key.isprintable() or set(key) & set('"\\') for key in keys):
        return None
    return "$" + "".join(f'."{key}"' for key in keys)


def _equal(path: str, value: Any) -> Where:
    if value is None:
        return Where("(json_extract(meta, ?) IS NULL)", (path,), True)
    if isinstance(value, bool | int | float):
        return _equal_number(path, value)
    if is_plain_text(value):
        return equal_texts(path, [value])
    if isinstance(value, str):
        return of_type(path, ("text",))
    if isinstance(value, list | dict):
        return of_type(path, ("array", "object"))
    return Where("(json_extract(meta, ?) IS NOT NULL)", (path,), False)


def equal_texts(path: str, values: Sequence[str]) -> Where:
    """SQL that compares texts as JSON, where only texts are quoted; the catalogue writes them with ``to_json``."""
    marks = ", ".join("?" * len(values))
    return Where(f"IFNULL((meta -> ?) IN ({marks}), 0)", (path, *map(to_json, values)), True)


def is_plain_text(value: Any) -> bool:
    """Whether a value is a text that only the same text equals: valid Unicode, and not a date."""
    return isinstance(value, str) and not may_be_a_date(value) and is_unicode(value)


NUMBERS = ("integer", "real")


def _equal_number(path: str, value: float) -> Where:
    found = of_type(path, (*NUMBERS, "true", "false"))
    if not is_small(value):
        return found
    if value == int(value):
        return Where(f"({found.sql} AND json_extract(meta, ?) = ?)", (path, path, value), True)
    low, high = around(value)
    return Where(
        f"({found.sql} AND json_extract(meta, ?) BETWEEN ? AND ?)", (*found.parameters, path, low, high), False
    )


def around(value: float) -> tuple[float, float]:
    """The neighbours of a number, because some versions of SQLite read fractions one bit wrong."""
    return math.nextafter(value, -math.inf), math.nextafter(value, math.inf)


def is_small(value: float) -> bool:
    """Whether SQLite compares a number as Python does; false for infinities and NaN."""
    return -_EXACT_IN_SQL < value < _EXACT_IN_SQL


def _ordered(path: str, operator: Operator, value: Any) -> Where:
    """SQL that compares numbers and also finds all other values, whose order SQL cannot tell."""
    if isinstance(value, bool | int | float) and is_small(value):
        low, high = around(value)
        others = of_type(path, ("text", "array", "object"))
        return Where(
            f"(IFNULL(json_extract(meta, ?) {operator[0]}= ?, 0) OR {others.sql})",
            (path, low if operator[0] == ">" else high, *others.parameters),
            False,
        )
    return Where("(json_extract(meta, ?) IS NOT NULL)", (path,), False)


def of_type(path: str, types: Sequence[str]) -> Where:
    kinds = ", ".join(f"'{kind}'" for kind in types)
    return Where(f"(IFNULL(json_type(meta, ?), 'null') IN ({kinds}))", (path,), False)


def may_be_a_date(value: str) -> bool:
    """Whether a text begins like an ISO 8601 date; equal dates can be spelled differently."""
    return value[:4].isdigit() and value[4:5] == "-"


def is_unicode(value: str) -> bool:
    """Whether a text can be encoded as UTF-8."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


Order = Literal["<", "<=", ">", ">="]
Scalar = str | int | float | bool | None

PLACES = ("root", "path", "title")


def one_of(keys: Sequence[str], values: Sequence[Scalar]) -> Where:
    """The field is one of these values, of its type."""
    texts = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    others = [value for value in values if value is None or isinstance(value, bool)]

    def own(path: str) -> Where:
        found = [_is_other(path, value) for value in others]
        found += [equal_texts(path, texts)] if texts else []
        found += [_is_number(path, numbers)] if numbers else []
        return where(Some(tuple(found)))

    return _found(keys, own, f"{{}} IN ({_marks(texts)})", texts)


def ordered(keys: Sequence[str], order: Order, value: str | int | float) -> Where:
    """The field has the value's type, number or text, and this order to it; texts compare by code points."""

    def own(path: str) -> Where:
        type_ = of_type(path, ("text",) if isinstance(value, str) else NUMBERS)
        if "\0" in value if isinstance(value, str) else not is_small(value):
            return type_
        low, high = (value, value) if isinstance(value, str) else around(value)
        bound = low if order[0] == ">" else high
        # ">" finds equal texts too: a text may continue after a NUL, which SQLite does not see.
        return _and(type_, f"json_extract(meta, ?) {order[0]}= ?", (path, bound))

    return _found(keys, own, f"{{}} {order} ?", [value] if isinstance(value, str) else None)


def has_member(keys: Sequence[str], value: Scalar) -> Where:
    """The field is a list that contains the value, with its type."""

    def own(path: str) -> Where:
        is_list = of_type(path, ("array",))
        parameters: tuple[Scalar, ...]
        if value is None or isinstance(value, bool):
            test, parameters = "type = ?", ({None: "null", True: "true", False: "false"}[value],)
        elif isinstance(value, str) and "\0" not in value:
            test, parameters = "atom = ?", (value,)
        elif not isinstance(value, str) and is_small(value):
            test, parameters = "atom BETWEEN ? AND ?", around(value)
        else:
            return is_list
        return _and(is_list, f"EXISTS (SELECT 1 FROM json_each(meta, ?) WHERE {test})", (path, *parameters))

    return _found(keys, own, "", None)


def has_part(keys: Sequence[str], text: str) -> Where:
    """The field is a text that contains this one."""
    return _found(keys, lambda path: of_type(path, ("text",)), "instr({}, ?) > 0", [text])


def _found(
    keys: Sequence[str], own: Callable[[str], Where], column_test: str, column_parameters: Sequence[Scalar] | None
) -> Where:
    """A condition on the metadata's own field, or on the column that replaces it.

    :param column_test: the test of the column ``{}``; with parameters None it never holds.
    """
    path = json_path(keys)
    if path is None:
        return UNKNOWN
    found = own(path)
    if len(keys) > 1 or keys[0] not in PLACES:
        return found
    test = column_test.format(keys[0]) if column_parameters is not None else "0"
    sql = f"(CASE WHEN json_type(meta, ?) IS NULL THEN {test} ELSE {found.sql} END)"
    return Where(sql, (path, *(column_parameters or ()), *found.parameters), found.is_exact)


def _is_other(path: str, value: bool | None) -> Where:
    if value is None:
        return Where("(json_extract(meta, ?) IS NULL)", (path,), True)
    return Where(f"(IFNULL(json_type(meta, ?), '') = '{'true' if value else 'false'}')", (path,), True)


def _is_number(path: str, values: Sequence[float]) -> Where:
    """SQL for one of these numbers; with several, it finds any fraction."""
    if not all(map(is_small, values)):
        return of_type(path, NUMBERS)
    if len(values) == 1:
        return _and(of_type(path, NUMBERS), "json_extract(meta, ?) BETWEEN ? AND ?", (path, *around(values[0])))
    integers = [int(value) for value in values if value == int(value)]
    one = _and(of_type(path, ("integer",)), f"json_extract(meta, ?) IN ({_marks(integers)})", (path, *integers))
    return where(Some((one, of_type(path, ("real",)))))


def _and(found: Where, test: str, parameters: Sequence[Scalar]) -> Where:
    return Where(f"({found.sql} AND {test})", (*found.parameters, *parameters), False)


def _marks(values: Sequence[Scalar]) -> str:
    return ", ".join("?" * len(values))
