"""Finds the generation of a store that answers, and removes files that no generation needs.

A compacted head has no parent, and older manifests set aside are removed too, so that no file holds removed content.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from deformer_qa.store import disk, names
from deformer_qa.store.errors import (
    NothingBefore,
    StoreAccess,
    StoreDamaged,
    StoreFormat,
    StoreMissing,
    reading_refused,
)
from deformer_qa.store.manifest import LARGEST_MANIFEST, Manifest, from_bytes


@dataclass(frozen=True)
class Head:
    """The generation that answers, the highest with an undamaged manifest, and the damage found in higher ones."""

    manifest: Manifest
    damaged: tuple[StoreDamaged, ...]  # highest first
    set_aside: str | None  # the name of a higher manifest that a writer found damaged and renamed

    @property
    def notice(self) -> str | None:
        """The warning that an older generation answers for a damaged head, else None."""
        if self.damaged:
            problem = f"{self.damaged[0].file}: {self.damaged[0].problem}"
        elif self.set_aside:
            problem = f"{self.set_aside}: a damaged manifest was set aside"
        else:
            return None
        return (
            f"{problem}; answering from the generation before it, {self.manifest.generation}. "
            'Run "qa index" to bring the index up to date.'
        )


def list_generations(store: Path) -> list[int]:
    """The generations that have a manifest, highest first, damaged or not.

    :raises StoreMissing: if there is no store.
    :raises StoreAccess: if it may not be read.
    """
    try:
        found = [names.manifest_generation(name) for name in os.listdir(store)]
    except FileNotFoundError:
        raise StoreMissing(store, "there is no store here") from None
    except NotADirectoryError:
        raise StoreMissing(store, "found a file, expected a store's folder") from None
    except PermissionError as error:
        raise StoreAccess(store, "no permission to read the store") from error
    generations = sorted((generation for generation in found if generation is not None), reverse=True)
    if not generations:
        raise StoreMissing(store, "this folder holds no committed index")
    return generations


def highest_number(store: Path) -> int:
    """The highest generation with a manifest, including those set aside, or 0."""
    found = [names.manifest_generation(name) or names.quarantined_generation(name) for name in os.listdir(store)]
    return max((generation for generation in found if generation is not None), default=0)


def read_manifest(store: Path, generation: int) -> Manifest:
    """The manifest of one generation.

    :raises StoreDamaged, StoreFormat: see ``manifest.from_bytes``.
    :raises FileNotFoundError: if it is gone.
    """
    return from_bytes(names.manifest_name(generation), read_manifest_bytes(store, generation))


def read_manifest_bytes(store: Path, generation: int) -> bytes:
    """The unchecked bytes of a manifest; a link, a pipe or an absurdly large file counts as damage."""
    name = names.manifest_name(generation)
    try:
        fd = os.open(store / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if os.fstat(fd).st_size > LARGEST_MANIFEST:
                raise StoreDamaged(name, f"found {os.fstat(fd).st_size:,} bytes, expected {LARGEST_MANIFEST:,} at most")
            return file.read(LARGEST_MANIFEST)
    except FileNotFoundError:
        raise
    except OSError as error:
        if refused := reading_refused(store / name, error):
            raise refused from error
        raise StoreDamaged(name, f"cannot be read ({error.strerror})") from error


def generation_before(store: Path, head: Manifest) -> Manifest:
    """The manifest of the generation that the head was made from.

    :raises NothingBefore: if there is none, with the reason.
    """
    if head.compacted:
        raise NothingBefore(store, head.generation, 'the generation before it was removed by "qa compact"')
    if head.parent is None:
        raise NothingBefore(store, head.generation, "it is the first generation")
    try:
        return read_manifest(store, head.parent)
    except FileNotFoundError:
        reason = f"the manifest of the generation before it, {names.manifest_name(head.parent)}, is not there any more"
    except (StoreDamaged, StoreFormat) as error:
        reason = f"the generation before it cannot be read: {str(error).rstrip('.')}"
    raise NothingBefore(store, head.generation, reason)


def find_head(store: Path) -> Head:
    """Find the generation that answers.

    :raises StoreMissing, StoreAccess: see ``list_generations``.
    :raises StoreDamaged: if no manifest is undamaged.
    :raises StoreFormat: if the head is undamaged but of another format; its parent does not answer instead.
    """
    damaged: list[StoreDamaged] = []
    for generation in list_generations(store):
        try:
            return Head(read_manifest(store, generation), tuple(damaged), _set_aside_above(store, generation))
        except StoreDamaged as error:
            damaged.append(error)
    raise damaged[0]


def _set_aside_above(store: Path, generation: int) -> str | None:
    higher = (name for name in os.listdir(store) if (names.quarantined_generation(name) or 0) > generation)
    return max(higher, default=None)


def collect(store: Path, head: Manifest) -> None:
    """Remove older manifests first, then segments that no kept manifest names, and leftovers of a killed commit.

    It removes only names of ours and follows no link. If the parent's manifest cannot be read, it removes no segment.
    It can be killed at any step and repeated. The writer's lock must be held.
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
    """Remove damaged manifests of older generations, so that nothing needs their segments."""
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
    """Remove a segment's directory with all it contains; a link is removed, not followed."""
    if not stat.S_ISDIR(directory.lstat().st_mode):
        disk.remove_file(directory)
        return
    for file in os.listdir(directory):
        remove_segment(directory / file)
    disk.remove_directory(directory)


def _needed_segments(store: Path, head: Manifest) -> frozenset[str] | None:
    """Segments of head and parent; None if the parent exists but cannot be read."""
    if head.parent is None:
        return head.segment_names
    try:
        return head.segment_names | read_manifest(store, head.parent).segment_names
    except FileNotFoundError:
        return head.segment_names
    except (StoreDamaged, StoreFormat):
        return None
