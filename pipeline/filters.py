"""Match documents against a filter: each part of a filter tests one document exactly, and states an SQL condition.

Values are compared within their type: null, boolean, number, text. Values of different types are neither equal nor
ordered, and comparing them raises nothing. A field that a document does not have is null.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deformer_qa.store import DocumentInfo, Snapshot
from deformer_qa.store.conditions import (
    PLACES,
    Every,
    Not,
    Order,
    Scalar,
    Some,
    Where,
    has_member,
    has_part,
    one_of,
    ordered,
    where,
)

_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Field:
    """A place in a document's metadata.

    :ivar keys: outermost first
    """

    keys: tuple[str, ...]

    def of(self, document: DocumentInfo) -> Any:
        """The value of this field. A missing ``path``, ``title`` or ``root`` is the document's own; others are None."""
        value: Any = document.meta
        for key in self.keys:
            if not isinstance(value, Mapping) or key not in value:
                return getattr(document, key) if self.keys == (key,) and key in PLACES else None
            value = value[key]
        return value


@dataclass(frozen=True)
class OneOf:
    """``field == value``, ``field in [value, ...]``."""

    field: Field
    values: tuple[Scalar, ...]

    @cached_property
    def _known(self) -> frozenset[Hashable]:
        return frozenset(map(_typed, self.values))

    def holds(self, document: DocumentInfo) -> bool:
        return _typed(self.field.of(document)) in self._known

    def where(self) -> Where:
        return one_of(self.field.keys, self.values)


@dataclass(frozen=True)
class Ordered:
    """``field < value``, ``<=``, ``>`` or ``>=``, of two numbers or two texts."""

    field: Field
    order: Order
    value: str | int | float

    def holds(self, document: DocumentInfo) -> bool:
        found = self.field.of(document)
        return _type(found) == _type(self.value) and bool(_ORDERS[self.order](found, self.value))

    def where(self) -> Where:
        return ordered(self.field.keys, self.order, self.value)


@dataclass(frozen=True)
class Member:
    """``value in field``: the field is a list that contains the value."""

    field: Field
    value: Scalar

    def holds(self, document: DocumentInfo) -> bool:
        found = self.field.of(document)
        return isinstance(found, list) and _typed(self.value) in map(_typed, found)

    def where(self) -> Where:
        return has_member(self.field.keys, self.value)


@dataclass(frozen=True)
class Contains:
    """``field contains text``: the field is a text that contains this one."""

    field: Field
    text: str

    def holds(self, document: DocumentInfo) -> bool:
        found = self.field.of(document)
        return isinstance(found, str) and self.text in found

    def where(self) -> Where:
        return has_part(self.field.keys, self.text)


def holds(part: Part, document: DocumentInfo) -> bool:
    """Whether a document meets a filter, exactly."""
    match part:
        case Every(parts):
            return all(holds(one, document) for one in parts)
        case Some(parts):
            return any(holds(one, document) for one in parts)
        case Not(negated):
            return not holds(negated, document)
    return part.holds(document)


Part = OneOf | Ordered | Member | Contains | Every["Part"] | Some["Part"] | Not["Part"]


@dataclass(frozen=True)
class Filter:
    """A filter: its text and its meaning; made by ``filter_language.parsed_filter``."""

    text: str
    part: Part

    def documents(self, snapshot: Snapshot) -> list[DocumentInfo]:
        """List the documents that match, by ascending id: SQL selects those that may match, then each is tested.

        :raises StoreDamaged: if the catalogue cannot be read.
        """
        return [info for info in snapshot.documents_where(where(self.part)) if holds(self.part, info)]

    def passages(self, snapshot: Snapshot) -> tuple[int, list[int]]:
        """Count the documents that match, and list the ids of their passages, ascending."""
        documents = self.documents(snapshot)
        return len(documents), snapshot.passages_of_documents([info.id for info in documents])


def _type(value: Any) -> str:
    """The JSON type of a value; integers and fractions are one type."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _typed(value: Any) -> Hashable:
    """A key that is equal for equal values of one type; None for lists and objects, which no filter contains."""
    return None if isinstance(value, list | dict) else (_type(value), value)
