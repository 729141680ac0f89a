"""``qa index`` on a hostile folder: every file is accounted for, nothing outside is read, the good ones answer."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.commands import Ended, Qa
from parts.hostile_files import CANARY, n_bad, plant

from deformer_qa.cli.ask import opened
from deformer_qa.indexer.formats import ParsedFile
from deformer_qa.indexer.sandbox.parent import FileParser

SECONDS = int(os.environ.get("QA_HOSTILE_SECONDS", "2"))  # of a file; the default of qa index is 20
LIMITS = ("--max-seconds", str(SECONDS), "--max-text", "50000")
N_EMPTY = 20_000


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "in"
    (tmp_path / "in" / "unreadable-folder").chmod(0o700)
    shutil.rmtree(tmp_path / "in")  # pytest keeps what tests leave


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """How long each file took, by path."""
    taken: dict[str, float] = {}
    parse = FileParser.parse

    def timed(self: FileParser, format_: Any, path: str, *rest: Any) -> ParsedFile:
        began = time.monotonic()
        try:
            return parse(self, format_, path, *rest)
        finally:
            taken[path] = time.monotonic() - began

    monkeypatch.setattr(FileParser, "parse", timed)
    return taken


def test_a_folder_of_hostile_files_is_indexed_and_the_good_ones_answer(
    qa: Qa, folder: Path, tmp_path: Path, seconds: dict[str, float]
) -> None:
    questions = plant(folder, tmp_path / "out")
    assert (len(questions), n_bad(folder) >= 260) == (23, True)
    (folder / "empty").mkdir()
    for number in range(N_EMPTY):
        os.close(os.open(folder / "empty" / f"{number}.txt", os.O_CREAT))
    entries = _entries(folder)
    store, report = tmp_path / "store", tmp_path / "report.json"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of children of other tests in this process
    with _restless(folder):
        ended = qa("index", folder, "--store", store, "--report", report, *LIMITS)
    assert ended.code == 0, ended.err

    told = json.loads(report.read_text())
    assert _unaccounted(entries, told, folder) == []
    assert all(one["reason"] and one["kind"] for one in told["outcomes"] if one["outcome"] == "skipped")
    assert not [one for one in told["outcomes"] if "failed on it" in (one["reason"] or "")], "a parser of ours stumbled"
    assert told["skipped_by_kind"]["empty"] >= N_EMPTY
    slowest = max(seconds, key=lambda path: seconds[path])
    greatest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # KiB, of the greatest child
    sys.__stdout__.write(f"slowest: {seconds[slowest]:.1f} s, {slowest}; greatest process: {greatest // 1024} MiB\n")
    assert seconds[slowest] < SECONDS + 10
    assert greatest < 2 * 2**20 or greatest == before
    assert not any(CANARY.encode() in file.read_bytes() for file in store.rglob("*") if file.is_file())
    _check_output(ended)

    with opened(store, None) as pipeline:
        for name, (question, answer) in questions.items():
            given = pipeline.ask(question).answers[0].place
            assert (given.path.split("#")[0], answer in given.text) == (name, True), (name, given.text)

    again = qa("index", folder, "--store", store, *LIMITS, "--format", "json")
    counts = json.loads(again.out.splitlines()[-1])["files"]
    assert counts["unchanged"] >= 23


def _entries(folder: Path) -> set[bytes]:
    """Every entry below the folder but folders, relative to it; of a closed folder the folder."""
    found = set()
    for here, folders, files in os.walk(os.fsencode(folder)):
        for name in files + [one for one in folders if os.path.islink(os.path.join(here, one))]:
            found.add(os.path.relpath(os.path.join(here, name), os.fsencode(folder)))
    return found


def _unaccounted(entries: set[bytes], told: dict[str, Any], folder: Path) -> list[bytes]:
    """Entries that the report does not name; metadata beside a file and links to what is in the folder need not be."""
    named = {one["path"].split("#")[0] for one in told["outcomes"]} | {one["path"] for one in told["outcomes"]}
    inside = {b"link-self", b"link-meta.txt.meta.json", b"unreadable-folder/inside.txt"}
    shown = {entry: str(folder / entry.decode("utf-8", "backslashreplace")) for entry in entries - inside}
    return sorted(
        entry
        for entry, path in shown.items()
        if path not in named and path.split("#")[0] not in named and not entry.startswith(b"restless-")
    )


def _check_output(ended: Ended) -> None:
    for text in (ended.out, ended.err):
        assert not any(character < " " and character != "\n" for character in text)
        assert "\x7f" not in text
        assert "\u202e" not in text
        assert "Traceback" not in text


class _restless:
    """While this lasts files of the folder vanish, come, grow and shrink."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        for number in range(40):
            (folder / f"restless-{number}.txt").write_text("Words. " * 1000)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        turn = 0
        while not self._over.wait(0.02):
            file = self._folder / f"restless-{turn % 40}.txt"
            if turn % 3 == 0:
                file.unlink(missing_ok=True)
            elif turn % 3 == 1:
                with file.open("a") as stream:
                    stream.write("More words. " * 5000)
            else:
                file.write_text("")
            turn += 1
