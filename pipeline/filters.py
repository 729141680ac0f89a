"""Which documents does a filter mean? Each of its parts says it twice: exactly, of one document, and as SQL of many.

Values are compared with values of their own type: null, boolean, number, text. Of two types none is equal to nor less
than the other, and nothing raises. A field that a document does not have is null.
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
        """The value there; where there is none, of ``path``, ``title`` and ``root`` the document's own, else None."""
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
    """``field < value`` and the like, of two numbers or two texts."""

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
    """``value in field``: the field is a list that has the value."""

    field: Field
    value: Scalar

    def holds(self, document: DocumentInfo) -> bool:
        found = self.field.of(document)
        return isinstance(found, list) and _typed(self.value) in map(_typed, found)

    def where(self) -> Where:
        return has_member(self.field.keys, self.value)


@dataclass(frozen=True)
class Contains:
    """``field contains text``: the field is a text with this one in it."""

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
    """A filter as it was typed, and what it means; made by ``filter_parsing.parsed_filter``."""

    text: str
    part: Part

    def documents(self, snapshot: Snapshot) -> list[DocumentInfo]:
        """The documents that it means, in ascending order of id: SQL finds those that may be, each is then looked at.

        :raises StoreDamaged: where the catalogue cannot be read.
        """
        return [info for info in snapshot.documents_where(where(self.part)) if holds(self.part, info)]

    def passages(self, snapshot: Snapshot) -> tuple[int, list[int]]:
        """How many documents it means, and the ids of their passages, ascending."""
        documents = self.documents(snapshot)
        return len(documents), snapshot.passages_of_documents([info.id for info in documents])


def _type(value: Any) -> str:
    """Its type: every type of JSON, integers and fractions being one."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _typed(value: Any) -> Hashable:
    """Equal to another's where both are equal and of one type; of lists and objects None, which no filter has."""
    return None if isinstance(value, list | dict) else (_type(value), value)
