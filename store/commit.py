"""The commit: its changes to existing segments, the one atomic act, and the meaning of its errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from deformer_qa.store import disk, names
from deformer_qa.store.errors import (
    CommitFailed,
    CommitUncertain,
    InvalidRecord,
    MissingRows,
    StoreError,
    StoreFull,
    writing_refused,
)
from deformer_qa.store.generations import collect, remove_segment
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Manifest, to_bytes
from deformer_qa.store.pending import Pending
from deformer_qa.store.segments import ranges
from deformer_qa.store.segments.catalogue import QUERY_BATCH, Catalogue
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
    """Documents whose rows in existing catalogues become invalid: removed, replaced or moved ones."""
    return pending.removed | pending.documents.keys() | pending.moves.keys()


def surviving_catalogues(snapshot: Snapshot, pending: Pending) -> list[CatalogueEntry]:
    """The existing catalogues as the new generation sees them; one without a live document is dropped."""
    gone = sorted(gone_documents(pending))
    entries = (_without_documents(catalogue, gone) for catalogue in snapshot.catalogues)
    return [entry for entry in entries if entry.n_live_documents]


def surviving_blocks(snapshot: Snapshot, pending: Pending) -> list[BlockEntry]:
    """The existing blocks as the new generation sees them.

    A block whose rows are all dead stays until a merge, because rows that wait for their document must not vanish.
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
    """The keys that a passage of a remaining document still refers to."""
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


ROOM_TO_SPARE = 1 << 20


def require_room(store: Path, n_bytes: int) -> None:
    """Refuse a commit that does not fit, before any byte of it is written.

    :raises StoreFull: if fewer bytes are free.
    """
    free = disk.free_bytes(store)
    if free < n_bytes + ROOM_TO_SPARE:
        raise StoreFull(store, n_bytes + ROOM_TO_SPARE, free)


def publish(store: Path, manifest: Manifest) -> None:
    """Make a generation the head, after its segments were written and synced.

    :raises CommitUncertain: if an error came at or after the commit point.
    """
    if names.manifest_generation(names.manifest_name(manifest.generation)) is None:  # nobody would find it
        raise CommitFailed(store, f"{manifest.generation - 1} was the last number for a generation")
    disk.sync_directory(store / names.SEGMENTS)
    new = store / names.NEW_MANIFEST
    disk.remove_file(new)
    disk.write_file(new, [to_bytes(manifest)])
    target = store / names.manifest_name(manifest.generation)
    try:
        disk.link_file(new, target)
    except FileExistsError as error:
        raise CommitFailed(store, f"generation {manifest.generation} is there already") from error
    except OSError as error:
        if not os.path.lexists(target):
            raise
        raise CommitUncertain(store, manifest.generation, error.strerror or str(error)) from error
    try:
        disk.sync_directory(store)
    except OSError as error:
        raise CommitUncertain(store, manifest.generation, error.strerror or str(error)) from error


def tidy_up(store: Path, manifest: Manifest) -> None:
    """Collect garbage after a commit; a failure here is not an error of the commit, and the next writer retries."""
    with suppress(OSError, StoreError):
        collect(store, manifest)


@contextmanager
def failing_cleanly(store: Path, new_segments: list[str]) -> Iterator[None]:
    """Turn the system's errors in a commit into the store's, and remove the segments that it began.

    They stay if the commit point was reached, because the new head may need them.
    """
    try:
        yield
    except CommitUncertain:
        raise
    except (OSError, sqlite3.Error) as error:
        _remove(store, new_segments)
        raise _translated(store, error) from error
    except BaseException as error:
        if isinstance(error, StoreError):
            _remove(store, new_segments)
        raise


def _remove(store: Path, segments: list[str]) -> None:
    for segment in segments:
        with suppress(OSError):
            remove_segment(store / names.SEGMENTS / segment)


def _translated(store: Path, error: OSError | sqlite3.Error) -> StoreError:
    if isinstance(error, sqlite3.Error):
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        return StoreFull(store, None, None) if full else CommitFailed(store, str(error))
    where = Path(os.fsdecode(error.filename)) if error.filename else store
    return writing_refused(store, where, error) or CommitFailed(store, error.strerror or str(error))
