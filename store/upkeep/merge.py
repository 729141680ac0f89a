"""Merges segments to keep their number small, and compacts a store so that its files hold only live content.

Merging: sizes count live content only. A segment of at least the limit is left alone. In a large store the limit is a
share of it, so that a store of any size has few segments: each costs time at every opening and look-up. Smaller
segments are sorted by size, and each must be at least twice as large as all those after it together; from the first
that is not, the rest are merged into one. So n equal commits leave at most log3(n) + 1 small segments, and a copied row
ends in a segment at least half as large again.

Compacting: live content is rewritten into few segments, committed as a generation without a parent. Then everything
else is removed: the previous generation, segments that nothing needs, and damaged files set aside. If this is killed,
the next writer finishes it. A segment that is alone in its group and has nothing dead stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deformer_qa.store import disk, names
from deformer_qa.store.encodings import Encoding, encoding_named
from deformer_qa.store.errors import NotErased, StoreAccess
from deformer_qa.store.generations import collect
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Manifest
from deformer_qa.store.segments import ranges
from deformer_qa.store.segments.block import Block, copy_rows, rows_to_drop
from deformer_qa.store.segments.catalogue import Catalogue
from deformer_qa.store.segments.catalogue_writer import copy_live_documents
from deformer_qa.store.snapshot import Snapshot
from deformer_qa.store.upkeep.verify import check_file

SMALL_BLOCK_BYTES = 64 << 20
SMALL_CATALOGUE_ROWS = 32_768
# Shares of all live content; if larger, they replace the limits of small segments. Catalogues are cheap to copy.
SMALL_BLOCK_SHARE = 1 / 4
SMALL_CATALOGUE_SHARE = 1 / 2


@dataclass(frozen=True)
class Merge:
    """Groups of segments to merge into one each. Rows in ``waiting`` are kept, dead or alive."""

    blocks: list[list[Block]]
    catalogues: list[list[Catalogue]]
    waiting: Sequence[bytes]

    @property
    def replaced(self) -> list[BlockEntry | CatalogueEntry]:
        """The segments that the merge replaces."""
        blocks = [block.entry for group in self.blocks for block in group]
        return [*blocks, *(catalogue.entry for group in self.catalogues for catalogue in group)]


def choose(snapshot: Snapshot, waiting: Sequence[bytes]) -> Merge:
    """Choose the segments of a generation to merge; none if it is in order."""
    return Merge(blocks_to_merge(snapshot.blocks, waiting), catalogues_to_merge(snapshot.catalogues), waiting)


def write_merged(
    store: Path, snapshot: Snapshot, chosen: Merge, encoding: Encoding, new_segment: Callable[[], str]
) -> tuple[list[BlockEntry], list[CatalogueEntry]]:
    """Write and sync the merged segments; returns the entries of all segments of the new generation.

    :raises StoreDamaged: if a segment to copy is damaged.
    """
    replaced = chosen.replaced
    for entry in replaced:
        for file, expected in entry.files.items():  # otherwise damage would get a fresh checksum
            check_file(store, entry.segment, file, expected)
    blocks = [copy_rows(store, new_segment(), encoding, group, chosen.waiting) for group in chosen.blocks]
    catalogues = [copy_live_documents(store, new_segment(), group) for group in chosen.catalogues]
    return (
        [block.entry for block in snapshot.blocks if block.entry not in replaced]
        + [entry for entry in blocks if entry is not None],
        [catalogue.entry for catalogue in snapshot.catalogues if catalogue.entry not in replaced] + catalogues,
    )


def blocks_to_merge(blocks: Sequence[Block], waiting: Sequence[bytes]) -> list[list[Block]]:
    """Groups of blocks to merge into one each; rows in ``waiting`` count as live."""
    whole = [block.entry.n_bytes for block in blocks]
    n_kept = [block.entry.n_rows - ranges.count(rows_to_drop(block, waiting)) for block in blocks]
    live = [block.entry.n_bytes * n // block.entry.n_rows for block, n in zip(blocks, n_kept, strict=True)]  # about
    groups = groups_to_merge(live, whole, limit(live, SMALL_BLOCK_BYTES, SMALL_BLOCK_SHARE))
    return [[blocks[number] for number in group] for group in groups]


def catalogues_to_merge(catalogues: Sequence[Catalogue]) -> list[list[Catalogue]]:
    """Groups of catalogues to merge into one each."""
    entries = [catalogue.entry for catalogue in catalogues]
    whole = [entry.n_documents + entry.n_passages for entry in entries]
    live = [entry.n_live_documents + entry.n_live_passages for entry in entries]
    groups = groups_to_merge(live, whole, limit(live, SMALL_CATALOGUE_ROWS, SMALL_CATALOGUE_SHARE))
    return [[catalogues[number] for number in group] for group in groups]


def limit(live: Sequence[int], least: int, share: float) -> int:
    """The size from which a segment counts as large, in the unit of ``live``."""
    return max(least, int(share * sum(live)))


def groups_to_merge(live: Sequence[int], whole: Sequence[int], large: int) -> list[list[int]]:
    """Groups of segments, by number, to rewrite: each becomes one segment, or none if nothing in it is live.

    ``live`` and ``whole``: sizes of the live content and of the whole of each segment, in any unit.
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


LARGEST_BLOCK = 4 << 30  # bytes of live rows; a larger block stays alone
LARGEST_CATALOGUE = 1 << 20  # live documents and passages: its passage arrays are made in memory


def bytes_to_write(snapshot: Snapshot) -> int:
    """The approximate largest number of bytes that ``write_compacted`` would write."""
    groups: list[Sequence[Block] | Sequence[Catalogue]] = [*_block_groups(snapshot), *_catalogue_groups(snapshot)]
    return sum(one.entry.n_bytes for group in groups if not _stays(group) for one in group)


def write_compacted(
    store: Path, snapshot: Snapshot, new_segment: Callable[[], str]
) -> tuple[list[BlockEntry], list[CatalogueEntry]]:
    """Write and sync the live content of a generation as few segments, after checking every byte by its checksum.

    Rows and documents are copied from the maps as they are, checksums included; words are indexed anew.

    :raises StoreDamaged: naming the first damaged file.
    """
    for entry in snapshot.manifest.segments:
        for file, expected in entry.files.items():  # otherwise damage would get a fresh checksum
            check_file(store, entry.segment, file, expected)
    encoding = encoding_named(snapshot.encoding)
    blocks = [
        group[0].entry if _stays(group) else copy_rows(store, new_segment(), encoding, group, waiting=())
        for group in _block_groups(snapshot)
    ]
    catalogues = [
        group[0].entry if _stays(group) else copy_live_documents(store, new_segment(), group)
        for group in _catalogue_groups(snapshot)
    ]
    return [entry for entry in blocks if entry is not None], catalogues


def erase(store: Path, head: Manifest) -> None:
    """Remove all our files except a compacted head, durably even in case of a power cut.

    :raises NotErased: if something could not be removed; the call may be repeated.
    """
    try:
        collect(store, head)
        disk.sync_directory(store / names.SEGMENTS)
        disk.sync_directory(store)
    except (OSError, StoreAccess) as error:
        raise NotErased(store, head.generation, getattr(error, "strerror", None) or str(error)) from error


def bytes_on_disk(store: Path) -> int:
    """The bytes of all files in a store's folder, whether a generation needs them or not."""
    return sum(
        os.lstat(os.path.join(folder, file)).st_size for folder, _, files in os.walk(store) for file in sorted(files)
    )


def _block_groups(snapshot: Snapshot) -> list[list[Block]]:
    """Groups of blocks to rewrite as one each; blocks without a live row are in no group."""
    living = [block for block in snapshot.blocks if block.entry.n_live_rows]
    live = [block.entry.n_bytes * block.entry.n_live_rows // block.entry.n_rows for block in living]  # about
    return [[living[number] for number in group] for group in groups_of(live, LARGEST_BLOCK)]


def _catalogue_groups(snapshot: Snapshot) -> list[list[Catalogue]]:
    living = [catalogue for catalogue in snapshot.catalogues if catalogue.entry.n_live_documents]
    live = [catalogue.entry.n_live_documents + catalogue.entry.n_live_passages for catalogue in living]
    return [[living[number] for number in group] for group in groups_of(live, LARGEST_CATALOGUE)]


def groups_of(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Groups of neighbours, by number, whose sizes add up to at most the limit; a larger one is its own group."""
    groups: list[list[int]] = []
    gathered = limit
    for number, size in enumerate(sizes):
        if gathered + size > limit or not groups:
            groups.append([])
            gathered = 0
        groups[-1].append(number)
        gathered += size
    return groups


def _stays(group: Sequence[Block] | Sequence[Catalogue]) -> bool:
    """Whether a group is a single segment without dead content."""
    entry = group[0].entry
    dead = entry.dead_rows if isinstance(entry, BlockEntry) else entry.deleted_documents
    return len(group) == 1 and not dead
