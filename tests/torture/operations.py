"""What is tortured: each thing that a writer does to a store, what the store may say after it, and how it is judged."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parts.tiny_store import ANIMALS, Tiny
from torture.pool import scratch

from deformer_qa.store import (
    CommitUncertain,
    NotErased,
    Snapshot,
    StoreError,
    StoreMissing,
    Writer,
    open_snapshot,
    verify,
)

TINY = Tiny()
MORE = "Ants dig. The nest is deep"
EDITED = "The fox left. It barked at the river"

Said = tuple[int, dict[str, Any]] | None
"""A generation and all that it says, None where there is no store."""


@dataclass(frozen=True)
class Step:
    """One change that is committed at once; ``is_done`` lets a run after an interruption pass over it."""

    is_done: Callable[[Snapshot | None], bool]
    do: Callable[[Writer], object]


@dataclass(frozen=True)
class Operation:
    """A store as it is before, and the steps of one writer; where there are none, opening the writer is all."""

    prepare: Callable[[Path], None]
    steps: tuple[Step, ...] = ()
    notice_before: bool = False  # a damaged head is part of the preparation
    erased: bytes = b"never"  # in no file of the store once all steps are reported

    def act(self, store: Path, report: Callable[[], None] = lambda: None) -> None:
        """All steps that are not done, ``report`` called after each."""
        with Writer.open(store, TINY.encoder) as writer:
            for step in self.steps:
                if not step.is_done(writer.snapshot):
                    step.do(writer)
                report()


def _nothing(store: Path) -> None:
    pass


def _grown(store: Path) -> None:
    texts = list(ANIMALS.items())
    TINY.fill(store, dict(texts[:2]))
    TINY.fill(store, dict(texts[2:]))


def _scattered(store: Path) -> None:
    """Several small segments, with dead rows and deleted documents in them."""
    _grown(store)
    with Writer.open(store, TINY.encoder) as writer:
        for number in range(3):
            _put(writer, "fish.txt", f"A trout swims {number} times")
            writer.commit()


def _changed(store: Path) -> None:
    _grown(store)
    with Writer.open(store, TINY.encoder) as writer:
        _change(writer)


def _killed(store: Path) -> None:
    """What a kill may leave: a segment begun, a manifest not yet named, an older manifest not yet collected."""
    _grown(store)
    older = (store / "MANIFEST-1").read_bytes()
    with Writer.open(store, TINY.encoder) as writer:
        _put(writer, "ant.txt", MORE)
        writer.commit()
    (store / "MANIFEST-1").write_bytes(older)
    shutil.copytree(_block(store), store / "seg" / "4-0123abcd")
    (store / "seg" / "4-0123abce").mkdir()
    (store / "seg" / "4-0123abce" / "meta.sqlite").write_bytes(b"begun")
    (store / "MANIFEST.tmp").write_bytes((store / "MANIFEST-3").read_bytes()[:100])


def _headless(store: Path) -> None:
    """The same with a head that is damaged."""
    _killed(store)
    head = store / "MANIFEST-3"
    head.write_bytes(head.read_bytes().replace(b"encoder", b"encodes"))


def _block(store: Path) -> Path:
    return next(path.parent for path in sorted(store.glob("seg/*/vectors")))


def _put(writer: Writer, path: str, text: str) -> None:
    there = writer.snapshot.find_documents(TINY.root) if writer.snapshot else {}
    TINY.put(writer, path, text, id_=there[path].id if path in there else None)
    writer.set_roots([TINY.root])


def _change(writer: Writer) -> None:
    """Everything that one commit can hold."""
    there = writer.snapshot.find_documents(TINY.root) if writer.snapshot else {}
    for path, text in ANIMALS.items():
        if not there:
            _put(writer, path, text)
    if there:
        _put(writer, "fox.txt", EDITED)
        writer.remove_document(there["fish.txt"].id)
        writer.move_document(there["birds/owl.txt"].id, root=TINY.root, path="owl.txt")
        writer.set_roots([TINY.root, "/other"])
    _put(writer, "new.txt", "Entirely new. Dogs bark loudly")
    writer.commit()


def _more(writer: Writer) -> None:
    _put(writer, "ant.txt", MORE)
    writer.commit()


def _has(path: str) -> Callable[[Snapshot | None], bool]:
    return lambda snapshot: snapshot is not None and snapshot.document_at(TINY.root, path) is not None


CHANGE = Step(_has("new.txt"), _change)
MORE_OF_IT = Step(_has("ant.txt"), _more)
ROLLBACK = Step(lambda snapshot: not _has("new.txt")(snapshot), Writer.rollback)
COMPACTION = Step(lambda snapshot: False, Writer.compact)
MERGE = Step(lambda snapshot: False, Writer.merge)

OPERATIONS = {
    "first": Operation(_nothing, (CHANGE,)),
    "commit": Operation(_grown, (CHANGE,)),
    "commits": Operation(_grown, (CHANGE, MORE_OF_IT, MERGE)),
    "merge": Operation(_scattered, (MERGE,)),
    "compaction": Operation(_scattered, (COMPACTION,), erased=b"trout swims in the river"),
    "rollback": Operation(_changed, (ROLLBACK,)),
    "recovery": Operation(_killed),
    "headless": Operation(_headless, notice_before=True),
}


class Origin:
    """An operation's store before it, and what it says before it (``said[0]``) and after each step."""

    def __init__(self, name: str) -> None:
        self.name, self.operation = name, OPERATIONS[name]
        self.folder = scratch(f"origin-{name}")
        self.folder.mkdir()
        self.operation.prepare(self.folder / ".qa")
        finished = self.copy(scratch("finished"))
        self.said: list[Said] = [says(finished)]
        self.operation.act(finished, lambda: self.said.append(says(finished)))

    def copy(self, folder: Path) -> Path:
        """A copy of the store in a new folder, or where the store would be."""
        shutil.copytree(self.folder, folder)
        return folder / ".qa"

    def judge(self, store: Path, first: int, last: int, is_reported: bool) -> list[str]:
        """What is wrong with a store that may stand after ``first`` to ``last`` steps, and with the next run on it.

        ``is_reported``: all steps were said to be done. The next run ends as an uninterrupted one and leaves nothing
        behind, and the store is removed.
        """
        problems = []
        last = min(last, len(self.said) - 1)
        try:
            said = says(store)
            if said not in self.said[first : last + 1]:
                problems.append(f"says {_summary(said)}, expected {[_summary(s) for s in self.said[first : last + 1]]}")
            if is_reported:
                problems += [f"{file} holds what was erased" for file in self._holding(store)]
            if said is not None:
                with open_snapshot(store) as snapshot:
                    if snapshot.notice and not (self.operation.notice_before and said == self.said[0]):
                        problems.append(f"an unexpected notice: {snapshot.notice}")
                problems += self._unclean(store, self.operation.notice_before)
            self.operation.act(store)
            if says(store) != self.said[-1]:
                problems.append(f"the next run ends with {_summary(says(store))}, not {_summary(self.said[-1])}")
            problems += [f"left behind: {name}" for name in orphans(store)]
            problems += self._unclean(store, False)
        except Exception as error:  # whatever it is, it is this case's
            problems.append(f"{type(error).__name__}: {error}")
        shutil.rmtree(store, ignore_errors=True)
        return problems

    def _holding(self, store: Path) -> list[str]:
        return [str(file) for file in TINY.files(store) if self.operation.erased in (store / file).read_bytes()]

    def _unclean(self, store: Path, head_may_be_damaged: bool) -> list[str]:
        found = [damage.file for damage in verify(store)]
        return [f"verify names {file}" for file in found if not (head_may_be_damaged and file == "MANIFEST-3")]


@functools.cache
def origin_of(name: str) -> Origin:
    """The origin of an operation, made once in each process."""
    return Origin(name)


def says(store: Path) -> Said:
    try:
        with open_snapshot(store) as snapshot:
            return snapshot.generation, TINY.dump(snapshot)
    except StoreMissing:
        return None


def steps_allowed(error: BaseException | None, n_reported: int, n_steps: int) -> tuple[int, int]:
    """After how many steps a store may stand that an operation left with this error, having reported so many."""
    if error is None:
        return n_steps, n_steps
    if isinstance(error, (CommitUncertain, NotErased)):
        return n_reported + 1, n_reported + 1
    if isinstance(error, StoreError):
        return n_reported, n_reported
    return n_reported, n_reported + 1  # killed


def orphans(store: Path) -> list[str]:
    """What lies there that nobody needs, what was set aside as damaged apart."""
    if not (store / "seg").is_dir():
        return []
    set_aside = {name.split("-")[1].split(".")[0] for name in os.listdir(store) if ".damaged" in name}
    return [n for n in TINY.orphans(store) if ".damaged" not in n and n.split("-")[0] not in set_aside]


def _summary(said: Said) -> str:
    return "no store" if said is None else f"generation {said[0]} with {said[1]['counts'][0]} documents"
