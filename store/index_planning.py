"""Which rows get a vector index? None in a small store; the rest in a few indexes, each made anew a few times.

Rows of blocks that no index covers are compared one by one. Once they are many, one new index takes them, and with them
the rows of every index that is less than twice as large: so there are few indexes, and a row is indexed log2(n) times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deformer_qa.store.factory import AUTO, FLAT, Factory, by_size, parsed
from deformer_qa.store.manifest import BlockEntry, IndexEntry

FLAT_ROWS = 50_000  # that are compared one by one about as fast as an index is asked
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


def plan(indexes: Sequence[IndexEntry], blocks: Sequence[BlockEntry], choice: str, flat_rows: int = FLAT_ROWS) -> Plan:
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
    if n_gathered <= (FLAT_ROWS if choice == AUTO or kept else 0):
        return Plan(tuple(kept), (), None)
    for index in sorted(kept, key=rows_there):
        if rows_there(index) < 2 * n_gathered:
            n_gathered += rows_there(index)
            kept.remove(index)
    taken = tuple(uncovered(kept))
    n_rows = sum(block.n_rows for block in taken)
    return Plan(tuple(kept), taken, by_size(n_rows) if choice == AUTO else parsed(choice))
