"""A commit that dies, fails or is cut short at any step leaves exactly the old or exactly the new generation."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from deformer_qa.store import (
    CommitFailed,
    CommitUncertain,
    StoreError,
    StoreFull,
    StoreMissing,
    Writer,
    committing,
    disk,
    open_snapshot,
    verify,
)

REAL_STEPS = {step: getattr(disk, step) for step in disk.STEPS}


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


def interrupt_at(call: int, act) -> dict[str, int]:
    """Have ``act(step, arguments)`` run instead of the i-th call of any step of the disk; returns the counter."""
    counter = {"calls": 0}

    def interrupted(step):
        def run(*arguments):
            counter["calls"] += 1
            if counter["calls"] == call:
                return act(step, arguments)
            return REAL_STEPS[step](*arguments) if not step.startswith("sync") else None

        return run

    for step in disk.STEPS:
        setattr(disk, step, interrupted(step))
    return counter


def restore() -> None:
    for step, function in REAL_STEPS.items():
        setattr(disk, step, function if not step.startswith("sync") else lambda *arguments: None)


@pytest.fixture(autouse=True)
def _real_steps_afterwards():
    yield
    for step, function in REAL_STEPS.items():
        setattr(disk, step, function)


def count_calls(store, tiny, tmp_path) -> int:
    copy = tmp_path / "counted"
    if store.exists():
        shutil.copytree(store, copy)
    counter = interrupt_at(-1, None)
    change(copy, tiny)
    restore()
    return counter["calls"]


def die(step, arguments):
    os._exit(9)


def die_after_half(step, arguments):
    if step == "write_once":
        fd, piece = arguments
        os.write(fd, piece[: max(1, len(piece) // 2)])
    os._exit(9)


def states_along_the_way(store, tiny, tmp_path) -> list:
    """What a store may say: before the change, after its commit; its merge says the same."""
    before = tiny.dump_of(store) if store.exists() else None
    copy = tmp_path / "finished"
    if store.exists():
        shutil.copytree(store, copy)
    change(copy, tiny)
    return [before, tiny.dump_of(copy)]


def dump_or_none(store, tiny):
    try:
        return tiny.dump_of(store)
    except StoreMissing:
        return None


@pytest.mark.parametrize("death", [die, die_after_half])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_commit_killed_at_any_step_leaves_the_old_or_the_new_answers(tmp_path, tiny, animals, death, fresh):
    origin = tmp_path / "origin"
    if not fresh:
        tiny.fill(origin, dict(list(animals.items())[:2]))
        tiny.fill(origin, dict(list(animals.items())[2:]))
    old, new = states_along_the_way(origin, tiny, tmp_path)
    n_calls = count_calls(origin, tiny, tmp_path)
    assert n_calls > 50
    seen = []
    for call in range(1, n_calls + 2, 1 if death is die else 4):
        store = tmp_path / f"at-{call}"
        if not fresh:
            shutil.copytree(origin, store)

        def work(store=store, call=call):
            interrupt_at(call, death)
            change(store, tiny)

        status, trace = tiny.in_child(work)
        assert status == (9 if call <= n_calls else 0), trace
        found = dump_or_none(store, tiny)
        assert found in (old, new)
        seen.append(found == new)
        change(store, tiny)
        assert same_but_ids(tiny.dump_of(store), new)
        assert tiny.orphans(store) == []
        assert verify(store) == []
        shutil.rmtree(store)
    assert seen == sorted(seen)  # once new, never old again
    assert {False, True} == set(seen)


def same_but_ids(found, expected) -> bool:
    return {key: found[key] for key in ("roots", "counts", "infos", "texts")} == {
        key: expected[key] for key in ("roots", "counts", "infos", "texts")
    }


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_a_step_that_fails_anywhere_is_the_stores_own_error_and_leaves_old_or_new(tmp_path, tiny, animals, number):
    origin = tmp_path / "origin"
    tiny.fill(origin, animals)
    old, new = states_along_the_way(origin, tiny, tmp_path)
    n_calls = count_calls(origin, tiny, tmp_path)

    def fail(step, arguments):
        raise OSError(number, os.strerror(number), "somewhere")

    kinds = set()
    for call in range(n_calls, 0, -2):
        store = tmp_path / f"at-{call}"
        shutil.copytree(origin, store)
        interrupt_at(call, fail)
        try:
            change(store, tiny)
            error = None
        except StoreError as caught:
            error = caught
        restore()
        kinds.add(type(error))
        found = tiny.dump_of(store)
        assert found in (old, new)
        if isinstance(error, CommitUncertain):
            assert found == new
        if error is None:
            assert found == new
        change(store, tiny)
        assert same_but_ids(tiny.dump_of(store), new)
        assert tiny.orphans(store) == []
        assert verify(store) == []
        shutil.rmtree(store)
    assert type(None) in kinds  # collection may fail without harm
    if number == errno.ENOSPC:
        assert StoreFull in kinds
    if number == errno.EIO:
        assert CommitFailed in kinds


def test_an_error_after_the_commit_point_says_that_it_is_uncertain(filled, tiny):
    def fail_at_the_root(path):
        if path == filled:
            raise OSError(errno.EIO, "Input/output error")

    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        disk.sync_directory = fail_at_the_root
        with pytest.raises(CommitUncertain, match="generation 3 was written, but an error followed"):
            writer.commit()
        with pytest.raises(StoreError, match="its last commit failed"):
            writer.commit()
    with open_snapshot(filled) as snapshot:
        assert (snapshot.generation, snapshot.n_documents) == (3, 5)
    assert verify(filled) == []


def test_a_manifest_that_is_there_already_is_never_replaced(filled, tiny):
    before = tiny.dump_of(filled)
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        real = disk.link_file

        def somebody_was_faster(source, target):
            target.write_bytes(b"a generation of somebody without the lock")
            real(source, target)

        disk.link_file = somebody_was_faster
        with pytest.raises(CommitFailed, match="generation 3 is there already"):
            writer.commit()
    with open_snapshot(filled) as snapshot:
        assert snapshot.notice is not None
        assert tiny.dump(snapshot) == before


def test_short_writes_are_completed(store, tiny, animals):
    disk.write_once = lambda fd, piece: os.write(fd, piece[:7])
    tiny.fill(store, animals)
    assert verify(store) == []
    disk.write_once = REAL_STEPS["write_once"]
    dump = tiny.dump_of(store)
    assert dump["counts"] == (5, 13)


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


def test_a_failed_commit_gives_its_room_back_at_once(filled, tiny):
    files = tiny.files(filled)
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")

        def no_space(fd, piece):
            raise OSError(errno.ENOSPC, "No space left on device")

        disk.write_once = no_space
        with pytest.raises(StoreFull, match="the disk is full"):
            writer.commit()
    assert tiny.files(filled) == files


def test_everything_is_synced_before_the_commit_point_and_collected_after(filled, tiny):
    """The order of promises: files, their folder, seg/, the manifest; then its name; then the root; then collection."""
    log = []
    names_by_fd: dict[int, str] = {}

    def recorded(step):
        def run(*arguments):
            result = REAL_STEPS[step](*arguments) if not step.startswith("sync") else None
            if step == "create_file":
                names_by_fd[result] = str(arguments[0].relative_to(filled))
            first = arguments[0]
            shown = names_by_fd[first] if isinstance(first, int) else str(first.relative_to(filled))
            log.append((step, shown))
            return result

        return run

    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        for step in disk.STEPS:
            setattr(disk, step, recorded(step))
        real_adopt = disk.adopt_file

        def adopt(path):
            log.append(("sync_file", str(path.relative_to(filled))))
            disk.sync_file = lambda fd: None
            result = real_adopt(path)
            disk.sync_file = recorded("sync_file")
            return result

        disk.adopt_file = adopt
        try:
            writer.commit()
        finally:
            disk.adopt_file = real_adopt
    link = log.index(("link_file", "MANIFEST.tmp"))
    before, after = log[:link], log[link + 1 :]
    for step, name in before:
        if step == "create_file":
            synced = before.index(("sync_file", name))
            assert all(place < synced for place, entry in enumerate(before) if entry == ("write_once", name))
        if step == "create_file" and name.startswith("seg/"):
            folder = before.index(("sync_directory", os.path.dirname(name)))
            assert before.index(("sync_file", name)) < folder < before.index(("sync_directory", "seg"))
    assert after[0] == ("sync_directory", ".")
    removing = {"remove_file", "remove_directory"}
    assert not removing & {step for step, name in before if name != "MANIFEST.tmp"}
    assert {step for step, _ in after[1:]} <= removing
    manifests_removed = [place for place, (_, name) in enumerate(after) if name.startswith("MANIFEST-")]
    segments_removed = [place for place, (_, name) in enumerate(after) if name.startswith("seg/")]
    assert max(manifests_removed) < min(segments_removed, default=10**9)
