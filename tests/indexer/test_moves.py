"""What moved is known by its content: nothing is encoded, and ids stay."""

from __future__ import annotations

import os

from parts.tiny_world import World

from deformer_qa.indexer import FileCounts
from deformer_qa.store import open_snapshot


def corpus(world: World) -> None:
    world.write("a.txt", "Text of a.\nMore of a.\n")
    world.write("b/c.md", "# See\n\nText of c.\n")
    world.write("b/d.jsonl", '{"text": "Record one."}\n{"text": "Record two."}\n')
    world.sync(world.folder)


def passage_ids(world: World) -> dict[int, list[int]]:
    with open_snapshot(world.store) as snapshot:
        return {
            info.id: [passage.id for passage in snapshot.document_passages(info.id)]
            for info in snapshot.iter_documents()
        }


def test_a_renamed_file_encodes_nothing_and_keeps_its_ids(world: World) -> None:
    corpus(world)
    before, ids = passage_ids(world), world.ids()
    (world.folder / "a.txt").rename(world.folder / "b/z.txt")
    report = world.sync()
    assert report.files == FileCounts(moved=1, unchanged=2)
    assert (report.n_passages_encoded, passage_ids(world)) == (0, before)
    assert world.ids() == {("b/z.txt" if path == "a.txt" else path): id_ for path, id_ in ids.items()}
    assert world.documents()[str(world.folder / "b/z.txt")].title == "z", "its title was its name"
    assert world.sync().files == FileCounts(unchanged=3)


def test_a_renamed_folder_encodes_nothing_and_keeps_its_ids(world: World) -> None:
    corpus(world)
    before, ids = passage_ids(world), world.ids()
    (world.folder / "b").rename(world.folder / "x")
    report = world.sync()
    assert report.files == FileCounts(moved=2, unchanged=1)
    assert (report.n_passages_encoded, passage_ids(world)) == (0, before)
    assert world.ids() == {path.replace("b/", "x/"): id_ for path, id_ in ids.items()}


def test_a_renamed_root_hands_its_documents_to_the_new_path_and_leaves(world: World) -> None:
    corpus(world)
    before, ids = passage_ids(world), world.ids()
    world.folder = world.folder.rename(world.folder.with_name("renamed"))
    report = world.sync(world.folder)
    assert report.files == FileCounts(moved=3)
    assert (report.n_passages_encoded, passage_ids(world), world.ids()) == (0, before, ids)
    assert world.roots() == (str(world.folder),)
    assert world.sync().files == FileCounts(unchanged=3)


def test_a_gone_root_of_which_something_is_left_stays_recorded(world: World) -> None:
    corpus(world)
    old = str(world.folder)
    world.folder = world.folder.rename(world.folder.with_name("renamed"))
    world.write("a.txt", "Edited after renaming.")
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=1, moved=2)
    assert set(world.roots()) == {old, str(world.folder)}
    report = world.sync(prune=True)
    assert report.files == FileCounts(removed=1, unchanged=3)
    assert world.roots() == (str(world.folder),)


def test_a_gone_root_found_inside_another_recorded_root_is_no_error(world: World) -> None:
    corpus(world)
    other = world.folder.with_name("other")
    other.mkdir()
    (other / "x.txt").write_text("Text of x.")
    world.sync(other)
    ids = set(world.ids().values())
    world.folder = world.folder.rename(other / "inside")
    report = world.sync()
    assert report.files == FileCounts(moved=3, unchanged=1)
    assert (report.n_passages_encoded, set(world.ids().values())) == (0, ids)
    assert world.roots() == (str(other),)


def test_a_file_moved_between_two_roots_keeps_its_id(world: World) -> None:
    corpus(world)
    other = world.folder.with_name("other")
    other.mkdir()
    (other / "x.txt").write_text("Text of x.")
    world.sync(other)
    id_ = world.ids()["a.txt"]
    (world.folder / "a.txt").rename(other / "a.txt")
    report = world.sync()
    assert (report.files, report.n_passages_encoded) == (FileCounts(moved=1, unchanged=3), 0)
    assert world.ids()["../other/a.txt"] == id_


def test_a_copy_is_a_new_document_that_encodes_nothing(world: World) -> None:
    corpus(world)
    ids = world.ids()
    world.write("copy.txt", "Text of a.\nMore of a.\n")
    report = world.sync()
    assert (report.files, report.n_passages_encoded) == (FileCounts(added=1, unchanged=3), 0)
    assert {path: id_ for path, id_ in world.ids().items() if path != "copy.txt"} == ids


def test_a_file_moved_over_another_takes_its_place(world: World) -> None:
    corpus(world)
    world.write("e.txt", "Text of e.")
    world.sync()
    id_ = world.ids()["a.txt"]
    (world.folder / "a.txt").replace(world.folder / "e.txt")
    report = world.sync()
    assert (report.files, report.n_passages_encoded) == (FileCounts(moved=1, unchanged=2), 0)
    assert world.ids()["e.txt"] == id_
    assert world.answers()["e.txt"] == ["Text of a.", "More of a."]
    assert "a.txt" not in world.answers()


def test_two_files_that_change_names_encode_nothing(world: World) -> None:
    corpus(world)
    world.write("e.txt", "Text of e.")
    world.sync()
    (world.folder / "a.txt").rename(world.folder / "t")
    (world.folder / "e.txt").rename(world.folder / "a.txt")
    (world.folder / "t").rename(world.folder / "e.txt")
    report = world.sync(commit_seconds=0.0)
    assert (report.files, report.n_passages_encoded) == (FileCounts(updated=2, unchanged=2), 0)
    assert world.answers()["a.txt"] == ["Text of e."]
    assert world.answers()["e.txt"] == ["Text of a.", "More of a."]


def test_files_of_equal_content_keep_their_ids_when_their_folder_is_renamed(world: World) -> None:
    for number in range(12):
        world.write(f"old/{number}/same.txt", "All the same.")
    world.sync(world.folder)
    ids = world.ids()
    (world.folder / "old").rename(world.folder / "new")
    assert world.sync().files == FileCounts(moved=12)
    assert world.ids() == {path.replace("old", "new"): id_ for path, id_ in ids.items()}


def test_another_suffix_is_another_reading_of_the_file(world: World) -> None:
    world.write("a.txt", "<p>Text of a.</p>")
    world.sync(world.folder)
    (world.folder / "a.txt").rename(world.folder / "a.html")
    assert world.sync().files == FileCounts(added=1, removed=1)
    assert world.answers() == {"a.html": ["Text of a."]}


def test_a_record_file_renamed_and_added_to_keeps_its_records(world: World) -> None:
    corpus(world)
    ids = world.ids()
    os.remove(world.folder / "b/d.jsonl")
    world.write("e.jsonl", '{"text": "Record zero."}\n{"text": "Record one."}\n{"text": "Record two."}\n')
    report = world.sync()
    assert (report.files, world.encoder.encoded) == (FileCounts(added=1, unchanged=2), ["Record zero."])
    assert (world.ids()["e.jsonl#1"], world.ids()["e.jsonl#2"]) == (ids["b/d.jsonl#0"], ids["b/d.jsonl#1"])
    assert set(world.ids()) == {"a.txt", "b/c.md", "e.jsonl#0", "e.jsonl#1", "e.jsonl#2"}
