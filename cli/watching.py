"""``qa index --watch``: how an index follows its folders until it is stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from deformer_qa.cli.output import message
from deformer_qa.indexer.errors import IndexerError
from deformer_qa.store.errors import StoreLocked

_QUIET_MS = 1_000
"""So long nothing must have changed before files are read: an editor, or a copy, may still be writing."""


def keep_up(store: Path, sync: Callable[[], object]) -> None:
    """Sync once more, then whenever something in a recorded root changes; until Ctrl-C.

    What stands in the way for a while (a root that is gone, another writer) is told, and the watch goes on.
    """
    from watchfiles import watch

    from deformer_qa.store import open_snapshot

    with open_snapshot(store) as snapshot:
        roots = [root for root in snapshot.roots if os.path.exists(root)]
    # A file is watched through its folder: most programs save by putting a new file in the place of the old one.
    places = {root if os.path.isdir(root) else os.path.dirname(root) for root in roots}
    if not places:
        message("qa: there is nothing to watch: no folder is indexed.")
        return
    own = os.path.realpath(store)

    def concerns_us(change: object, path: str) -> bool:
        return not (path == own or path.startswith(own + os.sep))

    message(f"qa: watching {len(roots):,} indexed places; Ctrl-C ends it.")
    changes = watch(
        *places,
        watch_filter=concerns_us,
        debounce=10 * _QUIET_MS,
        step=_QUIET_MS,
        rust_timeout=_QUIET_MS,
        yield_on_timeout=True,
        raise_interrupt=True,
        ignore_permission_denied=True,
    )
    is_first = True  # what changed before the watch began
    for changed in changes:
        if changed or is_first:
            is_first = False
            _try(sync)


def _try(sync: Callable[[], object]) -> None:
    try:
        sync()
    except (IndexerError, StoreLocked) as error:
        message(f"qa: {error}")
