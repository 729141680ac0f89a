"""Which files of a store are not as they were committed: reads every byte of the head and of its parent."""

from __future__ import annotations

import os
from pathlib import Path

from deformer_qa.store import names
from deformer_qa.store.disk import FileSum, hash_descriptor
from deformer_qa.store.errors import StoreDamaged
from deformer_qa.store.generations import list_generations, read_manifest
from deformer_qa.store.manifest import Manifest
from deformer_qa.store.mapping import open_segment_file
from deformer_qa.store.records import Damage


def verify(path: Path) -> list[Damage]:
    """Every damaged file of the head and parent generations, manifests included; an empty list is a healthy store.

    Leavings of an interrupted commit are no damage, nor is the lock file.

    :raises StoreMissing, StoreAccess, StoreFormat: where there is nothing to verify.
    """
    path = Path(path)
    while True:
        generations = list_generations(path)
        damages = _verify_once(path, generations)
        if not damages or list_generations(path) == generations:  # else a writer may have collected what is missing
            return damages


def check_file(store: Path, segment: str, file: str, expected: FileSum) -> None:
    """Read every byte of a file and compare.

    :raises StoreDamaged: naming the file, where it is not as committed.
    """
    fd = open_segment_file(store, segment, file, expected)
    try:
        found = hash_descriptor(fd)
    except OSError as error:
        raise StoreDamaged(names.segment_file(segment, file), f"cannot be read ({error.strerror})") from error
    finally:
        os.close(fd)
    if found != expected:
        raise StoreDamaged(names.segment_file(segment, file), "the checksum does not match the content")


def _verify_once(store: Path, generations: list[int]) -> list[Damage]:
    manifests, damages = _kept_manifests(store, generations)
    checked: set[tuple[str, str, FileSum]] = set()
    for manifest in manifests:
        for entry in manifest.segments:
            for file, expected in entry.files.items():
                if (entry.segment, file, expected) in checked:
                    continue
                checked.add((entry.segment, file, expected))
                try:
                    check_file(store, entry.segment, file, expected)
                except StoreDamaged as error:
                    damages.append(Damage(error.file, error.problem))
    return damages


def _kept_manifests(store: Path, generations: list[int]) -> tuple[list[Manifest], list[Damage]]:
    """The whole manifests among head and parent, and what is wrong with the others."""
    manifests: list[Manifest] = []
    damages: list[Damage] = []
    set_aside = [names.quarantined_generation(name) or 0 for name in os.listdir(store)]
    for generation in generations:
        if manifests and generation != manifests[0].parent:
            continue  # older ones that were about to be collected
        try:
            manifests.append(read_manifest(store, generation))
        except (StoreDamaged, FileNotFoundError) as error:
            problem = error.problem if isinstance(error, StoreDamaged) else "expected a manifest, found no file"
            damages.append(Damage(names.manifest_name(generation), problem))
    head = manifests[0] if manifests else None
    if head is not None and head.parent is not None and head.parent not in generations:
        stands_in = damages or max(set_aside, default=0) > head.generation  # its parent was collected in good order
        if not stands_in:
            damages.append(Damage(names.manifest_name(head.parent), "expected a manifest, found no file"))
    return manifests, damages
