"""What ``qa index`` takes and tells: patterns, stdin, a preview, a report, a watch."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parts.commands import Ended, Qa

from deformer_qa.indexer.watch import places_to_watch
from deformer_qa.reader.encoder import EncodedText, Encoder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "old").mkdir(parents=True)
    (folder / "a.md").write_text("# Wombats\n\nThe wombat lives in Dorbia.\n")
    (folder / "old/b.txt").write_text("The castle of Trenn was built in 1412.\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    return folder


def test_a_preview_lists_what_would_be_done_and_changes_nothing(qa: Qa, corpus: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ended = qa("index", corpus, "--store", store, "--dry-run")
    assert ended.code == 0
    outcomes = {line.split("\t")[1]: line.split("\t")[0] for line in ended.out.splitlines() if "\t" in line}
    skipped = {str(corpus / name): "skipped" for name in ("broken.pdf", "empty.txt", "photo.png")}
    assert outcomes == {str(corpus / "a.md"): "added", str(corpus / "old/b.txt"): "added", **skipped}
    assert ended.out.splitlines()[-1] == "would be: 2 added, 3 skipped; nothing was changed."
    assert not store.exists()

    assert qa("index", corpus, "--store", store).code == 0
    before = _bytes_of(store)
    (corpus / "c.txt").write_text("New words.")
    (corpus / "a.md").write_text("# Wombats\n\nThe wombat lives in Sorbia.\n")
    (corpus / "old/b.txt").rename(corpus / "moved.txt")
    ended = qa("index", "--store", store, "--dry-run", "--format", "json")
    preview = json.loads(ended.out.splitlines()[-1])
    assert preview["event"] == "preview"
    assert _bytes_of(store) == before
    done = json.loads(qa("index", "--store", store, "--format", "json").out.splitlines()[-1])
    assert preview["files"] == done["files"]
    assert {name: n for name, n in done["files"].items() if n} == {"added": 1, "updated": 1, "moved": 1, "skipped": 3}


def test_a_report_tells_of_every_file(qa: Qa, corpus: Path, tmp_path: Path) -> None:
    (corpus / ".qaignore").write_text("old/\n")
    report = tmp_path / "report.json"
    ended = qa("index", corpus, "--store", tmp_path / "store", "--report", report, "--strict")
    assert ended.code == 3
    told = json.loads(report.read_text())
    assert told["skipped_by_kind"] == {"damaged": 1, "empty": 1, "binary": 1}
    outcomes = {Path(one["path"]).name: (one["outcome"], one["kind"]) for one in told["outcomes"]}
    assert outcomes == {
        "a.md": ("added", None),
        "broken.pdf": ("skipped", "damaged"),
        "empty.txt": ("skipped", "empty"),
        "photo.png": ("skipped", "binary"),
        "old": ("ignored", "ignored"),
    }
    assert told["files"] == {
        **dict.fromkeys(("updated", "moved", "removed", "unchanged"), 0),
        "added": 1,
        "skipped": 3,
        "ignored": 1,
    }
    for kind in ("damaged", "empty", "binary"):
        assert f"qa: skipped 1 ({kind}): {corpus}/" in ended.err


def test_a_report_that_cannot_be_written_is_told_before_the_work(qa: Qa, corpus: Path, tmp_path: Path) -> None:
    ended = qa("index", corpus, "--store", tmp_path / "store", "--report", tmp_path / "no/report.json")
    assert (ended.code, (tmp_path / "store").exists()) == (2, False)
    assert "cannot be written" in ended.err


def test_a_report_is_never_written_over_a_document_nor_indexed(qa: Qa, corpus: Path, tmp_path: Path) -> None:
    (corpus / "z.txt").write_text("The ferry leaves at noon.")
    ended = qa("index", corpus, "--store", tmp_path / "store", "--dry-run", "--report", corpus / "z.txt")
    assert (ended.code, (corpus / "z.txt").read_text()) == (2, "The ferry leaves at noon.")
    assert "exists and is not a report" in ended.err
    for _ in range(2):
        ended = qa("index", corpus, "--store", tmp_path / "store", "--dry-run", "--report", corpus / "r.json")
        assert ended.code == 0
        assert "r.json" not in ended.out
    assert "r.json" not in {Path(one["path"]).name for one in json.loads((corpus / "r.json").read_text())["outcomes"]}


def test_a_pattern_fits_nothing_hidden_unless_it_says_so(qa: Qa, corpus: Path, tmp_path: Path) -> None:
    (corpus / ".hid").mkdir()
    (corpus / ".hid/x.txt").write_text("Words.")
    ended = qa("index", corpus / "**/*.txt", "--store", tmp_path / "s", "--dry-run")
    assert ".hid" not in ended.out + ended.err
    ended = qa("index", corpus / ".hid/*.txt", "--store", tmp_path / "s", "--dry-run")
    assert ended.out.startswith("added\t")


def test_a_watch_sees_that_a_place_was_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    assert places_to_watch(tmp_path / "no store", [folder]) == frozenset()
    folder.mkdir()
    before = places_to_watch(tmp_path / "no store", [folder])
    folder.rename(tmp_path / "d")
    folder.mkdir()
    assert places_to_watch(tmp_path / "no store", [folder]) not in (before, frozenset())


def test_patterns_choose_files_and_a_quoted_pattern_stands_for_them(qa: Qa, corpus: Path, tmp_path: Path) -> None:
    ended = qa(
        "index", corpus, "--store", tmp_path / "s1", "--include", "*.md", "--include", "*.txt", "--exclude", "old"
    )
    assert ended.out.startswith("1 added, 1 skipped, 3 ignored;")
    ended = qa("index", corpus / "**/*.txt", "--store", tmp_path / "s2")
    assert ended.out.startswith("1 added, 1 skipped;")
    ended = qa("index", corpus / "*.docx", "--store", tmp_path / "s3")
    assert (ended.code, (tmp_path / "s3").exists()) == (2, False)
    assert "no file or folder matches this pattern" in ended.err
    ended = qa("index", corpus, "--store", tmp_path / "s3", "--exclude", "a*b*c*d*e")
    assert (ended.code, (tmp_path / "s3").exists()) == (2, False)
    assert "invalid pattern" in ended.err


def test_what_comes_on_stdin_is_indexed_under_its_name(qa: Qa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"

    def piped(raw: bytes, *arguments: str) -> Ended:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
        return qa("index", "-", "--store", store, *arguments)

    assert piped(b"").err == "qa: skipped 1 (empty): stdin: empty\n"
    assert not store.exists()
    assert "(--max-file-size)" in piped(b"x" * (2**20 + 1), "--max-file-size", "1").err
    assert "(name)" in piped(b"x", "--name", "a.jsonl#0").err
    assert piped(b"# Vault\n\nThe password is Kelpie.\n", "--name", "vault.md").out.startswith("1 added;")
    assert piped(b"# Vault\n\nThe password is Dingo.\n", "--name", "vault.md").out.startswith("1 updated;")
    assert qa("index", "--store", store).code == 0, "a sync leaves it alone"
    answer = json.loads(qa("ask", "What is the password?", "--store", store, "--format", "json").out)["answers"][0]
    assert (answer["text"], answer["document"]["root"], answer["document"]["path"]) == ("Dingo", "stdin", "vault.md")
    assert answer["document"]["heading"] == "Vault"
    assert qa("rm", "stdin/vault.md", "--store", store).code == 0
    assert qa("ask", "What is the password?", "--store", store).code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-", "a"], '"-" (stdin) cannot be combined with other PATHs'),
        (["-", "--dry-run"], "cannot be combined with --dry-run"),
        (["--name", "x"], '--name needs "-"'),
        (["-", "--name", "../x"], "expected the name of a file"),
        (["-", "--name", ".."], "expected the name of a file"),
        ([".", "--dry-run", "--watch"], "--dry-run cannot be combined with --watch"),
        ([".", "--max-pages", "0"], "--max-pages"),
        ([".", "--max-memory", "9999999999999"], "--max-memory"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(qa: Qa, arguments: list[str], said: str) -> None:
    ended = qa("index", *arguments)
    assert ended.code == 2
    assert said in ended.err


def test_a_limit_can_be_set_and_is_named_in_the_reason(qa: Qa, corpus: Path, tmp_path: Path) -> None:
    (corpus / "long.txt").write_text("word " * 300)
    ended = qa("index", corpus, "--store", tmp_path / "store", "--max-text", "1000")
    assert "(limit): " in ended.err
    assert "at most 1,000 are read (--max-text)" in ended.err


def test_threads_and_device_reach_the_encoder(
    qa: Qa, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (corpus / "c.txt").write_text("Rye is grown in the north.\n")
    encode, at_once, devices = Encoder.encode, threading.Barrier(3, timeout=60), []

    def meet(encoder: Encoder, text: str) -> EncodedText:
        at_once.wait()
        return encode(encoder, text)

    def note(encoder: Encoder, device: str) -> Encoder:
        devices.append(device)
        return encoder

    monkeypatch.setattr(Encoder, "encode", meet)
    monkeypatch.setattr(Encoder, "to", note)
    ended = qa("index", corpus, "--store", tmp_path / "store", "--threads", "3", "--device", "cpu:0")
    assert (ended.code, devices) == (0, ["cpu:0"])
    assert ended.out.startswith("3 added, ")


def test_a_watch_follows_a_folder_until_ctrl_c(
    started: Callable[..., subprocess.Popen[bytes]], corpus: Path, tmp_path: Path
) -> None:
    store = corpus / ".qa"  # inside what is watched: its own commits must not wake it
    child = started("index", corpus, "--store", store, "--watch", "--format", "json")
    try:
        assert _next_event(child, "done")["files"]["added"] == 2
        (corpus / "new.txt").write_text("The ferry leaves at noon.")
        done = _next_event(child, "done")
        assert (done["files"]["added"], done["files"]["unchanged"]) == (1, 2)
        (corpus / "new.txt").unlink()
        assert _next_event(child, "done")["files"]["removed"] == 1
    finally:
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"Traceback" not in errors
    assert f"watching {1} indexed places".encode() in errors


def _next_event(child: subprocess.Popen[bytes], event: str) -> Any:
    """The next event of this kind on a child's output; fails where none comes."""
    assert child.stdout is not None
    deadline = time.monotonic() + 90
    line = b""
    while time.monotonic() < deadline:
        if select.select([child.stdout], [], [], 1)[0]:
            piece = os.read(child.stdout.fileno(), 1)
            assert piece, "it ended"
            line += piece
            if line.endswith(b"\n"):
                told, line = json.loads(line), b""
                if told["event"] == event:
                    return told
    raise AssertionError(f"no {event!r} came")


def _bytes_of(store: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(store.rglob("*")) if file.is_file()}
