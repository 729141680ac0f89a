"""Hostile questions and filters: each ends with the exit code that is defined for it, quickly, and changes nothing."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parts.commands import Ended, Qa
from parts.hostile_texts import EMPTY, LONGEST, MIB, NO_TEXT, TOO_LONG, Case, filters, questions

from deformer_qa.cli.ask import AskOptions, Session
from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.errors import BadFilter, BadQuestion
from deformer_qa.reader.reading import SplitReader

SECONDS = 2.0
"""Of processor time for one question or filter, once the reader is loaded."""


QUESTIONS, FILTERS = list(questions()), list(filters())


def contents(store: Path) -> dict[str, str]:
    """Every name below a store with the hash of its bytes."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(store.rglob("*"))
    }


@pytest.fixture(scope="module")
def store(shipped_reader: SplitReader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few records with metadata, small enough to be asked hundreds of times."""
    folder = tmp_path_factory.mktemp("hostile")
    lines = [
        {"text": "Magellan was killed on 27 April 1521.", "meta": {"year": 2020, "lang": "en", "tags": ["a", ""]}},
        {"text": "Ulm liegt an der Donau.", "meta": {"year": 1e300, "lang": "de", "`": None}},
        {"text": "The river is \u202e long.", "meta": {"lang": ["en"], "year": "2020"}},
    ]
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    sync(folder / "store", shipped_reader.encoder, [folder / "records.jsonl"])
    return folder / "store"


@pytest.fixture
def qa_warm(qa: Qa, store: Path, shipped_reader: SplitReader, monkeypatch: pytest.MonkeyPatch) -> Qa:
    """``qa`` with the reader loaded before, which is start-up; the rest of each command is as it is."""
    monkeypatch.setattr("deformer_qa.cli.ask.loaded", lambda *_: shipped_reader)

    def run(command: str, *arguments: str) -> Ended:
        began = time.process_time()
        ended = qa(command, "--store", store, *arguments)
        assert time.process_time() - began < SECONDS, (command, *(ascii(one[:60]) for one in arguments))
        return ended

    run("ask", "Who?")
    return run


def check(case: Case, ended: Ended) -> None:
    shown = ascii(case.text[:60])
    assert ended.code in case.codes, (shown, ended.err[:300])
    assert "Traceback" not in ended.err, shown
    lines = ended.err.splitlines()
    if case.codes == (2,):
        assert len(lines) == 1, shown
        assert lines[0].startswith("qa: "), shown
        assert case.says in lines[0], (shown, lines[0])
        assert len(lines[0]) < 400, shown
    assert not any(ord(one) < 32 and one != "\n" and one != "\t" for one in ended.out + ended.err), shown


def test_there_are_as_many_as_are_promised() -> None:
    assert len({case.text for case in QUESTIONS}) + len({case.text for case in FILTERS}) >= 240


@pytest.mark.parametrize("command", ["ask", "search"])
def test_hostile_questions(qa_warm: Qa, store: Path, command: str) -> None:
    before = contents(store)
    asked = QUESTIONS if command == "ask" else QUESTIONS[::2]
    for case, form in zip(asked, itertools.cycle(["plain", "json", "human"]), strict=False):
        ended = qa_warm(command, "--format", form, "--", case.text)
        if command == "search" and not case.says:
            assert ended.code == 0, "a search finds the nearest passages whatever it is for"
        check(case, ended)
        if form == "json" and not case.says:
            told = json.loads(ended.out)
            assert told["question" if command == "ask" else "query"] == case.text.strip()
    assert contents(store) == before


def test_hostile_filters(qa_warm: Qa, store: Path) -> None:
    before = contents(store)
    for case, form in zip(FILTERS, itertools.cycle(["plain", "json", "human"]), strict=False):
        for command in ("ask", "search") if form == "json" else ("ask",):
            ended = qa_warm(command, "Who was killed?", "--format", form, f"--where={case.text}")
            check(case, ended)
            if form == "json" and command == "ask" and not case.says:
                assert json.loads(ended.out)["where"]["filter"] == case.text
        ended = qa_warm("rm", "--dry-run", f"--where={case.text}")
        assert ended.code in (2, *case.codes[:1])
        assert case.says in ended.err
        if case.says:
            removed = qa_warm("rm", f"--where={case.text}")
            assert (removed.code, removed.err) == (2, ended.err)
    assert contents(store) == before


def test_hostile_lines_of_a_session(
    store: Path, shipped_reader: SplitReader, capsys: pytest.CaptureFixture[str]
) -> None:
    with Pipeline.open(store, shipped_reader) as pipeline:
        session = Session(pipeline, AskOptions(3, 20, 30, None))
        for case in QUESTIONS[::6]:
            if not case.text.strip().startswith(":"):
                session.answer(case.text)
                check_told(case, capsys.readouterr().out)
        for case in FILTERS:
            session.answer(":where " + case.text)
            if case.text.strip():
                check_told(case, capsys.readouterr().out)
                assert (session.options.where is not None) == (not case.says)
            session.answer(":where")
            assert session.options.where is None
            assert "3 documents" in capsys.readouterr().out


def check_told(case: Case, out: str) -> None:
    """A session wraps what it tells, and takes blanks from the end of what it is told."""
    said = " ".join(out.split())
    if case.says:
        assert said.startswith(("filter", "The question", "question")), (ascii(case.text[:60]), said)
    assert not any(ord(one) < 32 and one != "\n" for one in out)


def test_questions_in_python_and_on_stdin_have_the_same_limit(
    qa: Qa, store: Path, shipped_reader: SplitReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Pipeline.open(store, shipped_reader) as pipeline:
        for ask in (pipeline.ask, pipeline.search):
            with pytest.raises(BadQuestion, match="at most 10,000 are taken"):
                ask("x" * (LONGEST + 1))
            with pytest.raises(BadFilter, match="column 3"):
                ask("who", where="a = 1")
    monkeypatch.setattr("deformer_qa.cli.ask.loaded", lambda *_: shipped_reader)
    for content, code, says in (
        (b"Who was killed?\n", 0, ""),
        (b"\xef\xbb\xbfWho was\0killed?\r\n" + b" " * 50_000, 0, ""),
        (b"", 2, EMPTY),
        (b"\xff\xfeW\0h\0o\0", 2, "not UTF-8 at byte 1"),
        (b"Who was \xe9lu?", 2, "not UTF-8 at byte 9"),
        (b"x" * (LONGEST + 1), 2, TOO_LONG),
        (b"\xff" * 3 * MIB, 2, "over 1,048,576 bytes, at most 10,000 characters"),
    ):
        stdin = io.TextIOWrapper(io.BytesIO(content))
        monkeypatch.setattr("sys.stdin", stdin)
        ended = qa("ask", "-", "--store", store)
        assert (ended.code, says in ended.err) == (code, True), ended.err
        assert stdin.buffer.tell() <= MIB + 1, "no more is read than is needed"
        assert len(ended.err.splitlines()) == (1 if code else 0)


def test_a_few_as_real_commands(store: Path) -> None:
    """Arguments as the system hands them over: no NUL can be in them, bytes that are no text can."""
    before = contents(store)
    for arguments, stdin, code, says in (
        ((b"ask", b"who \xe9?"), b"", 2, NO_TEXT),
        ((b"x" * 100_000,), b"", 2, TOO_LONG),
        ((b"ask", b"who?", b"--where", b"a == '\xff'"), b"", 2, "filter, column 7: found a byte that is not UTF-8"),
        ((b"ask", b"-"), b"\0" * MIB, 2, TOO_LONG),
        ((b"ask", b"-", b"--where", b"year == 3"), b"who\0was?", 1, "no document matches the filter."),
    ):
        command = [sys.executable, "-c", "from deformer_qa.cli.main import main; main()", *arguments]
        environment = {**os.environ, "QA_STORE": str(store)}
        ended = subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=120, check=False)
        assert ended.returncode == code, ended.stderr[-500:]
        assert len(ended.stderr.decode().splitlines()) == 1
        assert says in ended.stderr.decode()
    assert contents(store) == before
