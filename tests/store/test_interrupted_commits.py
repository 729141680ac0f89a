"""What a commit does in which order, and how it says that it failed.

That a fault of any call leaves the old or the new generation is proved in ``tests/torture``.
"""

from __future__ import annotations

import errno
import os
import resource

import pytest

from deformer_qa.store import (
    CommitFailed,
    CommitUncertain,
    StoreAccess,
    StoreError,
    StoreFull,
    Writer,
    commit,
    disk,
    open_snapshot,
    verify,
)


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EIO, CommitFailed), (errno.ENOSPC, StoreFull), (errno.EACCES, StoreAccess)]
)
def test_the_systems_error_in_a_commit_becomes_the_stores_own(filled, tiny, monkeypatch, number, kind):
    def fail(path):
        raise OSError(number, os.strerror(number), "somewhere")

    before = tiny.dump_of(filled)
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        monkeypatch.setattr(disk, "create_file", fail)
        with pytest.raises(kind):
            writer.commit()
    assert tiny.dump_of(filled) == before


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


def test_a_generation_that_cannot_be_opened_after_its_commit_is_no_failed_commit(filled, tiny, monkeypatch):
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        real, limit = disk.link_file, resource.getrlimit(resource.RLIMIT_NOFILE)

        def no_descriptors_from_here_on(source, target):
            real(source, target)
            monkeypatch.setattr(disk, "sync_directory", lambda path: None)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))

        monkeypatch.setattr(disk, "link_file", no_descriptors_from_here_on)
        try:
            with pytest.raises(CommitUncertain, match=r"generation 3 was written, but .* \(.*too many open files"):
                writer.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    with open_snapshot(filled) as snapshot:
        assert (snapshot.generation, snapshot.n_documents) == (3, 5)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_head_that_could_not_be_read_for_want_of_something_is_not_damaged(filled, tiny, monkeypatch, number):
    real = os.open

    def fail_at_the_head(path, *arguments, **named):
        if os.fspath(path).endswith("MANIFEST-2"):
            raise OSError(number, os.strerror(number), path)
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", fail_at_the_head)
    with pytest.raises(StoreAccess, match=r"MANIFEST-2: (too many open files|not enough memory)"):
        open_snapshot(filled)
    with pytest.raises(StoreAccess):
        Writer.open(filled, tiny.encoder)
    assert (filled / "MANIFEST-2").exists()


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
    monkeypatch.setattr(disk, "free_bytes", lambda path: commit.ROOM_TO_SPARE)
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
