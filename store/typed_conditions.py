"""Which documents have a field whose value, of the same JSON type, meets a comparison? As SQL over a catalogue.

Each condition finds every document that meets it. SQLite reads some fractions one bit wrong and ends some texts at
their first NUL; where that may matter, a condition finds more, and says that it is not exact.

A field is given by its keys in the metadata, outermost first. One that is not there is null, or the column of
``documents`` of this name, where it is one of ``PLACES``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from deformer_qa.store.conditions import (
    NUMBERS,
    UNKNOWN,
    Some,
    Where,
    around,
    equal_texts,
    is_small,
    json_path,
    of_type,
    where,
)

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
    """The field is of the value's type, number or text, and stands so to it; texts by code points."""

    def own(path: str) -> Where:
        type_ = of_type(path, ("text",) if isinstance(value, str) else NUMBERS)
        if "\0" in value if isinstance(value, str) else not is_small(value):
            return type_
        low, high = (value, value) if isinstance(value, str) else around(value)
        bound = low if order[0] == ">" else high
        # Also of ">" what is equal: a text may go on behind a NUL, where SQLite does not see it.
        return _and(type_, f"json_extract(meta, ?) {order[0]}= ?", (path, bound))

    return _found(keys, own, f"{{}} {order} ?", [value] if isinstance(value, str) else None)


def has_member(keys: Sequence[str], value: Scalar) -> Where:
    """The field is a list that has the value, of its type."""

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
    """The field is a text with this one in it."""
    return _found(keys, lambda path: of_type(path, ("text",)), "instr({}, ?) > 0", [text])


def _found(
    keys: Sequence[str], own: Callable[[str], Where], column_test: str, column_parameters: Sequence[Scalar] | None
) -> Where:
    """A condition of the metadata's own field, or of the column that stands for it.

    :param column_test: what the column ``{}`` is to meet; with parameters None it never does.
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
    """It is one of these numbers; where there are several, any fraction is found."""
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
