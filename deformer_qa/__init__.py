"""Deformer QA: exact answers from a folder of documents, read by a split transformer over stored states.

Names are imported when first used, so that ``import deformer_qa`` loads neither torch nor faiss.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Answers",
    "Encoder",
    "Index",
    "Pipeline",
    "SplitReader",
    "Writer",
    "open_snapshot",
    "sync",
    "verify",
]

_HOMES = {
    "Answer": "deformer_qa.pipeline.results",
    "Answers": "deformer_qa.pipeline.results",
    "Encoder": "deformer_qa.reader.encoder",
    "Index": "deformer_qa.index",
    "Pipeline": "deformer_qa.pipeline.ask",
    "SplitReader": "deformer_qa.reader.reading",
    "Writer": "deformer_qa.store",
    "open_snapshot": "deformer_qa.store",
    "sync": "deformer_qa.indexer.sync",
    "verify": "deformer_qa.store",
}

if TYPE_CHECKING:
    from deformer_qa.index import Index
    from deformer_qa.indexer.sync import sync
    from deformer_qa.pipeline.ask import Pipeline
    from deformer_qa.pipeline.results import Answer, Answers
    from deformer_qa.reader.encoder import Encoder
    from deformer_qa.reader.reading import SplitReader
    from deformer_qa.store import Writer, open_snapshot, verify


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
