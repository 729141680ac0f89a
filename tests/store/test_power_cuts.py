"""A commit that was reported survives a power cut, and one that was not leaves the old generation or the new one.

What a disk may lose is played on the files: content that was not synced, and names whose folder was not synced.
"""

from __future__ import annotations

import os
import shutil

import pytest

from deformer_qa.store import StoreMissing, Writer, disk, open_snapshot, verify


class PowerCut(BaseException):
    pass


class Disk:
    """Keeps book of what a disk that honours sync must still have after a cut, and cuts at the i-th step."""

    def __init__(self, store, monkeypatch, cut_at: int) -> None:
        self.store, self.cut_at = store, cut_at
        self.n_steps = 0
        self.unsynced: set = set()  # files whose content may be lost
        self.unnamed: set = set()  # paths whose name may be lost
        for step in disk.STEPS:
            monkeypatch.setattr(disk, step, self.watched(step, getattr(disk, step)))

    def watched(self, step, function):
        def run(target, *arguments):
            self.n_steps += 1
            if self.n_steps >= self.cut_at:
                raise PowerCut
            result = function(target, *arguments)
            self.note(step, target, arguments)
            return result

        return run

    def note(self, step, target, arguments) -> None:
        if step in ("create_file", "make_directory"):
            self.unnamed.add(target)
            self.unsynced |= {target} if step == "create_file" else set()
        elif step == "link_file":
            self.unnamed.add(arguments[0])
        elif step == "sync_file":
            inode = os.fstat(target).st_ino
            self.unsynced = {path for path in self.unsynced if not path.exists() or path.stat().st_ino != inode}
        elif step == "sync_directory":
            self.unnamed = {path for path in self.unnamed if path.parent != target}

    def lose(self, how: str) -> None:
        """Take away what may be gone: names and content, or content alone, or the second half of it."""
        for path in sorted(self.unsynced):
            if path.exists():
                content = path.read_bytes()
                keep = 0 if how != "torn" else len(content) // 2
                path.write_bytes(content[:keep] + b"\0" * (len(content) - keep if how == "torn" else 0))
        if how == "bare":
            for path in sorted(self.unnamed):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def change(store, tiny) -> list[int | None]:
    """Two commits, the second a merge; the list fills with generations as they are reported."""
    reported: list[int | None] = []
    with Writer.open(store, tiny.encoder) as writer:
        try:
            there = writer.snapshot.find_documents(tiny.root) if writer.snapshot else {}
            tiny.put(writer, "fox.txt", "The fox is back", id_=there["fox.txt"].id if there else None)
            reported.append(writer.commit())
            writer.merge()
            reported.append(None)
        except PowerCut:
            pass
    return reported


def says(store, tiny):
    try:
        return tiny.dump_of(store)
    except StoreMissing:
        return None


@pytest.mark.parametrize("how", ["bare", "empty", "torn"])
@pytest.mark.parametrize("fresh", [False, True])
def test_what_was_reported_survives_a_power_cut_at_any_step(tmp_path, tiny, how, fresh, monkeypatch):
    origin = tmp_path / "origin"
    origin.mkdir()
    if not fresh:
        tiny.fill(origin, {"fox.txt": "The fox left", "dog.txt": "Dogs bark loudly"})
        tiny.fill(origin, {"owl.txt": "Owls hunt"})
    old = says(origin, tiny)
    shutil.copytree(origin, tmp_path / "finished")
    change(tmp_path / "finished", tiny)
    new = says(tmp_path / "finished", tiny)
    step = n_cuts = 0
    finished = False
    while not finished:
        step += 1 if fresh else 3
        n_cuts += 1
        store = tmp_path / "cut"
        shutil.copytree(origin, store)
        with monkeypatch.context() as patched:
            power = Disk(store, patched, step)
            try:
                reported = change(store, tiny)
            except PowerCut:
                reported = []  # while opening the writer
            finished = power.n_steps < step
        power.lose(how)
        said = says(store, tiny)
        assert said == new if reported else said in (old, new)
        if said is not None:
            assert verify(store) == []
            with open_snapshot(store) as snapshot:
                assert snapshot.notice is None or not reported
        Writer.open(store, tiny.encoder).close()
        assert says(store, tiny) == said
        if said is not None:
            assert tiny.orphans(store) == []
        shutil.rmtree(store)
    assert n_cuts > 30
