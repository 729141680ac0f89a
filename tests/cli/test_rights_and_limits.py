"""No rights, a read-only store, a full disk, limits of the system: the exit codes of the table, and the old answers."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from parts.command_children import Ended, caller, in_a_child
from parts.command_children import ended as ended_with

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
    assert run(["rm", str(folder / "corpus" / "3.txt"), "--store", str(place.store)]) == 0  # compacting has work
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


def intact(place: Place, after: Ended) -> bool:
    """Whether the question is answered as it was."""
    return after[0] in (0, 1) and said(after[1]) == said(place.answers)


def assert_refused(place: Place, ended: Ended, found: str, *, code: int = 3) -> None:
    """One line with the place and the reason, and nothing on stdout."""
    lines = ended[2].decode().splitlines()
    assert (ended[0], ended[1], len(lines)) == (code, b"", 1), ended
    assert lines[0].startswith("qa: ")
    assert found in lines[0]


def without_rights() -> None:
    """In a child: be nobody, where we may become another."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def test_a_store_that_may_not_be_read_is_named_by_every_command(place: Place) -> None:
    place.store.chmod(0o700 if os.getuid() == 0 else 0)
    for command, ended in in_a_child(lambda: place.all(under=without_rights)).items():
        assert_refused(place, ended, str(place.store)), command
    place.store.chmod(0o755)
    assert intact(place, in_a_child(lambda: place.all("ask"))["ask"])


def test_a_read_only_store_answers_and_refuses_to_be_written(place: Place) -> None:
    for one in (place.store, *place.store.rglob("*")):
        one.chmod(0o555 if one.is_dir() else 0o444)
    reads = in_a_child(lambda: place.all(*READS, under=without_rights))
    writes = in_a_child(lambda: place.all(*WRITES, "ask", under=without_rights))
    assert {command: (ended[0], ended[2]) for command, ended in reads.items() if command != "ask"} == dict.fromkeys(
        READS[1:], (0, b"")
    )
    for command in WRITES:
        assert_refused(place, writes[command], f"{place.store}/LOCK: no permission to write the store")
    assert intact(place, reads["ask"])
    assert intact(place, writes["ask"])


class Mounts:
    """In a child: a small disk of its own, that nobody else sees and that ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._libc = folder, ctypes.CDLL(None, use_errno=True)
        self._done(self._libc.unshare(0x20000))
        self._done(self._libc.mount(b"none", b"/", None, ctypes.c_ulong(0x44000), None))  # private, all below too
        self._done(self._libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), b"size=1m"))

    def make_read_only(self) -> None:
        self._done(self._libc.mount(b"none", os.fsencode(self.folder), None, ctypes.c_ulong(0x21), None))

    def fill(self) -> None:
        with open(self.folder / "filler", "wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    @staticmethod
    def _done(status: int) -> None:
        if status:
            raise PermissionError(ctypes.get_errno(), "mount")


def on_a_small_disk(place: Place, change: Callable[[Mounts], None]) -> dict[str, Ended]:
    """How each command ends with the store on a disk of its own, which ``change`` changes."""
    small = replace(place, folder=place.folder / "disk")
    small.folder.mkdir(exist_ok=True)

    def work() -> dict[str, Ended] | None:
        try:
            mounts = Mounts(small.folder)
        except PermissionError:
            return None
        shutil.copytree(place.store, small.store)
        (small.folder / "public").mkdir()
        for one in ("out", "corpus"):
            (small.folder / one).symlink_to(place.folder / one)
        return small.all(*READS, *WRITES, "ask", under=lambda: change(mounts))

    ended = in_a_child(work)
    if ended is None:
        pytest.skip("no disk may be mounted here")
    return ended


@pytest.mark.parametrize(
    ("change", "found"), [(Mounts.fill, "make room"), (Mounts.make_read_only, "(Read-only file system)")]
)
def test_a_full_or_read_only_disk_keeps_the_answers(place: Place, change: Callable[[Mounts], None], found: str) -> None:
    ended = on_a_small_disk(place, change)
    store = place.folder / "disk" / "store"
    assert [ended[command][0] for command in ("search", "verify", "show", "info")] == [0] * 4
    for command in WRITES:
        assert_refused(place, ended[command], found)
        assert str(store) in ended[command][2].decode()
    assert_refused(place, ended["export"], str(store.parent / "public"))
    assert intact(place, ended["ask"])


def limited(kind: int, most: int) -> None:
    resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


def test_a_limit_on_the_size_of_files_keeps_the_answers(place: Place) -> None:
    def work() -> dict[str, Ended]:
        ended = place.all("export", *WRITES, under=lambda: limited(resource.RLIMIT_FSIZE, 1000))
        return ended | place.all("ask", under=lambda: limited(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY))

    ended = in_a_child(work)
    for command in (*WRITES, "export"):
        assert_refused(place, ended[command], str(place.folder))
    assert intact(place, ended["ask"])
    assert b"the limit on a file's size is reached" in ended["index"][2]
    assert not list((place.folder / "public").iterdir())


def test_few_descriptors_are_no_damage_and_lose_nothing(place: Place) -> None:
    def spare(n: int) -> Callable[[], None]:
        def limit() -> None:
            top = max(int(one) for one in os.listdir("/proc/self/fd"))
            while os.dup(0) < top:
                pass
            limited(resource.RLIMIT_NOFILE, top + 1 + n)

        return limit

    for n in (0, 2, 3, 4, 7, 12, 18, 20, 22):
        shutil.rmtree(place.folder / "public" / "export", ignore_errors=True)
        everything = in_a_child(lambda n=n: place.all(under=spare(n)))
        for command, ended in everything.items():
            if ended[0] == 3:
                assert_refused(place, ended, "oo many open files")
                assert b"qa: /" in ended[2]  # where
            else:
                told = b"1 documents removed.\n" if command == "rm" else b""
                assert (ended[0], bool(ended[1]), ended[2]) == (0, True, told), (n, command, ended)
        after = in_a_child(lambda: place.all("verify", "ask"))
        assert after["verify"][:2] == (0, b"healthy\n")
        written = [everything[command] for command in WRITES if b"was written, but" in everything[command][2]]
        if written or {everything[command][0] for command in WRITES} != {3}:
            return  # enough to write with
        assert intact(place, after["ask"])


def test_little_memory_is_one_line(place: Place) -> None:
    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limited(resource.RLIMIT_AS, pages * resource.getpagesize() + (1 << 14))

    for command, ended in in_a_child(lambda: place.all(*READS, under=limit)).items():
        assert_refused(place, ended, "not enough memory"), command


def into(stdout: str | None, arguments: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and stderr of a command whose stdout goes there, None for one that is closed."""

    def work() -> tuple[int, str]:
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        os.dup2(file.fileno(), 2)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        os.close(1)
        sys.stdout = open(stdout, "w", encoding="utf-8") if stdout else None  # noqa: SIM115
        return ended_with(*arguments), os.pread(file.fileno(), 1 << 20, 0).decode()

    return in_a_child(work)


@pytest.mark.parametrize("command", ["ask", "search", "show", "info", "verify", "rm", "index", "compact"])
def test_output_that_is_lost_is_told_and_output_that_nobody_wants_is_not(place: Place, command: str) -> None:
    for form in ("human", "plain", "json"):
        arguments = [*place.arguments(command), "--format", form]
        code, err = into("/dev/full", arguments, place.folder / "out")
        assert code == 3
        assert err.splitlines()[-1] == "qa: stdout: No space left on device; this output is lost."
        assert "Traceback" not in err
        if command == "rm":
            break  # it is done: a second time there is nothing to remove
    if command != "rm":
        code, err = into(None, place.arguments(command), place.folder / "out")
        assert (code in (0, 1), "Traceback" in err) == (True, False)
    assert in_a_child(lambda: place.all("verify"))["verify"][:2] == (0, b"healthy\n")


def test_neither_a_home_nor_a_folder_for_temporary_files_is_needed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("TMPDIR", "/nowhere/tmp")
    monkeypatch.setattr(tempfile, "tempdir", None)
    for one in (place.store, *place.store.rglob("*")):
        one.chmod(0o777 if one.is_dir() else 0o666)
    for home in ("/nowhere", "/proc", None):
        monkeypatch.setenv("HOME", home) if home else monkeypatch.delenv("HOME")
        ended = in_a_child(lambda: place.all("ask", "search", "verify", "info", under=without_rights))
        assert [one[0] for one in ended.values()][1:] == [0, 0, 0], ended
        assert intact(place, ended["ask"])
    assert in_a_child(lambda: place.all("index", "rm", under=without_rights))["rm"][0] == 0
