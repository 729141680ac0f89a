"""Convert Haystack's documents to documents of the store and back, without loss."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

from haystack import Document
from haystack.document_stores.errors import DocumentStoreError

from deformer_qa.pipeline.retrieve import Candidate
from deformer_qa.store import DocumentInfo, DocumentRecord, InvalidRecord, PassageRecord, Snapshot, StoreError
from deformer_qa.store.locations import location_at, own_metadata
from deformer_qa.store.records import to_json

ROOT = "haystack"
"""The root of documents written by components; those of synchronised folders have the folder's absolute path."""
_EXTRAS = ("blob", "score", "embedding", "sparse_embedding")


class NotStorable(ValueError):
    """A document cannot be kept unchanged; the message names it and says why."""


def record_of(document: Document, id_: int) -> DocumentRecord:
    """Convert a Haystack document to a record of the store.

    :raises NotStorable: if its metadata would not come back unchanged.
    """
    fields = document.to_dict(flatten=False)
    extras = {name: fields[name] for name in _EXTRAS if fields[name] is not None}
    if document.content is None:
        extras["content"] = None
    if tuples := list(_tuples(document.meta)):  # Haystack's splitters write some
        extras["tuples"] = tuples
    _check_json(document.id, "meta", document.meta)
    _check_json(document.id, "its other fields", extras)
    text = document.content or ""
    try:
        content_hash = hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()
    except UnicodeEncodeError as error:
        raise NotStorable(f"document {document.id}: its content is no valid Unicode ({error.reason}).") from None
    return DocumentRecord(
        id=id_,
        root=ROOT,
        path=path_of(document.id),
        title=title_of(document),
        content_hash=content_hash,
        text=text,
        outline=(),
        meta=document.meta,
        source_state=to_json(extras) if extras else "",
    )


def title_of(document: Document) -> str:
    """Return the title in a document's metadata; '' if there is none."""
    title = document.meta.get("title")
    return title if isinstance(title, str) else ""


def stored_passages(snapshot: Snapshot, document: Document) -> list[PassageRecord]:
    """Return a document's passages in the store; none if it is not there or has different content."""
    root, path = document.meta.get("root"), document.meta.get("path")
    try:
        id_ = snapshot.document_at(ROOT, path_of(document.id))
        if id_ is None and isinstance(root, str) and isinstance(path, str):
            id_ = snapshot.document_at(root, path)
    except UnicodeEncodeError:  # no path or root in a store is spelled so
        return []
    if id_ is None or snapshot.document(id_).text != document.content:
        return []
    return snapshot.document_passages(id_)


def document_of(record: DocumentRecord) -> Document:
    """Convert a record to a Haystack document; one of a synchronised folder has its place in its metadata."""
    extras = json.loads(record.source_state) if record.root == ROOT and record.source_state else {}
    extras.pop("tuples", None)
    content = extras.pop("content", record.text)
    fields = {"id": document_id(record), "content": content, "meta": meta_of(record), **extras}
    return Document.from_dict(fields)


def without_text(info: DocumentInfo) -> Document:
    """Make a document of what is known without reading its text: its id and metadata."""
    return Document(id=document_id(info), meta=meta_of(info))


def with_meta(record: DocumentRecord, meta: Mapping[str, Any]) -> DocumentRecord:
    """Return the record of the same document with some metadata set.

    :raises NotStorable: if the metadata would not come back unchanged.
    """
    if record.root == ROOT:
        document = document_of(record)
        return record_of(replace(document, meta={**document.meta, **meta}), record.id)
    changed = replace(record, meta={**record.meta, **meta})
    _check_json(document_id(record), "meta", changed.meta)
    if any(_tuples(dict(meta))):
        raise NotStorable(f"document {document_id(record)}: metadata of a file cannot hold tuples; give lists.")
    return changed


class PassageDocuments:
    """Convert retrieved passages to Haystack documents; each document of the store is read once."""

    def __init__(self, snapshot: Snapshot, store: str, *, by_vector: bool, by_words: bool) -> None:
        """:param by_vector, by_words: which rankings were made; scores of the other are left out, not set to 0."""
        self._snapshot, self._store = snapshot, store
        known = {"dense": by_vector, "bm25_share": by_words, "fused": by_vector and by_words}
        self._scores = tuple(name for name, is_known in known.items() if is_known)
        self._records: dict[int, DocumentRecord] = {}

    def document(self, candidate: Candidate, score: float) -> Document:
        """Return the document as written if it has no other passage, else the passage as a document."""
        (passage,) = self._snapshot.passages([candidate.passage_id])
        if passage.document_id not in self._records:
            self._records[passage.document_id] = self._snapshot.document(passage.document_id)
        record = self._records[passage.document_id]
        about = {
            "store": self._store,
            "generation": self._snapshot.generation,
            "passage": passage.id,
            "lead": passage.heading,
            **{name: getattr(candidate, name) for name in self._scores},
        }
        if record.root == ROOT and len(self._snapshot.document_passages(record.id)) == 1:
            whole = document_of(record)
            return replace(whole, meta={**whole.meta, "deformer": about}, score=score)
        about |= {"document": document_id(record), "start": passage.start, "end": passage.end}
        meta = meta_of(record)
        location = location_at(record.meta, record.text, passage.start)
        meta |= {kind: value for kind, value in location.items() if kind not in meta}
        page = meta.get("page_number", meta.get("page"))
        if isinstance(page, int):
            n_before = record.text.count("\f", 0, passage.start) if "page" not in location else 0
            meta["page_number"] = page + n_before
        if heading := record.heading_at(passage.start):
            meta["heading"] = heading
        id_ = f"{document_id(record)}:{passage.start}-{passage.end}"
        text = record.text[passage.start : passage.end]
        return Document(id=id_, content=text, meta={**meta, "deformer": about}, score=score)


def meta_of(document: DocumentInfo | DocumentRecord) -> dict[str, Any]:
    """Return a document's metadata; a document of a folder also has its place there."""
    meta = own_metadata(document.meta)
    if document.root == ROOT:
        places = json.loads(document.source_state).get("tuples", ()) if '"tuples"' in document.source_state else ()
        for place in places:
            meta = _with_tuple(meta, place)
        return meta
    return {"root": document.root, "path": document.path, "title": document.title, **meta}


def document_id(document: DocumentInfo | DocumentRecord) -> str:
    """The document's id in Haystack: the one it was written with, or the absolute path of its file."""
    if document.root == ROOT:
        return unquote(document.path)
    return f"{document.root}/{document.path}"


def path_of(id_: str) -> str:
    """The path, below ``ROOT``, of a document written with this id; quoting makes any id a file name."""
    quoted = quote(id_, safe=" ")
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted


def _check_json(id_: str, what: str, value: Any) -> None:
    try:
        same = json.loads(to_json(value)) == _with_lists(value)
    except (TypeError, ValueError) as error:
        raise NotStorable(f"document {id_}: {what} cannot be kept as JSON ({error}).") from error
    if not same:
        raise NotStorable(
            f"document {id_}: {what} does not survive a round trip through JSON, where all keys are texts."
        )


def _tuples(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[list[str | int]]:
    """Yield the places of tuples in plain values, innermost first; JSON has only lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, one in inner:
        yield from _tuples(one, (*place, key))
    if isinstance(value, tuple):
        yield list(place)


def _with_tuple(value: Any, place: Sequence[str | int]) -> Any:
    """Return the value with the list at a place turned into a tuple."""
    if not place:
        return tuple(value)
    key, *rest = place
    changed = value.copy()
    changed[key] = _with_tuple(value[key], rest)
    return changed


def _with_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_lists(one) for key, one in value.items()}
    return [_with_lists(one) for one in value] if isinstance(value, list | tuple) else value


@contextmanager
def haystack_errors() -> Iterator[None]:
    """Raise the store's errors as Haystack's, which callers expect."""
    try:
        yield
    except InvalidRecord as error:
        raise ValueError(str(error)) from error
    except StoreError as error:
        raise DocumentStoreError(str(error)) from error
