"""Which documents of a generation match a filter of Haystack's grammar?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haystack.utils.filters import document_matches_filter

from deformer_qa.pipeline.haystack_documents import document_of, without_text
from deformer_qa.pipeline.haystack_filters import condition_of, needs_text
from deformer_qa.store import DocumentInfo, Snapshot
from deformer_qa.store.conditions import where


def matching_documents(
    snapshot: Snapshot, filters: Mapping[str, Any], *, strict_datetime_comparison: bool = False
) -> list[DocumentInfo]:
    """They, in ascending order of id: SQL finds those that may match; where it is not exact, Haystack's own function
    has the last word.

    :raises FilterError: where the filter is not well formed, or compares what has no order.
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
