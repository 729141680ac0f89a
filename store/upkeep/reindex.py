"""Brings the vector indexes of a generation up to date: the last step of merging and compacting.

Rows of blocks that no index covers are compared one by one. Once they are many, one new index takes them, and with them
the rows of every index that is less than twice as large: so there are few indexes, and a row is indexed log2(n) times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deformer_qa.store.commit import require_room
from deformer_qa.store.index_choice import AUTO, FLAT, Factory, factory_of, is_due
from deformer_qa.store.manifest import BlockEntry, IndexEntry
from deformer_qa.store.records import EncoderInfo
from deformer_qa.store.segments.block import Block, BlockFiles
from deformer_qa.store.segments.vector_index import write_index

LEAST_THERE = 1 / 2  # of an index's rows lies in blocks that were not merged away; else it is dropped


@dataclass(frozen=True)
class Plan:
    """Indexes that stay, and the blocks that a new one is to cover, none where there is to be none."""

    kept: tuple[IndexEntry, ...]
    blocks: tuple[BlockEntry, ...]
    factory: Factory | None

    def changes(self, indexes: Sequence[IndexEntry]) -> bool:
        """Whether it leaves others than these."""
        return bool(self.blocks) or len(self.kept) != len(indexes)


def surviving(indexes: Sequence[IndexEntry], blocks: Sequence[BlockEntry]) -> list[IndexEntry]:
    """The indexes that still cover some of these blocks."""
    there = {block.segment for block in blocks}
    return [index for index in indexes if any(covered.segment in there for covered in index.covers)]


def plan(indexes: Sequence[IndexEntry], blocks: Sequence[BlockEntry], choice: str) -> Plan:
    """What is to become of the indexes of a store with these blocks; the plan of its outcome changes nothing more.

    Dead rows in blocks that are there do not count against an index: a new one would hold them too.

    ``choice``: auto, flat, or a factory string, then from the first row on.
    """
    if choice == FLAT:
        return Plan((), (), None)
    n_there = {block.segment: block.n_rows for block in blocks}

    def rows_there(index: IndexEntry) -> int:
        return sum(n_there.get(covered.segment, 0) for covered in index.covers)

    def uncovered(indexes: Sequence[IndexEntry]) -> list[BlockEntry]:
        covered = {block.segment for index in indexes for block in index.covers}
        return [block for block in blocks if block.segment not in covered]

    kept = [index for index in indexes if rows_there(index) >= LEAST_THERE * index.n_rows]
    if choice != AUTO:
        kept = [index for index in kept if index.factory == choice]
    n_gathered = sum(block.n_live_rows for block in uncovered(kept))
    if not is_due(n_gathered, choice, bool(kept)):
        return Plan(tuple(kept), (), None)
    for index in sorted(kept, key=rows_there):
        if rows_there(index) < 2 * n_gathered:
            n_gathered += rows_there(index)
            kept.remove(index)
    taken = tuple(uncovered(kept))
    return Plan(tuple(kept), taken, factory_of(choice, sum(block.n_rows for block in taken)))


def renewed_indexes(
    store: Path,
    new_segment: Callable[[], str],
    encoder: EncoderInfo,
    encoding: str,
    blocks: Sequence[BlockEntry],
    indexes: Sequence[IndexEntry],
    choice: str,
) -> list[IndexEntry]:
    """The indexes that a generation with these blocks is to have; what it lacks is written and synced, not committed.

    The blocks may be committed or just written.

    :raises StoreFull: where there is no room for a new one.
    """
    planned = plan(indexes, blocks, choice)
    if planned.factory is None:
        return list(planned.kept)
    n_rows = sum(block.n_rows for block in planned.blocks)
    require_room(store, (n_rows + 4 * planned.factory.n_lists) * (encoder.vector_width + 8))
    covered = [Block(entry, BlockFiles(store, entry, encoder, encoding)) for entry in planned.blocks]
    return [*planned.kept, write_index(store, new_segment(), covered, planned.factory)]
