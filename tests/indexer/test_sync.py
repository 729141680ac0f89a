"""A corpus becomes a store and stays like it: what is added, edited, removed, skipped, and what that encodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_world import TinyEncoder, World

from deformer_qa.indexer import (
    Committed,
    Event,
    FileCounts,
    FileDone,
    Found,
    PassagesEncoded,
    PathMissing,
    RecordSkipped,
    RootGone,
    Skipped,
)
from deformer_qa.store import EncoderMismatch, StoreLocked, StoreMissing, Writer, open_snapshot, verify


def small_corpus(world: World) -> None:
    world.write("one.txt", "First line of one.\nSecond line of one.\n")
    world.write("sub/two.md", "# Two\n\nText of two.\n\n## Deeper\n\nMore of two.\n")
    world.write("sub/three.html", "<title>Three</title><h1>Head</h1><p>Text of three.</p>")
    world.write("four.jsonl", '{"title": "A", "text": "Record a."}\n{"title": "B", "text": "Record b.\\nMore b."}\n')


def test_a_folder_is_indexed_with_places_titles_and_headings(world: World) -> None:
    small_corpus(world)
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=4)
    assert (report.n_documents, report.n_passages, report.n_passages_encoded) == (5, 11, 11)
    assert (report.generation, report.skipped, report.empty, report.committed) == (1, (), (), True)
    assert world.roots() == (str(world.folder),)
    assert world.answers() == {
        "one.txt": ["First line of one.", "Second line of one."],
        "sub/two.md": ["# Two", "Text of two.", "## Deeper", "More of two."],
        "sub/three.html": ["Head", "Text of three."],
        "four.jsonl#0": ["Record a."],
        "four.jsonl#1": ["Record b.", "More b."],
    }
    titles = {os.path.relpath(path, world.folder): info.title for path, info in world.documents().items()}
    assert titles == {
        "one.txt": "one",
        "sub/two.md": "Two",
        "sub/three.html": "Three",
        "four.jsonl#0": "A",
        "four.jsonl#1": "B",
    }
    assert [passage.heading for passage in world.passages("sub/two.md")] == ["Two", "Two", "Deeper", "Deeper"]
    assert [passage.heading for passage in world.passages("one.txt")] == ["", ""]
    assert verify(world.store) == []


def test_text_files_are_kept_verbatim(world: World) -> None:
    text = "Zażółć\r\n\n  gęślą \U0001f600 jaźń\t.\n\n"
    world.write("a.txt", text)
    world.sync(world.folder)
    assert world.text("a.txt") == text
    assert [(p.start, p.end) for p in world.passages("a.txt")] == [(0, 6), (11, 25)]


@pytest.mark.parametrize("aged", [False, True])
def test_a_second_run_encodes_nothing_and_commits_nothing(
    world: World, aged: bool, request: pytest.FixtureRequest
) -> None:
    if aged:  # then sizes and times say so, else the bytes do
        request.getfixturevalue("later")
    small_corpus(world)
    world.sync(world.folder)
    for paths in ((world.folder,), ()):
        report = world.sync(*paths)
        assert report.files == FileCounts(unchanged=4)
        assert (report.n_passages_encoded, report.generation, report.committed) == (0, 1, False)
    assert world.encoder.encoded == []


@pytest.mark.usefixtures("later")
def test_unchanged_files_are_not_even_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    small_corpus(world)
    world.sync(world.folder)
    monkeypatch.delattr("deformer_qa.indexer.plan.read_file")
    assert world.sync().files == FileCounts(unchanged=4)


@pytest.mark.usefixtures("later")
def test_a_touched_file_is_unchanged_and_its_new_time_is_noted_with_the_next_change(world: World) -> None:
    small_corpus(world)
    world.sync(world.folder)
    states = {path: info.source_state for path, info in world.documents().items()}
    os.utime(world.folder / "one.txt", (1, 1))
    assert (world.sync().files, world.generation()) == (FileCounts(unchanged=4), 1)
    world.write("new.txt", "New.")
    assert world.sync().files == FileCounts(added=1, unchanged=4)
    changed = {path for path, info in world.documents().items() if states.get(path) != info.source_state}
    assert changed == {str(world.folder / "one.txt"), str(world.folder / "new.txt")}


def test_editing_a_file_encodes_only_its_new_passages_and_keeps_its_id(world: World) -> None:
    small_corpus(world)
    world.sync(world.folder)
    ids, kept = world.ids(), world.passages("one.txt")[1].id
    world.write("one.txt", "Another first line.\nSecond line of one.\n")
    report = world.sync()
    assert report.files == FileCounts(updated=1, unchanged=3)
    assert world.encoder.encoded == ["Another first line."]
    assert world.ids() == ids
    assert world.answers()["one.txt"] == ["Another first line.", "Second line of one."]
    assert world.passages("one.txt")[1].id == kept


def test_the_same_text_in_two_files_is_encoded_once(world: World) -> None:
    world.write("a.txt", "Shared line.\nOnly a.\nShared line.\n")
    world.write("b.txt", "Only b.\nShared line.\n")
    assert world.sync(world.folder).n_passages_encoded == 3
    world.write("c.txt", "Shared line.\nOnly b.")
    report = world.sync()
    assert (report.n_passages_encoded, report.n_passages) == (0, 7)


def test_vanished_files_and_folders_leave_the_index(world: World) -> None:
    small_corpus(world)
    world.sync(world.folder)
    (world.folder / "one.txt").unlink()
    (world.folder / "four.jsonl").unlink()
    (world.folder / "sub/two.md").unlink()
    report = world.sync()
    assert report.files == FileCounts(removed=3, unchanged=1)
    assert set(world.answers()) == {"sub/three.html"}
    assert {event.path for event in world.events if isinstance(event, FileDone) and event.outcome == "removed"} == {
        str(world.folder / path) for path in ("one.txt", "four.jsonl", "sub/two.md")
    }


def test_a_root_whose_files_all_vanished_stays_recorded_and_is_said_to_be_empty(world: World) -> None:
    world.write("a.txt", "Words.")
    world.sync(world.folder)
    (world.folder / "a.txt").unlink()
    report = world.sync()
    assert (report.files, report.empty, report.n_passages) == (FileCounts(removed=1), (str(world.folder),), 0)
    assert world.roots() == (str(world.folder),)
    again = world.sync()
    assert (again.files, again.committed, again.generation) == (FileCounts(), False, report.generation)


def test_every_file_found_is_counted_and_told_once(world: World) -> None:
    small_corpus(world)
    world.write("photo.png", "x")
    world.write("blank.txt", " \n")
    world.write("broken.txt", b"\x00\x01")
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=4, skipped=3)
    assert {Path(skipped.path).name: skipped.reason for skipped in report.skipped} == {
        "blank.txt": "no text in it",
        "broken.txt": "binary content (NUL bytes)",
        "photo.png": "no reader for .png",
    }
    done = [event for event in world.events if isinstance(event, FileDone)]
    assert sorted(event.path for event in done) == sorted(
        str(path) for path in world.folder.rglob("*") if path.is_file()
    )
    (found,) = (event for event in world.events if isinstance(event, Found))
    assert found.n_files == len(done) == 7


def test_progress_grows_to_the_bytes_of_all_changed_files(world: World) -> None:
    small_corpus(world)
    for n_changed in (4, 1):
        world.sync(world.folder)
        (found,) = (event for event in world.events if isinstance(event, Found))
        done = [event.n_bytes_done for event in world.events if not isinstance(event, Found | RecordSkipped)]
        assert done == sorted(done)
        assert done[-1] == found.n_bytes
        sizes = [path.stat().st_size for path in world.folder.rglob("*") if path.is_file()]
        assert found.n_bytes == (sum(sizes) if n_changed == 4 else len("Changed.\n"))
        encoded = [event for event in world.events if isinstance(event, PassagesEncoded)]
        assert sum(event.n_passages for event in encoded) == len(world.encoder.encoded)
        world.write("one.txt", "Changed.\n")
        if n_changed == 4:
            world.encoder.encoded.clear()


def test_a_folder_with_nothing_to_index_makes_no_store(world: World) -> None:
    world.write("photo.png", "x")
    world.write("blank.html", "<script>x</script>")
    world.write("bad.jsonl", "[]\n")
    report = world.sync(world.folder)
    assert (report.generation, report.committed, report.empty) == (None, False, (str(world.folder),))
    assert report.files == FileCounts(skipped=3)
    assert {skipped.reason for skipped in report.skipped} == {
        "no reader for .png",
        "no text in it",
        "no record of it can be read",
    }
    assert not world.store.exists()


def test_a_folder_with_nothing_to_index_is_not_recorded(world: World, tmp_path: Path) -> None:
    world.write("a.txt", "Words.")
    world.sync(world.folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "blank.txt").write_text(" ")
    report = world.sync(other)
    assert (report.generation, report.committed, report.empty) == (1, False, (str(other),))
    assert world.roots() == (str(world.folder),)


def test_a_path_that_is_not_there_is_an_error_before_anything_happens(world: World) -> None:
    small_corpus(world)
    with pytest.raises(PathMissing):
        world.sync(world.folder, world.folder / "nothing")
    assert not world.store.exists()


def test_without_a_store_there_are_no_recorded_roots_to_sync(world: World) -> None:
    with pytest.raises(StoreMissing):
        world.sync()
    assert not world.store.exists()


def test_another_encoder_is_refused(world: World) -> None:
    small_corpus(world)
    world.sync(world.folder)
    world.encoder = TinyEncoder(encoder_id="other")
    with pytest.raises(EncoderMismatch):
        world.sync(world.folder)


def test_a_second_writer_is_refused_at_once(world: World) -> None:
    small_corpus(world)
    world.sync(world.folder)
    with open_snapshot(world.store) as snapshot:
        info = snapshot.encoder
    with Writer.open(world.store, info), pytest.raises(StoreLocked):
        world.sync(world.folder)


def test_the_encoding_of_a_store_is_kept_unless_asked_for(world: World) -> None:
    small_corpus(world)
    world.sync(world.folder, encoding="fp16")
    world.write("new.txt", "New.")
    world.sync()
    with open_snapshot(world.store) as snapshot:
        assert snapshot.encoding == "fp16"
    with pytest.raises(EncoderMismatch):
        world.sync(encoding="int8")


# Roots


def test_a_gone_root_is_an_error_unless_pruned(world: World, tmp_path: Path) -> None:
    world.write("a.txt", "Words.")
    other = World(tmp_path / "other", world.store, world.encoder)
    other.write("b.txt", "Others.")
    world.sync(world.folder, other.folder)
    (other.folder / "b.txt").unlink()
    other.folder.rmdir()
    world.write("a.txt", "Changed words.")
    with pytest.raises(RootGone, match=r"other: this was indexed \(1 documents\) and is gone") as error:
        world.sync()
    assert (error.value.root, error.value.n_documents) == (str(other.folder), 1)
    assert (world.generation(), world.encoder.encoded) == (1, [])
    assert world.sync(world.folder).files == FileCounts(updated=1)  # one that is there can be synced alone
    report = world.sync(prune=True)
    assert report.files == FileCounts(removed=1, unchanged=1)
    assert (world.roots(), set(world.answers())) == ((str(world.folder),), {"a.txt"})


def test_a_path_inside_a_root_syncs_only_that_part(world: World) -> None:
    small_corpus(world)
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
    small_corpus(world)
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
    small_corpus(world)
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


# Records


def test_inserting_a_record_encodes_only_that_and_keeps_the_ids_of_the_others(world: World) -> None:
    lines = [json.dumps({"text": f"Record {number}."}) for number in range(5)]
    world.write("a.jsonl", "\n".join(lines))
    world.sync(world.folder)
    ids = world.ids()
    world.write("a.jsonl", "\n".join([json.dumps({"text": "Inserted."}), *lines[:2], *lines[3:]]))
    report = world.sync()
    assert (report.files, world.encoder.encoded) == (FileCounts(updated=1), ["Inserted."])
    old = {1: 0, 2: 1, 3: 3, 4: 4}
    assert {path: id_ for path, id_ in world.ids().items() if path != "a.jsonl#0"} == {
        f"a.jsonl#{now}": ids[f"a.jsonl#{before}"] for now, before in old.items()
    }
    assert world.answers()["a.jsonl#0"] == ["Inserted."]
    assert world.sync().files == FileCounts(unchanged=1)


def test_equal_records_are_documents_of_their_own(world: World) -> None:
    world.write("a.jsonl", '{"text": "Same."}\n' * 3)
    report = world.sync(world.folder)
    assert (report.n_documents, report.n_passages, report.n_passages_encoded) == (3, 3, 1)
    ids = world.ids()
    world.write("a.jsonl", '{"text": "Same."}\n' * 2)
    world.sync()
    assert world.ids() == {path: ids[path] for path in ("a.jsonl#0", "a.jsonl#1")}


@pytest.mark.usefixtures("later")
def test_bad_records_are_named_in_every_run_and_the_others_indexed(world: World) -> None:
    world.write("a.jsonl", '{"text": "One."}\nnot json\n{"text": "Two."}\n{"title": "no text"}\n')
    expected = (
        Skipped(str(world.folder / "a.jsonl#1"), "not JSON (Expecting value, column 1)"),
        Skipped(str(world.folder / "a.jsonl#3"), "no text: expected one of 'text', 'content', 'context', 'body'"),
    )
    for counts in (FileCounts(added=1), FileCounts(unchanged=1)):
        report = world.sync(world.folder)
        assert (report.files, report.skipped) == (counts, expected)
        assert [event.path for event in world.events if isinstance(event, RecordSkipped)] == [s.path for s in expected]
    assert set(world.answers()) == {"a.jsonl#0", "a.jsonl#2"}
    assert world.generation() == 1


def test_a_record_that_became_bad_leaves_the_index(world: World) -> None:
    world.write("a.jsonl", '{"text": "One."}\n{"text": "Two."}\n')
    world.sync(world.folder)
    world.write("a.jsonl", '{"text": "One."}\n{"text": \n')
    report = world.sync()
    assert (report.files, len(report.skipped)) == (FileCounts(updated=1), 1)
    assert set(world.answers()) == {"a.jsonl#0"}


# What goes wrong


@pytest.mark.parametrize("content", [b"", b"x\0y", b"\xd0\xd1\xd2 \xd3\xd4"])
def test_a_file_that_became_unreadable_text_leaves_the_index(world: World, content: bytes) -> None:
    small_corpus(world)
    world.sync(world.folder)
    world.write("one.txt", content)
    report = world.sync()
    assert report.files == FileCounts(unchanged=3, skipped=1)
    assert "one.txt" not in world.answers()


def test_a_file_over_the_limit_is_skipped(world: World) -> None:
    world.write("a.txt", "x" * 101)
    world.write("b.txt", "x" * 100)
    report = world.sync(world.folder, max_file_bytes=100)
    assert report.files == FileCounts(added=1, skipped=1)
    assert report.skipped == (Skipped(str(world.folder / "a.txt"), "101 bytes, at most 100 are read"),)


def test_a_document_that_the_encoder_refuses_stops_no_other(world: World) -> None:
    def fail(text: str) -> None:
        if "poison" in text:
            raise ValueError("cannot\nread this")

    world.encoder.fail_at = fail
    world.write("a.txt", "Good a.\n")
    world.write("b.txt", "Good b.\nThis is poison.\n")
    world.write("c.jsonl", '{"text": "Good c."}\n{"text": "More poison."}\n{"text": "Good d."}\n')
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=2, skipped=1)
    why = "the encoder failed on it: ValueError: cannot read this"
    assert report.skipped == (
        Skipped(str(world.folder / "b.txt"), why),
        Skipped(str(world.folder / "c.jsonl#1"), why),
    )
    assert set(world.answers()) == {"a.txt", "c.jsonl#0", "c.jsonl#2"}
    world.encoder.fail_at = lambda text: None
    report = world.sync()
    assert report.files == FileCounts(added=1, updated=1, unchanged=1)
    assert set(world.answers()) == {"a.txt", "b.txt", "c.jsonl#0", "c.jsonl#1", "c.jsonl#2"}
    assert world.sync().files == FileCounts(unchanged=3)


def test_an_edit_that_the_encoder_refuses_leaves_the_earlier_version(world: World) -> None:
    world.write("a.txt", "Good words.")
    world.sync(world.folder)
    world.write("a.txt", "Bad words.")

    def fail(text: str) -> None:
        raise RuntimeError("no memory")

    world.encoder.fail_at = fail
    assert world.sync().files == FileCounts(skipped=1)
    assert world.answers() == {"a.txt": ["Good words."]}
    world.encoder.fail_at = lambda text: None
    assert world.sync().files == FileCounts(updated=1)
    assert world.answers() == {"a.txt": ["Bad words."]}


def test_values_that_are_not_finite_are_refused_like_an_error(world: World) -> None:
    world.write("a.txt", "Good words.")
    world.write("b.txt", "Other words.")
    encode = world.encoder.encode

    class Broken(TinyEncoder):
        def encode(self, text: str):  # type: ignore[no-untyped-def]
            encoded = encode(text)
            if text == "Good words.":
                encoded.states[0, 0] = float("nan")
            return encoded

    world.encoder = Broken()
    report = world.sync(world.folder)
    assert (report.files, set(world.answers())) == (FileCounts(added=1, skipped=1), {"b.txt"})
    assert "not finite" in report.skipped[0].reason


UNREADABLE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tiny_world import World

top = Path(sys.argv[2])
world = World(top / "corpus", top / "store")
for path in ("open.txt", "closed.txt", "folder/a.txt", "folder/b/c.txt"):
    world.write(path, f"Words of {path}.")
world.sync(world.folder)
world.answers()
world.write("closed.txt", "Changed.")
world.write("new.txt", "New.")
if os.geteuid() == 0:  # who may read everything
    for place in (top, *top.rglob("*")):
        os.chown(place, 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for name in ("closed.txt", "new.txt", "folder"):
    (world.folder / name).chmod(0)
report = world.sync(world.folder)
print(report.files)
print(sorted(world.answers()))
for skipped in report.skipped:
    print(os.path.relpath(skipped.path, world.folder), skipped.reason, sep=": ")
(world.folder / "folder").chmod(0o700)
"""


def test_what_may_not_be_read_is_named_and_what_is_indexed_of_it_stays() -> None:
    with tempfile.TemporaryDirectory() as top:  # where another user may go
        command = [sys.executable, "-c", UNREADABLE, str(Path(__file__).parent), top]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    counts, answers, *skipped = done.stdout.splitlines()
    assert counts == str(FileCounts(unchanged=1, skipped=3))
    assert answers == str(["closed.txt", "folder/a.txt", "folder/b/c.txt", "open.txt"])
    assert sorted(skipped) == [
        "closed.txt: cannot be read: permission denied",
        "folder: cannot be listed: permission denied",
        "new.txt: cannot be read: permission denied",
    ]


def test_commits_are_told_of_with_their_generation(world: World) -> None:
    small_corpus(world)
    report = world.sync(world.folder, commit_seconds=0.0)
    commits = [event for event in world.events if isinstance(event, Committed)]
    assert [commit.generation for commit in commits] == list(range(1, len(commits) + 1))
    assert commits[-1].generation == report.generation == world.generation()
    assert commits[-1].n_passages_encoded == 11
    assert world.sync().generation == report.generation
    assert verify(world.store) == []


# Files that change under our hands


def when_found(world: World, do: Callable[[], object]) -> Callable[[Event], None]:
    """A listener that does something after the plan is made and before any file is taken."""

    def listen(event: Event) -> None:
        world.events.append(event)
        if isinstance(event, Found):
            do()

    return listen


def test_a_file_edited_during_a_sync_is_indexed_as_it_is_then(world: World) -> None:
    small_corpus(world)
    world.sync(world.folder, on_event=when_found(world, lambda: world.write("one.txt", "Written late.")))
    assert world.answers()["one.txt"] == ["Written late."]
    assert world.sync().files == FileCounts(unchanged=4)


def test_a_file_that_vanishes_during_a_sync_is_skipped_and_gone_after_the_next(world: World) -> None:
    small_corpus(world)
    world.sync(world.folder)
    world.write("one.txt", "Edited.")
    report = world.sync(on_event=when_found(world, lambda: (world.folder / "one.txt").unlink()))
    assert report.files == FileCounts(unchanged=3, skipped=1)
    assert report.skipped[0].reason == "cannot be read: no such file or directory"
    assert world.sync().files == FileCounts(removed=1, unchanged=3)


def test_a_moved_file_edited_during_the_sync_is_a_new_document(world: World) -> None:
    small_corpus(world)
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
    small_corpus(world)
    world.sync(world.folder)
    ids = world.ids()
    monkeypatch.setattr("deformer_qa.indexer.formats.text.VERSION", "text2")
    report = world.sync()
    assert (report.files, report.n_passages_encoded) == (FileCounts(updated=1, unchanged=3), 0)
    assert world.ids() == ids
