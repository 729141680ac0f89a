"""What is on disk, and when is it committed?

Readers open a ``Snapshot``, one complete generation of the store. The one ``Writer`` gathers documents with the
vectors and states of their passages, and commits them as the next generation. ``docs/reference/format.md`` describes
the bytes. Other folders import from here, or from the modules in ``OPEN_MODULES``; the rest is internal.

Names that only writing and upkeep need are imported when first used, because a question needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deformer_qa.store.encodings import DEFAULT_ENCODING, ENCODING_NAMES, Codebook, fit_codebook
from deformer_qa.store.errors import (
    CommitFailed,
    CommitUncertain,
    DocumentNotFound,
    EncoderMismatch,
    FolderTaken,
    InvalidExport,
    InvalidRecord,
    MissingRows,
    NotErased,
    NothingBefore,
    PassageNotFound,
    StoreAccess,
    StoreDamaged,
    StoreError,
    StoreFormat,
    StoreFull,
    StoreLocked,
    StoreMissing,
)
from deformer_qa.store.newest import NewestSnapshot, open_snapshot
from deformer_qa.store.records import (
    Damage,
    DocumentInfo,
    DocumentRecord,
    EncoderInfo,
    Hit,
    PassageDraft,
    PassageRecord,
    block_key,
    encoder_input,
    keyed_input,
)
from deformer_qa.store.segments.block import PendingRow
from deformer_qa.store.snapshot import Snapshot

if TYPE_CHECKING:
    from deformer_qa.store.lock import waiting_lock
    from deformer_qa.store.upkeep.export import export_store
    from deformer_qa.store.upkeep.import_ import import_store
    from deformer_qa.store.upkeep.merge import bytes_on_disk
    from deformer_qa.store.upkeep.repair import Mended, Repair, repair
    from deformer_qa.store.upkeep.salvage import Dropped
    from deformer_qa.store.upkeep.verify import LoadEncoder, Recomputed, RowEncoder, recompute, verify
    from deformer_qa.store.writer import Writer

OPEN_MODULES = ("conditions", "encodings", "errors", "index_choice", "locations", "records")

__all__ = [
    "DEFAULT_ENCODING",
    "ENCODING_NAMES",
    "OPEN_MODULES",
    "Codebook",
    "CommitFailed",
    "CommitUncertain",
    "Damage",
    "DocumentInfo",
    "DocumentNotFound",
    "DocumentRecord",
    "Dropped",
    "EncoderInfo",
    "EncoderMismatch",
    "FolderTaken",
    "Hit",
    "InvalidExport",
    "InvalidRecord",
    "LoadEncoder",
    "Mended",
    "MissingRows",
    "NewestSnapshot",
    "NotErased",
    "NothingBefore",
    "PassageDraft",
    "PassageNotFound",
    "PassageRecord",
    "PendingRow",
    "Recomputed",
    "Repair",
    "RowEncoder",
    "Snapshot",
    "StoreAccess",
    "StoreDamaged",
    "StoreError",
    "StoreFormat",
    "StoreFull",
    "StoreLocked",
    "StoreMissing",
    "Writer",
    "block_key",
    "bytes_on_disk",
    "encoder_input",
    "export_store",
    "fit_codebook",
    "import_store",
    "keyed_input",
    "open_snapshot",
    "recompute",
    "repair",
    "verify",
    "waiting_lock",
]

_HOMES = {
    "Dropped": "upkeep.salvage",
    "Writer": "writer",
    "bytes_on_disk": "upkeep.merge",
    "export_store": "upkeep.export",
    "import_store": "upkeep.import_",
    "waiting_lock": "lock",
    **dict.fromkeys(("Mended", "Repair", "repair"), "upkeep.repair"),
    **dict.fromkeys(("LoadEncoder", "Recomputed", "RowEncoder", "recompute", "verify"), "upkeep.verify"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
