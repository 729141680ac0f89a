"""Which small segments are to become one: a run of commits leaves a few segments, and each row is copied a few times.

Sizes are those of what lives. A segment of at least the limit is left alone. In a large store the limit is a share of
it, so that a store of any size has few segments: each costs time at every opening and every look-up. Among the smaller
ones, sorted by size, each must be at least twice as large as all those after it together; from the first that is not,
the rest become one. So n equal commits leave at most log3(n) + 1 small segments, and a copied row ends in a segment at
least half as large again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deformer_qa.store import ranges
from deformer_qa.store.block import Block
from deformer_qa.store.block_writing import copy_rows, rows_to_drop
from deformer_qa.store.catalogue import Catalogue
from deformer_qa.store.catalogue_writing import copy_live_documents
from deformer_qa.store.encodings import Encoding
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry
from deformer_qa.store.snapshot import Snapshot
from deformer_qa.store.verifying import check_file

SMALL_BLOCK_BYTES = 64 << 20
SMALL_CATALOGUE_ROWS = 32_768
# Shares of all that lives; where that is more, a segment below it counts as small. Catalogues are cheap to copy.
SMALL_BLOCK_SHARE = 1 / 4
SMALL_CATALOGUE_SHARE = 1 / 2


@dataclass(frozen=True)
class Merge:
    """Groups of segments, each to become one. Rows in ``waiting`` are kept, dead or alive."""

    blocks: list[list[Block]]
    catalogues: list[list[Catalogue]]
    waiting: Sequence[bytes]

    @property
    def replaced(self) -> list[BlockEntry | CatalogueEntry]:
        """The segments that will be no more."""
        blocks = [block.entry for group in self.blocks for block in group]
        return [*blocks, *(catalogue.entry for group in self.catalogues for catalogue in group)]


def choose(snapshot: Snapshot, waiting: Sequence[bytes]) -> Merge:
    """What is to be merged in a generation; nothing where it is in order."""
    return Merge(blocks_to_merge(snapshot.blocks, waiting), catalogues_to_merge(snapshot.catalogues), waiting)


def write(
    store: Path, snapshot: Snapshot, chosen: Merge, encoding: Encoding, new_segment: Callable[[], str]
) -> tuple[list[BlockEntry], list[CatalogueEntry]]:
    """Write and sync what is chosen as fewer segments; the entries of all that the new generation has.

    :raises StoreDamaged: where a segment to be copied is damaged.
    """
    replaced = chosen.replaced
    for entry in replaced:
        for file, expected in entry.files.items():  # else damage would get a fresh checksum
            check_file(store, entry.segment, file, expected)
    blocks = [copy_rows(store, new_segment(), encoding, group, chosen.waiting) for group in chosen.blocks]
    catalogues = [copy_live_documents(store, new_segment(), group) for group in chosen.catalogues]
    return (
        [block.entry for block in snapshot.blocks if block.entry not in replaced]
        + [entry for entry in blocks if entry is not None],
        [catalogue.entry for catalogue in snapshot.catalogues if catalogue.entry not in replaced] + catalogues,
    )


def blocks_to_merge(blocks: Sequence[Block], waiting: Sequence[bytes]) -> list[list[Block]]:
    """Groups of blocks, each to become one; rows in ``waiting`` count as living."""
    whole = [block.entry.n_bytes for block in blocks]
    n_kept = [block.entry.n_rows - ranges.count(rows_to_drop(block, waiting)) for block in blocks]
    live = [block.entry.n_bytes * n // block.entry.n_rows for block, n in zip(blocks, n_kept, strict=True)]  # about
    groups = groups_to_merge(live, whole, limit(live, SMALL_BLOCK_BYTES, SMALL_BLOCK_SHARE))
    return [[blocks[number] for number in group] for group in groups]


def catalogues_to_merge(catalogues: Sequence[Catalogue]) -> list[list[Catalogue]]:
    """Groups of catalogues, each to become one."""
    entries = [catalogue.entry for catalogue in catalogues]
    whole = [entry.n_documents + entry.n_passages for entry in entries]
    live = [entry.n_live_documents + entry.n_live_passages for entry in entries]
    groups = groups_to_merge(live, whole, limit(live, SMALL_CATALOGUE_ROWS, SMALL_CATALOGUE_SHARE))
    return [[catalogues[number] for number in group] for group in groups]


def limit(live: Sequence[int], least: int, share: float) -> int:
    """The size from which on a segment is large, in the unit of ``live``."""
    return max(least, int(share * sum(live)))


def groups_to_merge(live: Sequence[int], whole: Sequence[int], large: int) -> list[list[int]]:
    """Which segments, by number, are to be written anew: each group becomes one segment, or none where nothing lives.

    ``live`` and ``whole``: sizes of what lives in each segment and of all that it holds, in any unit.
    """
    small = sorted((number for number, size in enumerate(live) if size < large), key=lambda number: -live[number])
    chosen = _unbalanced(small, live)
    chosen += [number for number in small if number not in chosen and 2 * live[number] < whole[number]]
    groups: list[list[int]] = []
    gathered = large
    for number in sorted(chosen):
        if gathered >= large:
            groups.append([])
            gathered = 0
        groups[-1].append(number)
        gathered += live[number]
    return [group for group in groups if len(group) > 1 or 2 * live[group[0]] < whole[group[0]]]


def _unbalanced(small: Sequence[int], live: Sequence[int]) -> list[int]:
    """From the first segment that is less than twice the size of all smaller ones together, to the smallest."""
    after = sum(live[number] for number in small)
    for place, number in enumerate(small):
        after -= live[number]
        if live[number] < 2 * after:
            return list(small[place:])
    return []
