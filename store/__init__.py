"""What is on disk, and when is it committed?

Readers open a ``Snapshot``, one whole generation of the store; the one ``Writer`` gathers documents with the
vectors and states of their passages and commits them as the next. ``docs/FORMAT.md`` describes the bytes.
"""

from deformer_qa.store.encodings import DEFAULT_ENCODING, ENCODING_NAMES
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
from deformer_qa.store.exporting import export_store
from deformer_qa.store.importing import import_store
from deformer_qa.store.records import (
    Damage,
    DocumentInfo,
    DocumentRecord,
    EncoderInfo,
    Hit,
    PassageDraft,
    PassageRecord,
    block_key,
)
from deformer_qa.store.snapshot import Snapshot, open_snapshot
from deformer_qa.store.verifying import verify
from deformer_qa.store.writer import Writer

__all__ = [
    "DEFAULT_ENCODING",
    "ENCODING_NAMES",
    "CommitFailed",
    "CommitUncertain",
    "Damage",
    "DocumentInfo",
    "DocumentNotFound",
    "DocumentRecord",
    "EncoderInfo",
    "EncoderMismatch",
    "FolderTaken",
    "Hit",
    "InvalidExport",
    "InvalidRecord",
    "MissingRows",
    "NotErased",
    "NothingBefore",
    "PassageDraft",
    "PassageNotFound",
    "PassageRecord",
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
    "export_store",
    "import_store",
    "open_snapshot",
    "verify",
]
