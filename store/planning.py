"""What a commit changes in the segments that are there: which documents and rows die, which rows live again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from deformer_qa.store import ranges
from deformer_qa.store.catalogue import QUERY_BATCH, Catalogue
from deformer_qa.store.errors import InvalidRecord, MissingRows
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry
from deformer_qa.store.pending import Pending
from deformer_qa.store.snapshot import Snapshot

T = TypeVar("T")


def check_rows(snapshot: Snapshot | None, pending: Pending) -> None:
    """Refuse passages whose key has no row, pending or committed.

    :raises MissingRows: naming the keys.
    """
    keys = sorted(needed_keys(pending) - pending.rows.keys())
    held = np.zeros(len(keys), dtype=np.bool_)
    for rows in snapshot.find_rows(keys) if snapshot else ():
        held |= rows >= 0
    missing = [keys[place] for place in np.flatnonzero(~held)]
    if missing:
        raise MissingRows(missing)


def check_places(snapshot: Snapshot | None, pending: Pending) -> None:
    """Refuse two live documents at one place.

    :raises InvalidRecord: naming both.
    """
    taken: dict[tuple[str, str], int] = {}
    gone = gone_documents(pending)
    places = [(document.record.root, document.record.path, id_) for id_, document in pending.documents.items()]
    places += [(move.root, move.path, id_) for id_, move in pending.moves.items()]
    for root, path, id_ in places:
        other = taken.setdefault((root, path), id_)
        if other == id_ and snapshot is not None:
            there = snapshot.document_at(root, path)
            other = there if there is not None and there not in gone else id_
        if other != id_:
            raise InvalidRecord(f"{root}: documents {other} and {id_} both have the path {path!r}, expected one.")


def needed_keys(pending: Pending) -> set[bytes]:
    """Keys that passages of pending documents refer to."""
    return {passage.key for document in pending.documents.values() for passage in document.passages}


def gone_documents(pending: Pending) -> set[int]:
    """Documents whose rows in the catalogues that are there count no more: removed, replaced or moved."""
    return pending.removed | pending.documents.keys() | pending.moves.keys()


def surviving_catalogues(snapshot: Snapshot, pending: Pending) -> list[CatalogueEntry]:
    """The catalogues that are there as the new generation sees them; one without a live document left is dropped."""
    gone = sorted(gone_documents(pending))
    entries = (_without_documents(catalogue, gone) for catalogue in snapshot.catalogues)
    return [entry for entry in entries if entry.n_live_documents]


def surviving_blocks(snapshot: Snapshot, pending: Pending) -> list[BlockEntry]:
    """The blocks that are there as the new generation sees them.

    A block whose rows are all dead stays until a merge: rows that wait for their document to be put must not vanish.
    """
    needed = needed_keys(pending)
    released = _released_keys(snapshot, pending) - needed
    dying = sorted(released - _keys_still_used(snapshot, released, gone_documents(pending) - pending.moves.keys()))
    waking = sorted(needed - pending.rows.keys())
    return [
        _with_dead_rows(block.entry, dead[dead >= 0], live[live >= 0])
        for block, dead, live in zip(
            snapshot.blocks, snapshot.find_rows(dying), snapshot.find_rows(waking), strict=True
        )
    ]


def _without_documents(catalogue: Catalogue, gone: Sequence[int]) -> CatalogueEntry:
    entry = catalogue.entry
    known = [id_ for some in _batches(gone) for id_ in catalogue.known_documents(some)]
    deleted = ranges.from_numbers([*ranges.to_numbers(entry.deleted_documents).tolist(), *known])
    if deleted == entry.deleted_documents:
        return entry
    files = catalogue.files
    live = ~ranges.contains(deleted, files.passage_documents)
    return replace(
        entry,
        deleted_documents=deleted,
        n_live_documents=entry.n_documents - ranges.count(deleted),
        n_live_passages=int(np.count_nonzero(live)),
        n_live_terms=int(files.passage_lengths[live].sum(dtype=np.int64)),
    )


def _released_keys(snapshot: Snapshot, pending: Pending) -> set[bytes]:
    """Keys of the committed passages of documents that are removed or replaced."""
    ids = sorted(pending.removed | pending.documents.keys())
    return {
        key for some in _batches(ids) for catalogue in snapshot.catalogues for key in catalogue.keys_of_documents(some)
    }


def _keys_still_used(snapshot: Snapshot, keys: Collection[bytes], gone: Collection[int]) -> set[bytes]:
    """Those of the keys that a passage of a remaining document refers to."""
    return {
        passage.key
        for some in _batches(sorted(keys))
        for catalogue in snapshot.catalogues
        for passage in catalogue.passages_with_keys(some)
        if passage.document_id not in gone
    }


def _with_dead_rows(entry: BlockEntry, dying: Iterable[int], waking: Iterable[int]) -> BlockEntry:
    dying, waking = list(dying), list(waking)
    if not dying and not waking:
        return entry
    dead = (set(ranges.to_numbers(entry.dead_rows).tolist()) | set(dying)) - set(waking)
    dead_rows = ranges.from_numbers(dead)
    return entry if dead_rows == entry.dead_rows else replace(entry, dead_rows=dead_rows)


def _batches(values: Sequence[T]) -> Iterable[Sequence[T]]:
    return (values[start : start + QUERY_BATCH] for start in range(0, len(values), QUERY_BATCH))
