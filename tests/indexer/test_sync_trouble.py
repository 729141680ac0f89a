"""What goes wrong in a sync, and what stays of what was indexed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from parts import WITH_PARTS
from parts.tiny_world import TinyEncoder, World

from deformer_qa.indexer import Committed, FileCounts, FileLimits, Skipped
from deformer_qa.indexer.roots import choose_scope
from deformer_qa.store import verify


@pytest.mark.parametrize("content", [b"", b"x\0y", b"\xd0\x01\xd2 \xd3\xd4"])
def test_a_file_that_became_unreadable_text_leaves_the_index(world: World, content: bytes) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    world.write("one.txt", content)
    report = world.sync()
    assert report.files == FileCounts(unchanged=3, skipped=1)
    assert "one.txt" not in world.answers()


def test_a_file_over_the_limit_is_skipped(world: World) -> None:
    world.write("a.txt", "x" * 101)
    world.write("b.txt", "x" * 100)
    report = world.sync(world.folder, limits=FileLimits(file_bytes=100))
    assert report.files == FileCounts(added=1, skipped=1)
    why = "101 bytes, at most 100 are read (--max-file-size)"
    assert report.skipped == (Skipped(str(world.folder / "a.txt"), why, "limit"),)


@pytest.mark.parametrize("call", ["os.open", "os.listdir"])
def test_too_few_descriptors_are_no_fault_of_a_file(world: World, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    world.write("five.txt", "Words of five.")
    before = world.answers()
    real = getattr(os, call.removeprefix("os."))

    def fails(place: object, *rest: object, **more: object) -> object:
        name = os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else str(place)
        if "corpus" in name or name.endswith(".txt"):
            raise OSError(errno.EMFILE, "Too many open files", place)
        return real(place, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(f"deformer_qa.indexer.files.{call}", fails)
        with pytest.raises(OSError, match="Too many open files"):
            world.sync(world.folder)
    assert world.answers() == before


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
    why = "the encoder failed: ValueError: cannot read this"
    assert report.skipped == (
        Skipped(str(world.folder / "b.txt"), why, "refused"),
        Skipped(str(world.folder / "c.jsonl#1"), why, "refused"),
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
from parts.tiny_world import World

top = Path(sys.argv[1])
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
        command = [sys.executable, "-c", UNREADABLE, top]
        done = subprocess.run(command, env=WITH_PARTS, capture_output=True, text=True, check=False)
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
    world.write_small_corpus()
    report = world.sync(world.folder, commit_seconds=0.0)
    commits = [event for event in world.events if isinstance(event, Committed)]
    assert [commit.generation for commit in commits] == list(range(1, len(commits) + 1))
    assert commits[-1].generation == report.generation == world.generation()
    assert commits[-1].n_passages_encoded == 11
    assert world.sync().generation == report.generation
    assert verify(world.store) == []


def test_a_file_named_like_a_record_stops_nothing(world: World) -> None:
    world.write_small_corpus()
    world.write("four.jsonl#0", "Words of a file.")
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=4, skipped=1)
    assert report.skipped[0].kind == "name"


def test_bad_records_are_told_where_no_store_is_made(world: World) -> None:
    world.write("a.jsonl", "broken\n{}\n")
    report = world.sync(world.folder)
    assert [one.path for one in report.skipped] == [str(world.folder / f"a.jsonl{end}") for end in ("#0", "#1", "")]


def test_thousands_of_paths_take_moments(tmp_path: Path) -> None:
    places = [str(tmp_path / str(number)) for number in range(4_000)]
    for place in places:
        Path(place).touch()
    began = time.monotonic()
    assert len(choose_scope(places, places).targets) == 4_000
    assert time.monotonic() - began < 10
