"""How a generation becomes the head: the one atomic act of the store, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deformer_qa.store import disk, names
from deformer_qa.store.collecting import collect, remove_segment
from deformer_qa.store.errors import CommitFailed, CommitUncertain, StoreError, StoreFull
from deformer_qa.store.manifest import Manifest, to_bytes
from deformer_qa.store.refusals import writing_refused

ROOM_TO_SPARE = 1 << 20


def require_room(store: Path, n_bytes: int) -> None:
    """Refuse a commit that cannot fit before a byte of it is written.

    :raises StoreFull: where fewer bytes are free.
    """
    free = disk.free_bytes(store)
    if free < n_bytes + ROOM_TO_SPARE:
        raise StoreFull(store, n_bytes + ROOM_TO_SPARE, free)


def publish(store: Path, manifest: Manifest) -> None:
    """Make a generation whose segments are written and synced the head.

    :raises CommitUncertain: where an error came at or after the commit point.
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
    """Collect garbage after a commit; what fails here is no error of the commit, and the next writer tries again."""
    with suppress(OSError, StoreError):
        collect(store, manifest)


@contextmanager
def failing_cleanly(store: Path, new_segments: list[str]) -> Iterator[None]:
    """Turn the system's errors in a commit into the store's, and remove the segments that it began where it may.

    They stay where the commit point was reached: the new head may need them.
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
