"""A sync that was interrupted: what was answered stays answered, and the next one takes up where it stopped."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from parts import WITH_PARTS
from parts.tiny_world import TinyEncoder, World

from deformer_qa.indexer import Committed, EncoderFailing, Event, FileCounts, FileDone, PassagesEncoded
from deformer_qa.store import StoreFull, open_snapshot, verify


class PowerCut(BaseException):
    """No error that anybody handles."""


def corpus(world: World, n_files: int = 6, n_lines: int = 5) -> int:
    for file in range(n_files):
        world.write(f"{file}.txt", "".join(f"Line {line} of file {file}.\n" for line in range(n_lines)))
    return n_files * n_lines


def failing_after(n_passages: int, error: BaseException, encoder: TinyEncoder) -> None:
    def fail(text: str) -> None:
        if len(encoder.encoded) == n_passages:
            raise error

    encoder.fail_at = fail


@pytest.mark.parametrize(
    ("n_passages", "error"),
    [(0, KeyboardInterrupt()), (1, PowerCut()), (15, SystemExit(1)), (29, KeyboardInterrupt())],
)
def test_an_interrupted_run_keeps_every_passage_it_encoded(world: World, n_passages: int, error: BaseException) -> None:
    n_all = corpus(world)
    failing_after(n_passages, error, world.encoder)
    with pytest.raises(type(error)):
        world.sync(world.folder)
    n_files_done = n_passages // 5
    if n_passages:
        assert set(world.answers()) == {f"{file}.txt" for file in range(n_files_done)}
    world.encoder.fail_at = lambda text: None
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=6 - n_files_done, unchanged=n_files_done)
    assert report.n_passages_encoded == n_all - n_passages
    assert verify(world.store) == []


def test_an_interrupted_edit_leaves_the_earlier_version(world: World) -> None:
    world.write("a.txt", "One.\nTwo.\nThree.\n")
    world.sync(world.folder)
    before = world.answers()
    world.write("a.txt", "New one.\nNew two.\nNew three.\n")
    failing_after(2, KeyboardInterrupt(), world.encoder)
    with pytest.raises(KeyboardInterrupt):
        world.sync(commit_seconds=0.0)
    assert world.answers() == before
    world.encoder.fail_at = lambda text: None
    report = world.sync()
    assert (report.files, world.encoder.encoded) == (FileCounts(updated=1), ["New three."])


def test_records_of_an_interrupted_file_are_not_taken_for_all_of_it(
    world: World, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("later")
    world.write("a.jsonl", "".join(f'{{"text": "Record {number}."}}\n' for number in range(9)))
    failing_after(4, KeyboardInterrupt(), world.encoder)
    with pytest.raises(KeyboardInterrupt):
        world.sync(world.folder)
    assert len(world.answers()) == 4
    world.encoder.fail_at = lambda text: None
    assert world.sync().n_passages_encoded == 5
    assert len(world.answers()) == 9
    assert world.sync().files == FileCounts(unchanged=1)


@pytest.mark.parametrize("option", [{"commit_seconds": 0.0}, {"commit_bytes": 1}])
def test_commits_come_in_between(world: World, option: dict[str, float]) -> None:
    n_all = corpus(world, n_lines=2)
    generations = set()

    def watch(event: Event) -> None:
        if isinstance(event, FileDone):
            with open_snapshot(world.store) as snapshot:
                generations.add(snapshot.generation)
                assert verify(world.store) == []

    world.sync(world.folder, on_event=watch, **option)
    assert len(generations) == 6
    assert sum(map(len, world.answers().values())) == n_all


def test_a_listener_that_fails_ends_the_run_but_loses_nothing(world: World) -> None:
    corpus(world)

    told: list[Event] = []

    def fail(event: Event) -> None:
        if isinstance(event, PassagesEncoded):
            told.append(event)
            if len(told) == 12:
                raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        world.sync(world.folder, on_event=fail)
    assert set(world.answers()) == {"0.txt", "1.txt"}
    assert world.sync(world.folder).n_passages_encoded == 30 - 12


def test_an_encoder_that_always_fails_ends_the_run(world: World) -> None:
    corpus(world, n_files=30, n_lines=1)
    failing_after(5, RuntimeError("the device is lost"), world.encoder)
    with pytest.raises(EncoderFailing, match=r"10 documents in a row .*the device is lost"):
        world.sync(world.folder)
    assert len(world.answers()) == 5
    world.encoder.fail_at = lambda text: None
    assert world.sync(world.folder).files == FileCounts(added=25, unchanged=5)


def test_a_full_disk_stops_the_commit_and_not_the_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus(world)
    world.sync(world.folder)
    before = world.answers()
    world.write("new.txt", "New words.")
    with monkeypatch.context() as patch:
        patch.setattr("deformer_qa.store.disk.free_bytes", lambda path: 0)
        with pytest.raises(StoreFull):
            world.sync()
    assert world.answers() == before
    assert world.sync().files == FileCounts(added=1, unchanged=6)


def test_an_interrupted_takeover_is_finished_by_the_next_run(world: World) -> None:
    corpus(world)
    world.sync(world.folder)
    ids = world.ids()
    world.folder = world.folder.rename(world.folder.with_name("renamed"))
    world.write("0.txt", "Edited.")

    failing_after(0, KeyboardInterrupt(), world.encoder)
    with pytest.raises(KeyboardInterrupt):
        world.sync(world.folder)
    assert len(world.roots()) == 2
    world.encoder.fail_at = lambda text: None
    report = world.sync(prune=True)
    assert report.files == FileCounts(added=1, removed=1, unchanged=5)
    assert {path: id_ for path, id_ in world.ids().items() if path != "0.txt"} == {
        path: id_ for path, id_ in ids.items() if path != "0.txt"
    }
    assert world.roots() == (str(world.folder),)


KILLED = """
import os, signal, sys
from pathlib import Path
from parts.tiny_world import World
from deformer_qa.indexer import PassagesEncoded

world = World(Path(sys.argv[1]), Path(sys.argv[2]))
told = []
def fail(event):
    told.extend([event] if isinstance(event, PassagesEncoded) else [])
    if len(told) > int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
world.sync(world.folder, on_event=fail, commit_seconds=0.0 if sys.argv[4] == "often" else 60.0)
"""


@pytest.mark.parametrize(("n_passages", "commits"), [(3, "often"), (7, "often"), (17, "seldom")])
def test_a_killed_process_leaves_the_last_commit_and_the_next_run_completes(
    world: World, n_passages: int, commits: str
) -> None:
    world.write("old.txt", "Old words.")
    world.sync(world.folder)
    n_all = corpus(world)
    arguments = [str(world.folder), str(world.store), str(n_passages), commits]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], env=WITH_PARTS, check=False)
    assert done.returncode == -signal.SIGKILL
    n_files_done = n_passages // 5 if commits == "often" else 0
    assert set(world.answers()) == {"old.txt", *(f"{file}.txt" for file in range(n_files_done))}
    assert verify(world.store) == []
    report = world.sync(world.folder)
    assert report.n_passages_encoded == n_all - (n_passages if commits == "often" else 0)
    assert len(world.answers()) == 7
    assert verify(world.store) == []


CTRL_C = """
import os, signal, sys
from pathlib import Path
from parts.tiny_world import World
from deformer_qa.indexer import FileDone, lookahead, sync
from deformer_qa.store import Writer, disk

signal.signal(signal.SIGINT, signal.default_int_handler)
world = World(Path(sys.argv[1]), Path(sys.argv[2]))
press = lambda: os.kill(os.getpid(), signal.SIGINT)

def at(call, owner, name):
    before, calls = getattr(owner, name), []
    def pressing(*arguments, **options):
        calls.append(name)
        if len(calls) == call:
            press()
        return before(*arguments, **options)
    setattr(owner, name, pressing)

class Left:
    def __del__(self):
        press()

def listen(event):
    if isinstance(event, FileDone) and event.path.endswith("2.txt"):
        Left()

moment = sys.argv[3]
often = {"commit_seconds": 0.0} if moment == "commit" else {}
if moment == "read":
    at(4, sync, "read_and_parse")
if moment in ("encode", "twice"):
    at(13, world.encoder, "encode")
if moment == "row":
    at(13, Writer, "keep_row")
if moment == "document":
    at(3, Writer, "put_document")
if moment == "commit":
    at(30, disk, "write_file")
if moment == "finalizer":
    often["on_event"] = listen
if moment == "merge":
    at(1, Writer, "merge")
if moment == "twice":
    at(1, disk, "write_file")
try:
    world.sync(world.folder, **often)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(
    ("moment", "files", "n_kept"),
    [
        ("read", 0, 0),
        ("encode", None, None),
        ("row", 2, 13),
        ("document", 3, 15),
        ("commit", None, None),
        ("finalizer", 3, None),
        ("merge", 6, 30),
        ("twice", 0, 0),
    ],
)
def test_ctrl_c_at_any_moment_keeps_whole_documents_and_every_row(
    world: World, moment: str, files: int | None, n_kept: int | None
) -> None:
    world.write("old.txt", "Old words.")
    world.sync(world.folder)
    n_all = corpus(world)
    command = [sys.executable, "-c", CTRL_C, str(world.folder), str(world.store), moment]
    done = subprocess.run(command, env=WITH_PARTS, check=False, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert verify(world.store) == []
    answers = world.answers()
    assert answers.pop("old.txt") == ["Old words."]
    assert all(len(lines) == 5 for lines in answers.values())
    assert sorted(answers) == [f"{file}.txt" for file in range(len(answers))]
    if files is not None:
        assert len(answers) == files
    report = world.sync(world.folder)
    if n_kept is not None:
        assert report.n_passages_encoded == n_all - n_kept
    assert report.files == FileCounts(added=6 - len(answers), unchanged=1 + len(answers))
    assert verify(world.store) == []


def test_many_refused_documents_among_good_ones_do_not_end_the_run(world: World) -> None:
    def fail(text: str) -> None:
        if "poison" in text:
            raise ValueError

    world.encoder.fail_at = fail
    lines = "".join(f'{{"text": "Good {number}."}}\n{{"text": "poison {number}"}}\n' for number in range(12))
    world.write("a.jsonl", lines)
    report = world.sync(world.folder)
    assert (report.files, report.n_documents, len(report.skipped)) == (FileCounts(added=1), 12, 12)


def test_a_long_document_is_encoded_over_several_commits_and_appears_whole(world: World) -> None:
    n_all = corpus(world, n_files=1, n_lines=6)
    n_commits_before_it_was_done, n_commits = 0, 0

    def watch(event: Event) -> None:
        nonlocal n_commits, n_commits_before_it_was_done
        if isinstance(event, Committed):
            n_commits += 1
            with open_snapshot(world.store) as snapshot:
                assert snapshot.n_passages in (0, n_all)
        elif isinstance(event, FileDone):
            n_commits_before_it_was_done = n_commits

    world.sync(world.folder, on_event=watch, commit_bytes=1)
    assert n_commits_before_it_was_done >= n_all
    assert verify(world.store) == []
