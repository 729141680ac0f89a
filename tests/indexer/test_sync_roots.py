"""Folders and files as roots of the index: gone, nested, taken over, synced in part."""

from __future__ import annotations

from pathlib import Path

import pytest
from parts.tiny_world import World

from deformer_qa.indexer import FileCounts, RootGone
from deformer_qa.store import open_snapshot


def test_a_gone_root_is_an_error_unless_pruned(world: World, tmp_path: Path) -> None:
    world.write("a.txt", "Words.")
    other = World(tmp_path / "other", world.store, world.encoder)
    other.write("b.txt", "Others.")
    world.sync(world.folder, other.folder)
    (other.folder / "b.txt").unlink()
    other.folder.rmdir()
    world.write("a.txt", "Changed words.")
    with pytest.raises(RootGone, match=r"other: was indexed \(1 documents\) and no longer exists") as error:
        world.sync()
    assert (error.value.root, error.value.n_documents) == (str(other.folder), 1)
    assert (world.generation(), world.encoder.encoded) == (1, [])
    assert world.sync(world.folder).files == FileCounts(updated=1)  # one that is there can be synced alone
    report = world.sync(prune=True)
    assert report.files == FileCounts(removed=1, unchanged=1)
    assert (world.roots(), set(world.answers())) == ((str(world.folder),), {"a.txt"})


def test_a_path_inside_a_root_syncs_only_that_part(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    world.write("one.txt", "Changed one.")
    world.write("sub/two.md", "Changed two.")
    (world.folder / "sub/three.html").unlink()
    (world.folder / "four.jsonl").unlink()
    report = world.sync(world.folder / "sub")
    assert report.files == FileCounts(updated=1, removed=1)
    assert world.roots() == (str(world.folder),)
    assert set(world.answers()) == {"one.txt", "sub/two.md", "four.jsonl#0", "four.jsonl#1"}
    assert world.answers()["one.txt"] == ["First line of one.", "Second line of one."]
    assert world.sync(world.folder / "one.txt").files == FileCounts(updated=1)
    assert world.sync().files == FileCounts(removed=1, unchanged=2)


def test_a_path_around_roots_takes_them_over_and_encodes_nothing(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder / "sub", world.folder / "four.jsonl")
    assert world.roots() == (str(world.folder / "four.jsonl"), str(world.folder / "sub"))
    ids = world.ids()
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=1, moved=3)
    assert report.n_passages_encoded == 2
    assert world.roots() == (str(world.folder),)
    assert {path: id_ for path, id_ in world.ids().items() if path in ids} == ids
    assert {info.root for info in world.documents().values()} == {str(world.folder)}
    assert world.sync().files == FileCounts(unchanged=4)


def test_files_edited_or_vanished_are_seen_when_a_root_is_taken_over(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder / "sub")
    ids = world.ids()
    world.write("sub/two.md", "# Two\n\nOther text.\n")
    (world.folder / "sub/three.html").unlink()
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=2, updated=1, removed=1)
    assert world.ids()["sub/two.md"] == ids["sub/two.md"]
    assert world.roots() == (str(world.folder),)


def test_a_hidden_folder_named_outright_is_indexed_and_stays_when_the_folder_around_is_synced(world: World) -> None:
    world.write(".notes/a.txt", "Hidden words.")
    world.write("b.txt", "Open words.")
    assert world.sync(world.folder).files == FileCounts(added=1)
    assert world.sync(world.folder / ".notes").files == FileCounts(added=1)
    assert world.sync(world.folder).files == FileCounts(unchanged=1)
    assert world.sync().files == FileCounts(unchanged=2)
    assert set(world.roots()) == {str(world.folder), str(world.folder / ".notes")}


def test_a_store_inside_its_corpus_is_not_indexed(world: World) -> None:
    world.store = world.folder / "index"
    world.write("a.txt", "Words.")
    world.sync(world.folder)
    (world.store / "stray.txt").write_text("Stray.")
    report = world.sync(world.folder, world.store)
    assert (report.files, report.empty) == (FileCounts(unchanged=1), ())


def test_a_root_that_is_one_file_is_synced_like_a_folder(world: World) -> None:
    file = world.write("a.jsonl", '{"text": "One."}\n{"text": "Two."}\n')
    world.write("b.txt", "Not asked for.")
    assert world.sync(file).files == FileCounts(added=1)
    world.write("a.jsonl", '{"text": "One."}\n{"text": "Three."}\n')
    assert world.sync().files == FileCounts(updated=1)
    assert world.encoder.encoded == ["Three."]
    with open_snapshot(world.store) as snapshot:
        assert {(info.root, info.path) for info in snapshot.iter_documents()} == {
            (str(file), "a.jsonl#0"),
            (str(file), "a.jsonl#1"),
        }
