"""What is on disk, and when is it committed?

Readers open a ``Snapshot``, one whole generation of the store; the one ``Writer`` gathers documents with the
vectors and states of their passages and commits them as the next. ``docs/FORMAT.md`` describes the bytes.
"""

from deformer_qa.store.codebook import Codebook, fit_codebook
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
from deformer_qa.store.newest import open_snapshot
from deformer_qa.store.recomputing import LoadEncoder, Recomputed, RowEncoder, recompute
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
from deformer_qa.store.repairing import Mended, Repair, repair
from deformer_qa.store.salvaging_documents import Dropped
from deformer_qa.store.snapshot import Snapshot
from deformer_qa.store.verifying import verify
from deformer_qa.store.writer import Writer

__all__ = [
    "DEFAULT_ENCODING",
    "ENCODING_NAMES",
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
    "NotErased",
    "NothingBefore",
    "PassageDraft",
    "PassageNotFound",
    "PassageRecord",
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
    "encoder_input",
    "export_store",
    "fit_codebook",
    "import_store",
    "keyed_input",
    "open_snapshot",
    "recompute",
    "repair",
    "verify",
]
