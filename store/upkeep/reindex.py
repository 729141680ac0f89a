"""Brings the vector indexes of a generation up to date: the last step of merging and compacting.

Rows of blocks without an index are compared one by one. Once they are many, a new index takes them, together with the
rows of every index less than twice as large. So there are few indexes, and a row is indexed log2(n) times.
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

LEAST_THERE = 1 / 2  # an index is dropped if a smaller share of its rows is in existing blocks


@dataclass(frozen=True)
class Plan:
    """The indexes that stay, and the blocks for a new one to cover (none if no index is made)."""

    kept: tuple[IndexEntry, ...]
    blocks: tuple[BlockEntry, ...]
    factory: Factory | None

    def changes(self, indexes: Sequence[IndexEntry]) -> bool:
        """Whether the plan changes these indexes."""
        return bool(self.blocks) or len(self.kept) != len(indexes)


def surviving(indexes: Sequence[IndexEntry], blocks: Sequence[BlockEntry]) -> list[IndexEntry]:
    """The indexes that still cover some of these blocks."""
    there = {block.segment for block in blocks}
    return [index for index in indexes if any(covered.segment in there for covered in index.covers)]


def plan(indexes: Sequence[IndexEntry], blocks: Sequence[BlockEntry], choice: str) -> Plan:
    """Plan the indexes of a store with these blocks; a second plan on the result changes nothing.

    Dead rows in existing blocks do not count against an index, because a new one would hold them too.

    ``choice``: auto, flat, or a factory string, which applies from the first row on.
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
    """The indexes for a generation with these blocks; a missing one is written and synced, but not committed.

    The blocks may be committed or just written.

    :raises StoreFull: if there is no room for a new one.
    """
    planned = plan(indexes, blocks, choice)
    if planned.factory is None:
        return list(planned.kept)
    n_rows = sum(block.n_rows for block in planned.blocks)
    require_room(store, (n_rows + 4 * planned.factory.n_lists) * (encoder.vector_width + 8))
    covered = [Block(entry, BlockFiles(store, entry, encoder, encoding)) for entry in planned.blocks]
    return [*planned.kept, write_index(store, new_segment(), covered, planned.factory)]
