"""Files that change while they are synced, or right after."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from parts.tiny_world import World

from deformer_qa.indexer import Event, FileCounts, Found
from deformer_qa.indexer.files import FoundFile, read_file
from deformer_qa.indexer.formats import DETECTION, VERSIONS, NotReadable, registry


def when_found(world: World, do: Callable[[], object]) -> Callable[[Event], None]:
    """A listener that does something after the plan is made and before any file is taken."""

    def listen(event: Event) -> None:
        world.events.append(event)
        if isinstance(event, Found):
            do()

    return listen


def test_a_file_edited_during_a_sync_is_indexed_as_it_is_then(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder, on_event=when_found(world, lambda: world.write("one.txt", "Written late.")))
    assert world.answers()["one.txt"] == ["Written late."]
    assert world.sync().files == FileCounts(unchanged=4)


def test_a_file_that_vanishes_during_a_sync_is_skipped_and_gone_after_the_next(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    world.write("one.txt", "Edited.")
    report = world.sync(on_event=when_found(world, lambda: (world.folder / "one.txt").unlink()))
    assert report.files == FileCounts(unchanged=3, skipped=1)
    assert report.skipped[0].reason == "cannot be read: no such file or directory"
    assert world.sync().files == FileCounts(removed=1, unchanged=3)


def test_a_moved_file_edited_during_the_sync_is_a_new_document(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    (world.folder / "one.txt").rename(world.folder / "moved.txt")
    report = world.sync(on_event=when_found(world, lambda: world.write("moved.txt", "Edited.")))
    assert (report.files, world.encoder.encoded) == (FileCounts(added=1, unchanged=3), ["Edited."])
    assert world.answers()["moved.txt"] == ["Edited."]
    assert "one.txt" not in world.answers()


def test_an_edit_right_after_a_sync_is_seen_though_size_and_time_are_the_same(world: World) -> None:
    file = world.write("a.txt", "Words of old.")
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    world.sync(world.folder)
    world.write("a.txt", "Words of new.")
    os.utime(file, ns=times)
    assert world.sync().files == FileCounts(updated=1)
    assert world.answers() == {"a.txt": ["Words of new."]}


@pytest.mark.usefixtures("later")
def test_a_new_version_of_a_format_reads_its_files_anew_and_encodes_only_new_text(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    ids = world.ids()
    text = registry.BY_NAME["text"]
    newer = replace(text, version=text.version + 1)
    monkeypatch.setitem(registry.BY_NAME, "text", newer)
    monkeypatch.setitem(registry._BY_SUFFIX, ".txt", newer)
    readers = {f"{DETECTION}/{version}" for version in {*VERSIONS, newer.versioned} - {text.versioned}}
    monkeypatch.setattr("deformer_qa.indexer.plan._READERS", readers)
    report = world.sync()
    assert (report.files, report.n_passages_encoded) == (FileCounts(updated=1, unchanged=3), 0)
    assert world.ids() == ids


def test_a_folder_that_became_a_link_out_of_the_root_is_not_read(world: World, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.txt").write_text("Secret words.")
    world.write("sub/a.txt", "Words.")
    world.write("b.txt", "Others.")

    def swap() -> None:
        (world.folder / "sub").rename(tmp_path / "away")
        (world.folder / "sub").symlink_to(tmp_path / "outside")

    report = world.sync(world.folder, on_event=when_found(world, swap))
    assert report.files == FileCounts(added=1, skipped=1)
    assert world.answers() == {"b.txt": ["Others."]}


def test_a_limit_larger_than_memory_costs_no_memory(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 10)
    file = FoundFile(str(tmp_path), "log", tmp_path / "log", 10, "")
    assert read_file(file, 10**18).raw == b"x" * 10
    with pytest.raises(NotReadable, match="at most 9 are read"):
        read_file(file, 9)
