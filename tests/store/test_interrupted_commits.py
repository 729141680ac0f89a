"""A commit that dies, fails or is cut short at any step leaves exactly the old or exactly the new generation."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager

import pytest

from deformer_qa.store import (
    CommitFailed,
    CommitUncertain,
    StoreAccess,
    StoreError,
    StoreFull,
    StoreMissing,
    Writer,
    committing,
    disk,
    open_snapshot,
    verify,
)


def change(store, tiny) -> None:
    """One commit of everything a commit can hold, then a merge; does nothing where it was done before."""
    with Writer.open(store, tiny.encoder) as writer:
        writer.set_roots([tiny.root, "/other"])
        there = writer.snapshot.find_documents(tiny.root) if writer.snapshot else {}
        if "new.txt" not in there:
            tiny.put(writer, "new.txt", "Entirely new. Dogs bark loudly")
            if "fox.txt" in there:
                tiny.put(writer, "fox.txt", "The fox left. It barked at the river", id_=there["fox.txt"].id)
                writer.remove_document(there["fish.txt"].id)
                writer.move_document(there["birds/owl.txt"].id, root=tiny.root, path="owl.txt")
        writer.commit()
        writer.merge()


@contextmanager
def interrupted(call, act):
    """Within, ``act(step, arguments)`` runs in place of the i-th call of any step of the disk; gives the counter."""
    counter = {"calls": 0}

    def wrapped(step, function):
        def run(*arguments):
            counter["calls"] += 1
            return act(step, arguments) if counter["calls"] == call else function(*arguments)

        return run

    before = {step: getattr(disk, step) for step in disk.STEPS}
    try:
        for step, function in before.items():
            setattr(disk, step, wrapped(step, function))
        yield counter
    finally:
        for step, function in before.items():
            setattr(disk, step, function)


class Killed(BaseException):
    """Stands for the death of the process: from then on no step of the disk does anything."""


def play_dead(step, arguments):
    def nothing(*arguments):
        raise Killed

    for name in disk.STEPS:
        setattr(disk, name, nothing)
    raise Killed


def die(step, arguments):
    os._exit(9)


def die_halfway(step, arguments):
    if step == "write_once":
        fd, piece = arguments
        os.write(fd, piece[: max(1, len(piece) // 2)])
    os._exit(9)


class Origin:
    """A store before the change, and what it may say: before, and after the commit (its merge says the same)."""

    def __init__(self, folder, tiny, animals) -> None:
        self.folder, self.tiny = folder, tiny
        self.path = folder / "origin"
        for some in (dict(list(animals.items())[:2]), dict(list(animals.items())[2:])) if animals else ():
            tiny.fill(self.path, some)
        self.old = self.says(self.path)
        finished = self.copy("finished")
        with interrupted(-1, None) as counter:
            change(finished, tiny)
        self.n_calls = counter["calls"]
        self.new = self.says(finished)

    def copy(self, name):
        if self.path.exists():
            shutil.copytree(self.path, self.folder / name)
        return self.folder / name

    def says(self, store):
        try:
            return self.tiny.dump_of(store)
        except StoreMissing:
            return None

    def finish(self, store) -> None:
        """The next writer completes the change and leaves nothing behind."""
        change(store, self.tiny)
        assert self.says(store) == self.new
        assert self.tiny.orphans(store) == []
        assert verify(store) == []
        shutil.rmtree(store)


@pytest.fixture(params=["grown", "fresh"])
def origin(request, tmp_path, tiny, animals):
    return Origin(tmp_path, tiny, animals if request.param == "grown" else {})


def test_a_commit_that_dies_at_any_step_leaves_the_old_or_the_new_answers(origin, tiny):
    assert origin.n_calls > 50
    seen = []
    for call in range(1, origin.n_calls + 1):
        store = origin.copy(f"at-{call}")
        with pytest.raises(Killed), interrupted(call, play_dead):
            change(store, tiny)
        said = origin.says(store)
        assert said in (origin.old, origin.new)
        seen.append(said == origin.new)
        origin.finish(store)
    assert seen == sorted(seen)  # once new, never old again
    assert set(seen) == {False, True}


@pytest.mark.parametrize("death", [die, die_halfway])
def test_a_process_that_is_killed_leaves_the_old_or_the_new_answers(origin, tiny, death):
    for call in range(1, origin.n_calls + 1, 1 + origin.n_calls // 12):
        store = origin.copy(f"at-{call}")

        def work(store=store, call=call):
            with interrupted(call, death):
                change(store, tiny)

        status, trace = tiny.in_child(work)
        assert status == 9, trace
        assert origin.says(store) in (origin.old, origin.new)
        origin.finish(store)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_a_step_that_fails_anywhere_is_the_stores_own_error_and_leaves_old_or_new(origin, tiny, number):
    def fail(step, arguments):
        raise OSError(number, os.strerror(number), "somewhere")

    kinds = set()
    for call in range(origin.n_calls, 0, -4):
        store = origin.copy(f"at-{call}")
        error = None
        with interrupted(call, fail):
            try:
                change(store, tiny)
            except StoreError as caught:
                error = caught
        said = origin.says(store)
        assert (
            said == origin.new
            if error is None or isinstance(error, CommitUncertain)
            else said
            in (
                origin.old,
                origin.new,
            )
        )
        kinds.add(type(error))
        origin.finish(store)
    assert type(None) in kinds  # collection may fail without harm
    assert {errno.ENOSPC: StoreFull, errno.EIO: CommitFailed, errno.EACCES: StoreAccess}[number] in kinds


def test_an_error_after_the_commit_point_says_that_it_is_uncertain(filled, tiny, monkeypatch):
    def fail_at_the_root(path):
        if path == filled:
            raise OSError(errno.EIO, "Input/output error")

    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        monkeypatch.setattr(disk, "sync_directory", fail_at_the_root)
        with pytest.raises(CommitUncertain, match="generation 3 was written, but an error followed"):
            writer.commit()
        with pytest.raises(StoreError, match="its last commit failed"):
            writer.commit()
    with open_snapshot(filled) as snapshot:
        assert (snapshot.generation, snapshot.n_documents) == (3, 5)
    assert verify(filled) == []


def test_a_manifest_that_is_there_already_is_never_replaced(filled, tiny, monkeypatch):
    before = tiny.dump_of(filled)
    real_link = disk.link_file

    def somebody_was_faster(source, target):
        target.write_bytes(b"a generation of somebody without the lock")
        real_link(source, target)

    monkeypatch.setattr(disk, "link_file", somebody_was_faster)
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        with pytest.raises(CommitFailed, match="generation 3 is there already"):
            writer.commit()
    assert (filled / "MANIFEST-3").read_bytes() == b"a generation of somebody without the lock"
    with open_snapshot(filled) as snapshot:
        assert snapshot.notice is not None
        assert tiny.dump(snapshot) == before


def test_short_writes_are_completed(store, tiny, animals, monkeypatch):
    monkeypatch.setattr(disk, "write_once", lambda fd, piece: os.write(fd, piece[:7]))
    tiny.fill(store, animals)
    assert verify(store) == []
    assert tiny.dump_of(store)["counts"] == (5, 13)


def test_a_commit_without_room_is_refused_before_it_writes(filled, tiny, monkeypatch):
    files = tiny.files(filled)
    monkeypatch.setattr(disk, "free_bytes", lambda path: committing.ROOM_TO_SPARE)
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        with pytest.raises(StoreFull, match=r"the commit needs [\d,]+ bytes, 1,048,576 are free.*as it was"):
            writer.commit()
        assert tiny.files(filled) == files
        monkeypatch.setattr(disk, "free_bytes", lambda path: 1 << 40)
        assert writer.commit() == 3


def test_a_failed_commit_gives_its_room_back_at_once(filled, tiny, monkeypatch):
    def no_space(fd, piece):
        raise OSError(errno.ENOSPC, "No space left on device")

    files = tiny.files(filled)
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        monkeypatch.setattr(disk, "write_once", no_space)
        with pytest.raises(StoreFull, match="the disk is full"):
            writer.commit()
    assert tiny.files(filled) == files


def test_everything_is_synced_before_the_commit_point_and_collected_after(filled, tiny, monkeypatch):
    """The order of promises: files, their folder, seg/, the manifest; then its name; then the root; then collection."""
    log = []

    def shown(target) -> str:
        if isinstance(target, int):
            target = next(path for path in filled.rglob("*") if path.stat().st_ino == os.fstat(target).st_ino)
        return str(target.relative_to(filled))

    def recorded(step, function):
        def run(target, *arguments):
            log.append((step, shown(target)))
            return function(target, *arguments)

        return run

    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        for step in disk.STEPS:
            monkeypatch.setattr(disk, step, recorded(step, getattr(disk, step)))
        writer.commit()
    link = log.index(("link_file", "MANIFEST.tmp"))
    before, after = log[:link], log[link + 1 :]
    created = [name for step, name in before if step == "create_file"]
    assert len(created) == 7 + 9 + 1
    for name in created:
        synced = before.index(("sync_file", name))
        assert all(place < synced for place, entry in enumerate(before) if entry == ("write_once", name))
        if name.startswith("seg/"):
            assert synced < before.index(("sync_directory", os.path.dirname(name)))
            assert before.index(("sync_directory", os.path.dirname(name))) < before.index(("sync_directory", "seg"))
    assert before.index(("sync_directory", "seg")) < before.index(("create_file", "MANIFEST.tmp"))
    assert {name for step, name in before if step.startswith("remove")} <= {"MANIFEST.tmp"}
    assert after[0] == ("sync_directory", ".")
    assert {step for step, _ in after[1:]} <= {"remove_file", "remove_directory"}
    assert after[1] == ("remove_file", "MANIFEST-1")
