"""Which open files may a newer generation share with an older one? Those of the segments that both have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deformer_qa.store.block import Block
from deformer_qa.store.catalogue import Catalogue
from deformer_qa.store.disk import FileSum
from deformer_qa.store.manifest import Entry
from deformer_qa.store.vector_index import VectorIndex

Identity = tuple[str, frozenset[tuple[str, FileSum]]]


def identity(entry: Entry) -> Identity:
    """What tells a segment from every other, also from one of this name in a store that was put in the place of it."""
    return entry.segment, frozenset(entry.files.items())


def open_files_of(segments: Iterable[Block | Catalogue | VectorIndex]) -> dict[Identity, Any]:
    """The open files of some segments; a segment's identity says of which kind they are."""
    return {identity(segment.entry): segment.files for segment in segments}
