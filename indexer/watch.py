"""Watches folders, and syncs whenever something in them changes, until it is stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from deformer_qa.indexer.errors import IndexerError
from deformer_qa.store.errors import StoreError, StoreLocked

_QUIET_MS = 1_000
"""Files are read only after this time without changes: an editor, or a copy, may still be writing."""

_LOOK_SECONDS = 5.0
"""How often to check for new or replaced roots: the watch of a folder ends when the folder is deleted."""


def keep_up(store: Path, paths: Sequence[Path], sync: Callable[[], object], tell: Callable[[str], None]) -> None:
    """Sync now, then whenever something in a path or recorded root changes, until Ctrl-C.

    A missing root or another writer is reported, and the watch goes on.

    :param tell: called with one sentence about the watch.
    """
    from watchfiles import watch

    own = os.path.realpath(store)

    def concerns_us(change: object, path: str) -> bool:
        return not (path == own or path.startswith(own + os.sep))

    told = 0
    while True:
        places = places_to_watch(store, paths)
        if len(places) != told:
            told = len(places)
            tell(
                "nothing to watch yet; stop with Ctrl-C."
                if not places
                else f"watching {told:,} indexed places; stop with Ctrl-C."
            )
        if not places:
            time.sleep(_LOOK_SECONDS)
            _try(sync, tell)
            continue
        is_first, last_look = True, time.monotonic()
        for changed in watch(
            *(path for path, _ in places),
            watch_filter=concerns_us,
            debounce=10 * _QUIET_MS,
            step=_QUIET_MS,
            rust_timeout=_QUIET_MS,
            yield_on_timeout=True,
            raise_interrupt=True,
            ignore_permission_denied=True,
        ):
            if changed or is_first:  # first round: for changes before the watch began
                is_first = False
                _try(sync, tell)
            if changed or time.monotonic() - last_look >= _LOOK_SECONDS:
                last_look = time.monotonic()
                if places_to_watch(store, paths) != places:
                    break


def places_to_watch(store: Path, paths: Sequence[Path]) -> frozenset[tuple[str, int]]:
    """The folders to watch, each with its inode, which differs if another folder takes its place."""
    from deformer_qa.store import open_snapshot

    try:
        with open_snapshot(store) as snapshot:
            roots = {*snapshot.roots, *map(os.path.realpath, paths)}
    except StoreError:  # nothing was indexed yet, or the store is being repaired
        roots = set(map(os.path.realpath, paths))
    # A file is watched through its folder: most programs save by putting a new file in the place of the old one.
    folders = {root if os.path.isdir(root) else os.path.dirname(root) for root in roots if os.path.exists(root)}
    found = set()
    for folder in folders:
        with suppress(OSError):
            found.add((folder, os.stat(folder).st_ino))
    return frozenset(found)


def _try(sync: Callable[[], object], tell: Callable[[str], None]) -> None:
    try:
        sync()
    except (IndexerError, StoreLocked) as error:
        tell(str(error))
