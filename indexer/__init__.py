"""How does a corpus become a store? Parses files into documents, encodes their passages, and updates what changed.

Names are imported when first used, because the process that parses foreign files needs none of them and no store.
Other folders import from here, or from the modules in ``OPEN_MODULES``; the function ``sync`` is in module ``sync``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deformer_qa.indexer.encoding import TextEncoder
    from deformer_qa.indexer.errors import BadPattern, EncoderFailing, IndexerError, PathMissing, PathUnusable, RootGone
    from deformer_qa.indexer.formats.parsed import FileLimits
    from deformer_qa.indexer.progress import (
        Committed,
        Event,
        FileCounts,
        FileDone,
        Found,
        Noted,
        PassagesEncoded,
        RecordSkipped,
        Skipped,
        SyncReport,
    )
    from deformer_qa.indexer.selection import Selection
    from deformer_qa.indexer.sync import index_bytes, preview

OPEN_MODULES = ("encoding", "errors", "files", "formats", "progress", "selection", "sync", "watch")

__all__ = [
    "OPEN_MODULES",
    "BadPattern",
    "Committed",
    "EncoderFailing",
    "Event",
    "FileCounts",
    "FileDone",
    "FileLimits",
    "Found",
    "IndexerError",
    "Noted",
    "PassagesEncoded",
    "PathMissing",
    "PathUnusable",
    "RecordSkipped",
    "RootGone",
    "Selection",
    "Skipped",
    "SyncReport",
    "TextEncoder",
    "index_bytes",
    "preview",
]

_ERRORS = ("BadPattern", "EncoderFailing", "IndexerError", "PathMissing", "PathUnusable", "RootGone")
_HOMES = {
    "FileLimits": "formats.parsed",
    "Selection": "selection",
    "TextEncoder": "encoding",
    "index_bytes": "sync",
    "preview": "sync",
    **dict.fromkeys(_ERRORS, "errors"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'progress')}"), name)
