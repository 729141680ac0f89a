"""How is a store made as small as what lives in it, so that nothing that was removed is in any of its files?

What lives is written anew into few segments, committed as a generation without a parent. Then everything else goes:
the generation before, segments that nothing needs, and what was set aside as damaged. A writer that finds such a head
finishes this where it was killed. A segment that is alone in its group and holds nothing dead stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from deformer_qa.store import disk, names
from deformer_qa.store.block import Block
from deformer_qa.store.block_writing import copy_rows
from deformer_qa.store.catalogue import Catalogue
from deformer_qa.store.catalogue_writing import copy_live_documents
from deformer_qa.store.collecting import collect
from deformer_qa.store.encodings import encoding_named
from deformer_qa.store.errors import NotErased, StoreAccess
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Manifest
from deformer_qa.store.snapshot import Snapshot
from deformer_qa.store.verifying import check_file

LARGEST_BLOCK = 4 << 30  # bytes of live rows; a larger block stays alone
LARGEST_CATALOGUE = 1 << 20  # live documents and passages: its passage arrays are made in memory


def bytes_to_write(snapshot: Snapshot) -> int:
    """About how many bytes ``write`` would write, at most."""
    groups: list[Sequence[Block] | Sequence[Catalogue]] = [*_block_groups(snapshot), *_catalogue_groups(snapshot)]
    return sum(one.entry.n_bytes for group in groups if not _stays(group) for one in group)


def write(
    store: Path, snapshot: Snapshot, new_segment: Callable[[], str]
) -> tuple[list[BlockEntry], list[CatalogueEntry]]:
    """Write and sync what lives in a generation as few segments, after comparing every byte of it with its checksum.

    Rows and documents are copied from the maps as they are, checksums included; words are indexed anew.

    :raises StoreDamaged: naming the first damaged file.
    """
    for entry in snapshot.manifest.segments:
        for file, expected in entry.files.items():  # else damage would get a fresh checksum
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
    """Remove everything of ours but a compacted head, so that it does not come back after a power cut either.

    :raises NotErased: where something could not be removed; it may be repeated.
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
    """Which blocks are to become one; those without a live row are in no group."""
    living = [block for block in snapshot.blocks if block.entry.n_live_rows]
    live = [block.entry.n_bytes * block.entry.n_live_rows // block.entry.n_rows for block in living]  # about
    return [[living[number] for number in group] for group in groups_of(live, LARGEST_BLOCK)]


def _catalogue_groups(snapshot: Snapshot) -> list[list[Catalogue]]:
    living = [catalogue for catalogue in snapshot.catalogues if catalogue.entry.n_live_documents]
    live = [catalogue.entry.n_live_documents + catalogue.entry.n_live_passages for catalogue in living]
    return [[living[number] for number in group] for group in groups_of(live, LARGEST_CATALOGUE)]


def groups_of(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Neighbours, by number, whose sizes add up to the limit at most; one that is larger is a group of its own."""
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
    """Whether a group is one segment in which all lives."""
    entry = group[0].entry
    dead = entry.dead_rows if isinstance(entry, BlockEntry) else entry.deleted_documents
    return len(group) == 1 and not dead
