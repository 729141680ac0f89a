"""Convert Haystack's filters to conditions of the store; the whole filter is checked before any document is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Literal, cast, get_args

from haystack import Document
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from deformer_qa.pipeline.haystack.documents import ROOT, document_of, path_of, without_text
from deformer_qa.store import DocumentInfo, Snapshot
from deformer_qa.store.conditions import (
    Anything,
    At,
    Comparison,
    Condition,
    Every,
    InColumn,
    Not,
    Operator,
    Some,
    is_plain_text,
    is_unicode,
    may_be_a_date,
    where,
)

_ORDERINGS = (">", ">=", "<", "<=")
_MEMBERSHIPS = ("in", "not in")
_FIELDS = {field.name for field in fields(Document)} - {"meta"}


def condition_of(filters: Mapping[str, Any]) -> Condition:
    """Convert a filter of Haystack's grammar to a condition over a document's metadata.

    :raises FilterError: if the filter itself is malformed, whatever documents there are.
    """
    if not isinstance(filters, Mapping):
        raise FilterError(f"Expected a filter as a dictionary, found {filters!r}.")
    if "field" in filters:
        return _comparison(filters)
    operator, parts = _required(filters, "operator"), _required(filters, "conditions")
    if not isinstance(parts, list | tuple):
        raise FilterError(f"Expected a list of conditions, found {parts!r}.")
    conditions = tuple(condition_of(part) for part in parts)
    match operator:
        case "AND":
            return Every(conditions)
        case "OR":
            return Some(conditions)
        case "NOT":
            return Not(Every(conditions))
    raise FilterError(f"Unknown logical operator {operator!r}; expected AND, OR or NOT.")


def _required(filters: Mapping[str, Any], key: str) -> Any:
    if key not in filters:
        raise FilterError(f"The key {key!r} is missing in {dict(filters)!r}.")
    return filters[key]


def _comparison(filters: Mapping[str, Any]) -> Condition:
    field, operator, value = filters["field"], _required(filters, "operator"), _required(filters, "value")
    if not isinstance(field, str):
        raise FilterError(f"Expected the name of a field, found {field!r}.")
    if operator in _MEMBERSHIPS and not isinstance(value, list):
        raise FilterError(f"{field} {operator}: expected a list, found {value!r}.")
    if operator in _ORDERINGS:
        _check_orderable(field, operator, value)
    elif operator not in ("==", "!=", *_MEMBERSHIPS):
        raise FilterError(f"Unknown comparison operator {operator!r}; expected ==, !=, >, >=, <, <=, in or not in.")
    # A name that is not a field of a document is a metadata key; a dotted name begins with a field.
    first, *rest = field.split(".")
    if field == "id":
        return _of_id(operator, value)
    keys = tuple(rest) if first == "meta" and rest else (field,)
    if first in _FIELDS or field == "meta" or (rest and first != "meta"):
        return Anything()
    if keys[0] in get_args(PlaceField):
        return _of_place(keys, operator, value)
    return Comparison(keys, cast(Operator, operator), value)


def _of_id(operator: str, value: Any) -> Condition:
    """Select documents by id, for which the catalogue has an index."""
    if operator in ("!=", "not in"):
        return Not(_of_id("==" if operator == "!=" else "in", value))
    if operator == "in":
        return Some(tuple(_of_id("==", one) for one in value))
    if operator != "==" or not isinstance(value, str) or may_be_a_date(value) or not is_unicode(value):
        return Anything()
    return At(ROOT, path_of(value), value)


def _of_place(keys: Sequence[str], operator: str, value: Any) -> Condition:
    """Select documents by root, path or title, which the catalogue has as columns."""
    if operator in ("!=", "not in"):
        return Not(_of_place(keys, "==" if operator == "!=" else "in", value))
    values = value if operator == "in" else [value]
    if len(keys) > 1 or operator in _ORDERINGS or not all(map(is_plain_text, values)):
        return Anything()
    return InColumn(cast(PlaceField, keys[0]), ROOT, tuple(values))


PlaceField = Literal["root", "path", "title"]
"""Metadata that a document of a synchronised folder gets when it is read; they are not in the stored metadata."""


def _check_orderable(field: str, operator: str, value: Any) -> None:
    if isinstance(value, list):
        raise FilterError(f"{field} {operator}: lists have no order, found {value!r}.")
    if isinstance(value, str) and not _is_date(value):
        raise FilterError(f"{field} {operator}: of texts only ISO 8601 dates have an order, found {value!r}.")


def _is_date(value: str) -> bool:
    import dateutil.parser

    for parse in (datetime.fromisoformat, dateutil.parser.parse):
        try:
            parse(value)
        except (ValueError, OverflowError):
            continue
        return True
    return False


def needs_text(filters: Mapping[str, Any]) -> bool:
    """Whether a filter looks at more of a document than its id and metadata."""
    if "field" in filters:
        return str(filters["field"]).split(".")[0] in _FIELDS - {"id"}
    return any(needs_text(part) for part in filters["conditions"])


def matching_documents(
    snapshot: Snapshot, filters: Mapping[str, Any], *, strict_datetime_comparison: bool = False
) -> list[DocumentInfo]:
    """List the documents that match, by ascending id.

    SQL selects the documents that may match. If the SQL is not exact, Haystack's own function decides on each.

    :raises FilterError: if the filter is malformed, or compares values that have no order.
    """
    found = where(condition_of(filters))
    infos = snapshot.documents_where(found)
    if found.is_exact:
        return infos

    def matches(info: DocumentInfo) -> bool:
        seen = document_of(snapshot.document(info.id)) if needs_text(filters) else without_text(info)
        strict = strict_datetime_comparison
        return bool(document_matches_filter(dict(filters), seen, strict_datetime_comparison=strict))

    return [info for info in infos if matches(info)]
