"""Files are read in a process of their own: one that hangs, crashes or takes all memory costs itself only."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from parts.tiny_world import World

from deformer_qa.indexer import FileCounts, FileLimits
from deformer_qa.indexer.errors import ParserMissing
from deformer_qa.indexer.formats import Format, NotReadable
from deformer_qa.indexer.formats.registry import BY_NAME
from deformer_qa.indexer.sandbox.parent import FileParser

TEXT = BY_NAME["text"]

EVIL = """
import os, signal, sys, time
from deformer_qa.indexer.sandbox import child as parser_process
from deformer_qa.indexer.formats.parsed import ParsedDocument, ParsedFile

def parse(raw, limits):
    print("noise on stdout"); os.write(1, b"more"); os.write(2, b"and more")
    exec(raw.decode(), globals())
    return ParsedFile((ParsedDocument("", "", "a text"),))
"""


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Format:
    """A format whose files say what their parser does: the child finds it as it finds any other."""
    package = tmp_path / "evil"
    package.mkdir()
    (package / "evil_format.py").write_text(EVIL)
    (package / "sitecustomize.py").write_text(
        "import sys, importlib.util, importlib.abc\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'deformer_qa.indexer.formats.text':\n"
        f"            return importlib.util.spec_from_file_location(name, {str(package / 'evil_format.py')!r})\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package))
    return TEXT


def refusal(parser: FileParser, code: str) -> tuple[str, str]:
    with pytest.raises(NotReadable) as error:
        parser.parse(TEXT, "a.txt", code.encode())
    return str(error.value), error.value.kind


@pytest.mark.usefixtures("evil")
def test_whatever_a_parser_does_the_next_file_is_read() -> None:
    limits = FileLimits(seconds=1.0, memory_bytes=400 * 2**20)
    expected = {
        "while True: pass": ("reading it takes more than 1 seconds (--max-seconds)", "limit"),
        "time.sleep(60)": ("reading it takes more than 1 seconds (--max-seconds)", "limit"),
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)); time.sleep(60)": (
            "reading it takes more than 1 seconds (--max-seconds)",
            "limit",
        ),
        "bytearray(1 << 30)": ("reading it takes more than 400 MiB of memory (--max-memory)", "limit"),
        "os.kill(os.getpid(), signal.SIGSEGV)": ("the text parser crashed (SIGSEGV)", "damaged"),
        "os._exit(3)": ("the text parser crashed (exit code 3)", "damaged"),
        "raise KeyError('x y')": ("the text parser failed: KeyError: 'x y'", "damaged"),
        "def f(): f()\nf()": ("nested too deeply", "limit"),
        "raise ImportError('x.so: failed to map segment from shared object')": (
            "reading it takes more than 400 MiB of memory (--max-memory)",
            "limit",
        ),
        "kept = bytearray(250 << 20); raise ValueError from MemoryError()": (
            "reading it takes more than 400 MiB of memory (--max-memory)",
            "limit",
        ),
        "os._exit(parser_process.NO_MEMORY)": ("reading it takes more than 400 MiB of memory (--max-memory)", "limit"),
        "os.kill(os.getpid(), 45)": ("the text parser crashed (signal 45)", "damaged"),
        "os.kill(os.getpid(), signal.SIGKILL)": (
            "the text parser was killed (SIGKILL) by someone, or because memory ran out",
            "system",
        ),
    }
    with FileParser(limits) as parser:
        for code, reason in expected.items():
            assert refusal(parser, code) == reason, code
            assert parser.parse(TEXT, "b.txt", b"pass").documents[0].text == "a text", f"after {code}"


@pytest.mark.usefixtures("evil")
def test_a_parser_that_aborts_near_its_limit_of_memory_is_told_so() -> None:
    with FileParser(FileLimits(memory_bytes=400 * 2**20)) as parser:
        reason, kind = refusal(parser, "kept = bytearray(250 << 20); time.sleep(0.2); os.abort()")
        assert kind == "limit"
        assert reason.startswith("the text parser ended (SIGABRT) at ")
        assert reason.endswith(" MiB of memory; the limit is 400 (--max-memory)")
        reason, kind = refusal(parser, "time.sleep(0.2); os.abort()")
        assert (reason, kind) == ("the text parser crashed (SIGABRT)", "damaged")


@pytest.mark.usefixtures("evil")
def test_what_earlier_files_left_behind_costs_no_later_file() -> None:
    with FileParser(FileLimits(memory_bytes=400 * 2**20)) as parser:
        for code in ("sys.kept = bytearray(250 << 20)", "sys.kept2 = bytearray(250 << 20)", "getattr(sys, 'kept', 0)"):
            assert parser.parse(TEXT, "a.txt", code.encode()).documents
        parser.parse(TEXT, "a.txt", b"sys.poisoned = True")
        assert parser.parse(TEXT, "a.txt", b"hasattr(sys, 'poisoned') and os.abort()").documents


@pytest.mark.usefixtures("evil")
def test_a_file_whose_reader_is_killed_from_outside_is_read_again(tmp_path: Path) -> None:
    with FileParser(FileLimits()) as parser:
        parser.parse(TEXT, "a.txt", b"pass")
        assert parser._process is not None
        os.kill(parser._process.pid, signal.SIGKILL)  # while it waits
        assert parser.parse(TEXT, "a.txt", b"pass").documents
        parser.close()
        first = f"p = {str(tmp_path / 'd')!r}\nif not os.path.isdir(p): os.mkdir(p); os.kill(os.getpid(), 15)"
        assert parser.parse(TEXT, "a.txt", first.encode()).documents, "even in a process of its own"


@pytest.mark.usefixtures("evil")
def test_a_parser_that_sleeps_while_its_indexer_dies_is_ended_by_the_system() -> None:
    with FileParser(FileLimits(seconds=1.0)) as parser:
        left = "assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 6; assert not signal.getsignal(signal.SIGALRM)"
        assert parser.parse(TEXT, "a.txt", left.encode()).documents


def test_a_file_for_which_there_is_not_even_memory_to_receive_it_is_beyond_the_limit() -> None:
    with FileParser(FileLimits(memory_bytes=80 * 2**20)) as parser, pytest.raises(NotReadable) as error:
        parser.parse(TEXT, "a.txt", b"words\n" * (15 * 2**20))
    assert error.value.kind == "limit"
    assert "(--max-memory)" in str(error.value)


def test_limits_beyond_what_the_system_can_say_are_none() -> None:
    with FileParser(FileLimits(seconds=float("inf"), memory_bytes=2**80)) as parser:
        assert parser.parse(TEXT, "a.txt", b"words").documents


@pytest.mark.parametrize("program", ["", "/no/such/python", "/bin/false"])
def test_a_process_that_does_not_start_is_no_files_fault(
    world: World, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    world.write("a.txt", "Words.")
    monkeypatch.setattr("sys.executable", program)
    with pytest.raises(ParserMissing, match="did not start"):
        world.sync(world.folder)


@pytest.mark.usefixtures("evil")
def test_a_parser_cannot_write_files(tmp_path: Path) -> None:
    target = tmp_path / "written"
    with FileParser(FileLimits()) as parser:
        refusal(parser, f"open({str(target)!r}, 'wb', buffering=0).write(b'x')")
    assert not target.exists() or target.read_bytes() == b""


@pytest.mark.usefixtures("evil")
def test_a_parser_of_which_the_indexer_died_ends_by_itself() -> None:
    parser = FileParser(FileLimits(seconds=1.0))
    parser.parse(TEXT, "a.txt", b"pass")
    assert parser._process is not None
    child = psutil.Process(parser._process.pid)
    assert parser._process.stdin is not None
    parser._process.stdin.close()  # as the system does where a process was killed
    assert child.wait(timeout=20) in (0, None)
    parser.close()


def test_closing_ends_the_process_and_leaves_no_zombie() -> None:
    with FileParser(FileLimits()) as parser:
        parser.parse(TEXT, "a.txt", b"words")
        assert parser._process is not None
        pid = parser._process.pid
    assert not psutil.pid_exists(pid)


def test_a_folder_with_modules_of_pythons_names_is_only_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "os", "deformer_qa", "sitecustomize"):
        world.write(f"{name}.txt", f"Words of {name}.")
        world.write(f"{name}.py", "raise SystemExit('run')")
    monkeypatch.chdir(world.folder)
    report = world.sync(world.folder, limits=FileLimits(seconds=20))
    assert report.files.added >= 4
    assert {"json.txt", "os.txt", "deformer_qa.txt", "sitecustomize.txt"} <= set(world.answers())


def test_ctrl_c_reaches_the_indexer_and_not_the_parser(world: World) -> None:
    world.write("a.txt", "Words.")

    def interrupt(text: str) -> None:
        os.killpg(os.getpgrp(), 0)
        signal.raise_signal(signal.SIGINT)

    world.encoder.fail_at = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.sync(world.folder)
    world.encoder.fail_at = lambda text: None
    assert world.sync(world.folder).files == FileCounts(added=1)
    assert not [one for one in psutil.Process().children() if "indexer.sandbox.child" in " ".join(one.cmdline())]


def test_many_files_pass_through_few_processes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deformer_qa.indexer.sandbox.parent._FILES_PER_PROCESS", 4)
    for number in range(10):
        world.write(f"{number}.txt", f"Words of {number}.")
    began = time.monotonic()
    assert world.sync(world.folder).files == FileCounts(added=10)
    assert time.monotonic() - began < 60
