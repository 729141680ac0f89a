"""No rights, a read-only store, a full disk, limits of the system: the exit codes of the table, and the old answers."""

from __future__ import annotations

import json
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_children import Ended, caller, in_a_child

from deformer_qa.cli.main import run

NOBODY = 65534
QUESTION = "Who was in the city?"
READS = ("ask", "search", "verify", "show", "info", "export")
WRITES = ("index", "rm", "compact")


@dataclass
class Place:
    """A store that another user can reach, its corpus with a new file and one that is changed, and what it answered."""

    folder: Path
    reader: Path
    answers: bytes

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def arguments(self, command: str) -> list[str]:
        store, reader = ["--store", str(self.store)], ["--reader", str(self.reader)]
        return {
            "ask": ["ask", QUESTION, "--format", "ndjson", *store, *reader],
            "search": ["search", QUESTION, *store, *reader],
            "verify": ["verify", *store],
            "show": ["show", "1", *store],
            "info": ["info", *store],
            "export": ["export", str(self.folder / "public" / "export"), *store],
            "index": ["index", str(self.folder / "corpus"), *store, *reader],
            "rm": ["rm", str(self.folder / "corpus" / "1.txt"), *store],
            "compact": ["compact", *store],
        }[command]

    def all(self, *names: str, under: Callable[[], None] = lambda: None) -> dict[str, Ended]:
        """In a child: how each command ended, one after the other, under a limit."""
        call = caller(self.folder / "out")
        under()
        return {name: call(*self.arguments(name)) for name in names or (*READS, *WRITES)}


def said(answers: bytes) -> object:
    """The answers without the time they took."""
    found = json.loads(answers)
    return {name: value for name, value in found.items() if name != "timings_ms"}


@pytest.fixture(scope="module")
def filled(tiny_reader: Path, tiny_bert: Path) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    for base in (tiny_reader, tiny_bert):
        for one in (base, *base.parents):
            if one.stat().st_uid == os.getuid() and one != Path(one.anchor):
                one.chmod(one.stat().st_mode | 0o011)
        for one in base.rglob("*"):
            one.chmod(0o755 if one.is_dir() else 0o644)
    place = Place(folder, tiny_reader, b"")
    for name in ("corpus", "out", "public"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    for number in range(4):
        (folder / "corpus" / f"{number}.txt").write_text(f"The city of the river was number {number}. It was old.")
    assert run(place.arguments("index")) == 0
    first = in_a_child(lambda: place.all("ask"))["ask"]
    place.answers = first[1]
    shutil.copytree(place.store, folder / "kept")
    # Also loads here what a child without rights could not look up.
    for name in (*READS, *WRITES):
        run(place.arguments(name))
    (folder / "corpus" / "new.txt").write_text("The river was long. " * 30)
    (folder / "corpus" / "0.txt").write_text("The city of the river was new. " * 30)
    yield place
    for one, _, _ in os.walk(folder):
        os.chmod(one, 0o755)
    shutil.rmtree(folder)


@pytest.fixture
def place(filled: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The same store as it was, in a folder of nobody's configuration."""
    monkeypatch.chdir(filled.folder / "public")
    monkeypatch.delenv("QA_STORE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(filled.folder / "config"))
    for one in (filled.store, filled.folder / "public" / "export"):
        shutil.rmtree(one, ignore_errors=True)
    shutil.copytree(filled.folder / "kept", filled.store)
    yield filled
    for one in (filled.store, *filled.store.rglob("*")):
        one.chmod(0o755)


def test_x(place):
    def nofile(n):
        def f():
            def lim():
                top = max(int(one) for one in os.listdir("/proc/self/fd"))
                while os.dup(0) < top:
                    pass
                resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1 + n, top + 1 + n))

            return place.all(under=lim)

        return f

    def fsize(n):
        def f():
            return place.all(under=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)))

        return f

    def nobody():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return place.all()

    def show(title, got):
        print("=====", title)
        for k, v in got.items():
            print(k, v[0], v[1][:100], v[2][-400:].decode())

    for n in (0, 1, 2, 3, 4, 6, 8, 16):
        show(f"nofile {n}", in_a_child(nofile(n)))
    for n in (0, 100, 4096, 20000):
        show(f"fsize {n}", in_a_child(fsize(n)))
    for mode in (0o700, 0o755):
        for one in (place.store, *place.store.rglob("*")):
            one.chmod(mode if one.is_dir() else 0o644)
        show(f"nobody {mode:o}", in_a_child(nobody))
    assert 0
