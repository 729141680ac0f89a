"""What may be removed: everything of ours that neither the head nor its parent needs.

A compacted head has no parent, and what was set aside before it goes too: what was removed is to be in no file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from deformer_qa.store import disk, names
from deformer_qa.store.errors import StoreDamaged, StoreFormat
from deformer_qa.store.generations import list_generations, read_manifest
from deformer_qa.store.manifest import Manifest


def collect(store: Path, head: Manifest) -> None:
    """Remove older manifests first, then the segments that no kept manifest names, and what a killed commit left.

    Removes only names of ours, follows no link, and no segment at all where the parent's needs cannot be read. Can be
    killed at any step and repeated. The writer's lock must be held.
    """
    kept = {head.generation} | ({head.parent} if head.parent else set())
    for generation in list_generations(store):
        if generation not in kept:
            disk.remove_file(store / names.manifest_name(generation))
    disk.remove_file(store / names.NEW_MANIFEST)
    if head.compacted:
        _remove_set_aside(store, head.generation)
    needed = _needed_segments(store, head)
    if needed is not None:
        remove_segments(store, needed)


def _remove_set_aside(store: Path, generation: int) -> None:
    """Remove the damaged manifests of older generations; their segments are then nobody's."""
    for name in os.listdir(store):
        if 0 < (names.quarantined_generation(name) or 0) < generation:
            disk.remove_file(store / name)


def remove_segments(store: Path, needed: frozenset[str]) -> None:
    """Remove every segment but the needed ones and those of a generation whose manifest was set aside as damaged."""
    segments = store / names.SEGMENTS
    if not segments.is_dir() or segments.is_symlink():
        return
    set_aside = {names.quarantined_generation(name) for name in os.listdir(store)}
    for name in os.listdir(segments):
        generation = names.segment_generation(name)
        if generation is not None and name not in needed and generation not in set_aside:
            remove_segment(segments / name)


def remove_segment(directory: Path) -> None:
    """Remove a segment's files, then its directory; a link in its place is removed, not followed."""
    if not stat.S_ISDIR(directory.lstat().st_mode):
        disk.remove_file(directory)
        return
    for file in os.listdir(directory):
        disk.remove_file(directory / file)
    disk.remove_directory(directory)


def _needed_segments(store: Path, head: Manifest) -> frozenset[str] | None:
    """Segments of head and parent, None where a parent lies there that cannot be read."""
    if head.parent is None:
        return head.segment_names
    try:
        return head.segment_names | read_manifest(store, head.parent).segment_names
    except FileNotFoundError:
        return head.segment_names
    except (StoreDamaged, StoreFormat):
        return None
