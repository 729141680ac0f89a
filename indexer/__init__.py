"""How does a corpus become a store? Files to documents to passages, and what changed since the last time."""

from deformer_qa.indexer.encoding import TextEncoder
from deformer_qa.indexer.errors import EncoderFailing, IndexerError, PathMissing, PathUnusable, RootGone
from deformer_qa.indexer.events import (
    Committed,
    Event,
    FileCounts,
    FileDone,
    Found,
    PassagesEncoded,
    RecordSkipped,
    Skipped,
    SyncReport,
)
from deformer_qa.indexer.sync import sync

__all__ = [
    "Committed",
    "EncoderFailing",
    "Event",
    "FileCounts",
    "FileDone",
    "Found",
    "IndexerError",
    "PassagesEncoded",
    "PathMissing",
    "PathUnusable",
    "RecordSkipped",
    "RootGone",
    "Skipped",
    "SyncReport",
    "TextEncoder",
    "sync",
]
