"""Would the torture notice? Writers that are broken on purpose, each of which some part must catch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from deformer_qa.store import commit, disk, lock, names, writer
from deformer_qa.store.generations import collect
from deformer_qa.store.manifest import Manifest, to_bytes
from deformer_qa.store.segments import block, catalogue_writer
from deformer_qa.store.upkeep import merge

Patches = list[tuple[Any, str, Any]]


def _no_file_sync() -> Patches:
    return [(disk, "sync_file", lambda fd: None)]


def _no_directory_sync() -> Patches:
    return [(disk, "sync_directory", lambda path: None)]


def _manifest_in_place() -> Patches:
    """The manifest is written under its own name, over whatever has it."""

    def publish(store: Path, manifest: Manifest) -> None:
        disk.sync_directory(store / names.SEGMENTS)
        with patch.object(disk, "create_file", _create_or_truncate):
            disk.write_file(store / names.manifest_name(manifest.generation), [to_bytes(manifest)])
        disk.sync_directory(store)

    return [(writer, "publish", publish)]


def _segments_in_place() -> Patches:
    """What a merge writes anew takes the place of the files that it was copied from."""

    def in_place(write: Callable[..., Any], place: int) -> Callable[..., Any]:
        def run(store: Path, segment: str, *arguments: Any) -> Any:
            entry = write(store, segment, *arguments)
            old = arguments[place][0].entry.segment
            for file in entry.files if entry else ():
                os.replace(store / names.SEGMENTS / segment / file, store / names.SEGMENTS / old / file)
            return replace(entry, segment=old) if entry else None

        return run

    return [
        (merge, "copy_rows", in_place(block.copy_rows, 1)),
        (merge, "copy_live_documents", in_place(catalogue_writer.copy_live_documents, 0)),
    ]


def _collect_before_commit() -> Patches:
    def publish(store: Path, manifest: Manifest) -> None:
        _collect_all_but(store, manifest)
        commit.publish(store, manifest)

    return [(writer, "publish", publish)]


def _collect_before_root_sync() -> Patches:
    """The old generation goes when the new one has its name, which is not on the disk yet."""

    def publish(store: Path, manifest: Manifest) -> None:
        sync = disk.sync_directory

        def collect_and_sync(path: Path) -> None:
            if path == store:
                _collect_all_but(store, manifest)
            sync(path)

        with patch.object(disk, "sync_directory", collect_and_sync):
            commit.publish(store, manifest)

    return [(writer, "publish", publish)]


def _no_lock() -> Patches:
    return [(lock.fcntl, "flock", lambda fd, how: None)]


def _collect_all_but(store: Path, manifest: Manifest) -> None:
    if manifest.parent is not None:
        collect(store, replace(manifest, parent=None))


def _create_or_truncate(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)


VARIANTS: dict[str, Callable[[], Patches]] = {
    "no file sync": _no_file_sync,
    "no directory sync": _no_directory_sync,
    "manifest in place": _manifest_in_place,
    "segments in place": _segments_in_place,
    "collect before commit": _collect_before_commit,
    "collect before root sync": _collect_before_root_sync,
    "no lock": _no_lock,
}


@contextmanager
def broken(variant: str) -> Iterator[None]:
    """Within, the store's code is broken in this way; "" breaks nothing."""
    with ExitStack() as stack:
        for owner, name, replacement in VARIANTS[variant]() if variant else ():
            stack.enter_context(patch.object(owner, name, replacement))
        yield
