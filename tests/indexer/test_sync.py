"""A corpus becomes a store and stays like it: what is added, edited, removed, skipped, and what that encodes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parts.tiny_world import TinyEncoder, World

import deformer_qa.indexer.files
from deformer_qa.indexer import FileCounts, FileDone, Found, PassagesEncoded, PathMissing, RecordSkipped, preview
from deformer_qa.indexer.files import FoundFile
from deformer_qa.indexer.formats import FileLimits
from deformer_qa.indexer.reading import NotRead, read_and_parse
from deformer_qa.indexer.sandbox.parent import FileParser
from deformer_qa.store import EncoderMismatch, StoreLocked, StoreMissing, Writer, open_snapshot, verify


def test_a_folder_is_indexed_with_places_titles_and_headings(world: World) -> None:
    world.write_small_corpus()
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
    leads = [passage.heading for passage in world.passages("sub/two.md")]
    assert leads == ["Two", "Two", "Two", "Two › Deeper"], "a passage that begins with its heading needs no other"
    assert [passage.heading for passage in world.passages("one.txt")] == ["", ""]
    assert verify(world.store) == []


def test_text_files_are_kept_verbatim(world: World) -> None:
    text = "Zażółć\r\n\n  gęślą \U0001f600 jaźń\t.\n\n"
    world.write("a.txt", text)
    world.sync(world.folder)
    assert world.text("a.txt") == text
    assert [(p.start, p.end) for p in world.passages("a.txt")] == [(0, 6), (11, 25)]


def test_a_first_run_and_a_preview_read_and_parse_each_file_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write_small_corpus()
    world.write("a bad one.pdf", b"%PDF-1.4 and no more")
    world.write("an empty one.txt", "")
    readings: Counter[str] = Counter()
    for owner, name, place in (
        (deformer_qa.indexer.files, "_read", lambda path, *_: path.name),
        (FileParser, "parse", lambda _, format_, path, *rest: f"parsing {path}"),
    ):
        monkeypatch.setattr(owner, name, _counted(readings, getattr(owner, name), place))
    files = ["a bad one.pdf", "an empty one.txt", "four.jsonl", "one.txt", "sub/three.html", "sub/two.md"]
    expected = Counter(Path(file).name for file in files)
    expected.update(f"parsing {file}" for file in files if file != "an empty one.txt")  # that is known without
    assert preview(world.store, [world.folder]).files == FileCounts(added=4, skipped=2)
    assert readings == expected
    readings.clear()
    assert world.sync(world.folder).files == FileCounts(added=4, skipped=2)
    assert readings == expected


def _counted(counts: Counter[str], call: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        if not name(*arguments).startswith("."):  # a list of what is ignored is looked for in each folder
            counts[name(*arguments)] += 1
        return call(*arguments, **options)

    return counted


def test_what_is_kept_of_a_file_that_is_not_read_holds_no_bytes_of_it(world: World) -> None:
    """A first index keeps it until the first file with text is found."""
    place = world.write("bad.pdf", b"%PDF-1.4 and no more")
    file = FoundFile(str(world.folder), "bad.pdf", place, 20, "")
    with FileParser(FileLimits()) as parser:
        kept = read_and_parse(file, parser, FileLimits())
    assert isinstance(kept, NotRead)
    assert kept == NotRead(kept.reason, "damaged", may_pass=False)
    place.unlink()
    with FileParser(FileLimits()) as parser:
        assert read_and_parse(file, parser, FileLimits()) == NotRead(
            "cannot be read: no such file or directory", "gone", may_pass=True
        )


@pytest.mark.parametrize("aged", [False, True])
def test_a_second_run_encodes_nothing_and_commits_nothing(
    world: World, aged: bool, request: pytest.FixtureRequest
) -> None:
    if aged:  # then sizes and times say so, else the bytes do
        request.getfixturevalue("later")
    world.write_small_corpus()
    world.sync(world.folder)
    for paths in ((world.folder,), ()):
        report = world.sync(*paths)
        assert report.files == FileCounts(unchanged=4)
        assert (report.n_passages_encoded, report.generation, report.committed) == (0, 1, False)
    assert world.encoder.encoded == []


@pytest.mark.usefixtures("later")
def test_unchanged_files_are_not_even_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    monkeypatch.delattr("deformer_qa.indexer.plan.read_file")
    assert world.sync().files == FileCounts(unchanged=4)


@pytest.mark.usefixtures("later")
def test_a_touched_file_is_unchanged_and_its_new_time_is_noted_with_the_next_change(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    states = {path: info.source_state for path, info in world.documents().items()}
    os.utime(world.folder / "one.txt", (1, 1))
    assert (world.sync().files, world.generation()) == (FileCounts(unchanged=4), 1)
    world.write("new.txt", "New.")
    assert world.sync().files == FileCounts(added=1, unchanged=4)
    changed = {path for path, info in world.documents().items() if states.get(path) != info.source_state}
    assert changed == {str(world.folder / "one.txt"), str(world.folder / "new.txt")}


def test_editing_a_file_encodes_only_its_new_passages_and_keeps_its_id(world: World) -> None:
    world.write_small_corpus()
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
    world.write_small_corpus()
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
    world.write_small_corpus()
    world.write("photo.png", b"\xff\x01")
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
    world.write_small_corpus()
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
    world.write("photo.png", b"\xff\x01")
    world.write("blank.html", "<script>x</script>")
    world.write("bad.jsonl", "[]\n")
    report = world.sync(world.folder)
    assert (report.generation, report.committed, report.empty) == (None, False, (str(world.folder),))
    assert report.files == FileCounts(skipped=3)
    assert {skipped.reason for skipped in report.skipped} == {
        "no reader for .png",
        "no text in it",
        "expected an object, found an array",
        "none of its records can be read",
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
    world.write_small_corpus()
    with pytest.raises(PathMissing):
        world.sync(world.folder, world.folder / "nothing")
    assert not world.store.exists()


def test_without_a_store_there_are_no_recorded_roots_to_sync(world: World) -> None:
    with pytest.raises(StoreMissing):
        world.sync()
    assert not world.store.exists()


def test_another_encoder_is_refused(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    world.encoder = TinyEncoder(encoder_id="other")
    with pytest.raises(EncoderMismatch):
        world.sync(world.folder)


def test_a_second_writer_is_refused_at_once(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    with open_snapshot(world.store) as snapshot:
        info = snapshot.encoder
    with Writer.open(world.store, info), pytest.raises(StoreLocked):
        world.sync(world.folder)


def test_the_encoding_of_a_store_is_kept_unless_asked_for(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder, encoding="fp16")
    world.write("new.txt", "New.")
    world.sync()
    with open_snapshot(world.store) as snapshot:
        assert snapshot.encoding == "fp16"
    with pytest.raises(EncoderMismatch):
        world.sync(encoding="int8")
