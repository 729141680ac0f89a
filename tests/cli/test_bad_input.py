"""Each line of the table of bad input: the exit code, and one clear line."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash
from parts.commands import Ended, Qa

from deformer_qa.cli.main import run
from deformer_qa.reader.shipped import SHIPPED
from deformer_qa.store import open_snapshot

Start = Callable[..., "subprocess.Popen[bytes]"]


def one_line(ended: Ended) -> str:
    """The only line on stderr, which is not a traceback."""
    lines = ended.err.strip().split("\n")
    assert len(lines) == 1, ended.err
    assert "Traceback" not in ended.err
    assert lines[0].startswith("qa: ")
    return lines[0]


def test_a_path_that_is_not_there(qa: Qa) -> None:
    ended = qa("index", "nothing-here")
    assert ended.code == 2
    assert "nothing-here" in one_line(ended)
    assert not Path(".qa").exists()


def test_a_folder_with_nothing_to_index(qa: Qa, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = qa("index", tmp_path / "empty")
    assert ended.code == 0
    assert "nothing to index" in ended.err
    assert not Path(".qa").exists()


def test_nothing_new_to_index_commits_nothing_new(qa: Qa, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.txt").write_text("Ulm lies on the Danube.", encoding="utf-8")
    assert qa("index", corpus).code == 0
    generation = json.loads(qa("info", "--format", "json").out)["generation"]
    (tmp_path / "empty").mkdir()
    assert qa("index", tmp_path / "empty").code == 0
    assert qa("index").code == 0
    assert json.loads(qa("info", "--format", "json").out)["generation"] == generation


def test_some_files_are_skipped_with_count_and_reasons(qa: Qa, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "good.txt").write_text("Ulm lies on the Danube.", encoding="utf-8")
    (corpus / "bad.bin").write_bytes(b"\0\1\2")
    (corpus / "worse.bin").write_bytes(b"\0\1\2")
    ended = qa("index", corpus, "--report", tmp_path / "report.json")
    assert ended.code == 0
    assert "2" in ended.err
    assert "no reader for .bin" in ended.err
    skipped = json.loads((tmp_path / "report.json").read_text())["skipped"]
    assert sorted(Path(one["path"]).name for one in skipped) == ["bad.bin", "worse.bin"]
    assert qa("index", corpus, "--strict").code == 3


@pytest.mark.parametrize("question", ["", "   ", "\t\n"])
def test_an_empty_or_blank_question(question: str, qa: Qa, example_store: Path) -> None:
    ended = qa("ask", question, "--store", example_store)
    assert ended.code == 2
    assert "empty" in one_line(ended)


def test_no_question_and_no_terminal(qa: Qa, example_store: Path) -> None:
    ended = qa("ask", "--store", example_store)
    assert ended.code == 2
    assert "QUESTION" in one_line(ended)


def test_a_question_longer_than_the_encoder_takes(qa: Qa, example_store: Path) -> None:
    ended = qa("ask", "why " * 300, "--store", example_store)
    assert ended.code == 2
    assert "300 tokens, at most 254" in one_line(ended)


def test_a_store_that_is_missing(qa: Qa, tmp_path: Path) -> None:
    for command in (["ask", "Who?"], ["search", "x y"], ["show", "1"], ["info"], ["verify"], ["rm", "x"]):
        ended = qa(*command, "--store", tmp_path / "no-store")
        assert ended.code == 4, command
        assert "no-store" in one_line(ended)
        assert "qa index" in one_line(ended)


def _copy(store: Path, to: Path) -> Path:
    return Path(shutil.copytree(store, to))


def test_a_store_that_is_truncated(qa: Qa, example_store: Path, tmp_path: Path) -> None:
    copy = _copy(example_store, tmp_path / "store")
    states = next(copy.glob("seg/*/states"))
    os.truncate(states, states.stat().st_size - 1)
    ended = qa("ask", "Who?", "--store", copy)
    assert ended.code == 4
    assert "states" in one_line(ended)
    assert re.search(r"expected [\d,]+.* found [\d,]+", one_line(ended))


def test_a_store_of_a_newer_format(qa: Qa, example_store: Path, tmp_path: Path) -> None:
    copy = _copy(example_store, tmp_path / "store")
    for manifest in copy.glob("MANIFEST-*"):
        body = manifest.read_bytes().partition(b"\n")[2]
        checksum = xxhash.xxh3_128_hexdigest(b"deformer-qa-store 999\n" + body)
        manifest.write_bytes(b"deformer-qa-store 999 " + checksum.encode() + b"\n" + body)
    ended = qa("ask", "Who?", "--store", copy)
    assert ended.code == 4
    assert "format 999" in one_line(ended)


def test_a_store_of_another_encoder(qa: Qa, example_store: Path, tmp_path: Path) -> None:
    reader = tmp_path / "reader"
    shutil.copytree(SHIPPED, reader, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    about = json.loads((reader / "reader.json").read_text())
    from deformer_qa.reader.encoder import Encoder

    about |= {"k": 3, "encoder_id": Encoder.load(k=3).encoder_id}
    (reader / "reader.json").write_text(json.dumps(about))
    ended = qa("index", tmp_path, "--store", example_store, "--reader", reader)
    assert ended.code == 4
    assert "encoder" in one_line(ended)

    ended = qa("ask", "Who?", "--store", example_store, "--reader", reader)
    assert ended.code == 4
    assert "encoder" in one_line(ended)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"encoder": 3}, "encoder: expected str"),
        ({"k": "2"}, "k: expected int"),
        ({"n_joint_layers": 3}, "not those that its configuration describes"),
        ({"ranking": {"margin": 1.0}}, "no number for"),
        ({"encoder_id": "0" * 32}, "asked for with 000000000000"),
        (None, "not a whole safetensors file"),
    ],
)
def test_a_broken_reader_is_refused_in_one_line(
    change: dict[str, object] | None, found: str, qa: Qa, example_store: Path, tmp_path: Path
) -> None:
    reader = tmp_path / "reader"
    shutil.copytree(SHIPPED, reader, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    if change is None:
        os.truncate(reader / "reader.safetensors", 1000)
    else:
        about = json.loads((reader / "reader.json").read_text())
        (reader / "reader.json").write_text(json.dumps({**about, **change}))
    ended = qa("ask", "Who?", "--store", example_store, "--reader", reader)
    assert ended.code in (2, 4)
    assert found in one_line(ended)


def test_a_question_that_is_no_text(qa: Qa, example_store: Path) -> None:
    ended = qa("ask", "caf\udce9 who?", "--store", example_store)
    assert ended.code == 2
    assert "UTF-8" in one_line(ended)


def _as_nobody(arguments: list[str], output: str) -> None:
    """In a child: the command as a user without rights; what it printed goes to a file both may use."""
    os.setgid(65534)
    os.setuid(65534)
    sys.stderr = open(output, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 (the process ends with it)
    os._exit(run(arguments))


def _contents(store: Path) -> dict[Path, bytes]:
    """Every byte of the data; the lock is none."""
    return {path: path.read_bytes() for path in store.rglob("*") if path.is_file() and path.name != "LOCK"}


def _run_as_nobody(arguments: list[str], tmp_path: Path) -> tuple[int | None, str]:
    run(["info", "--store", str(tmp_path / "none")])  # loads what the child, who may not look there, will need
    run(["rm", "x", "--store", str(tmp_path / "store")])
    output = tmp_path / "stderr-of-nobody"
    output.touch()
    output.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path(folder.anchor):
            folder.chmod(folder.stat().st_mode | 0o011)
    child = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(arguments, str(output)))
    child.start()
    child.join(60)
    return child.exitcode, output.read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_no_permission_to_read_the_store(qa: Qa, example_store: Path, tmp_path: Path) -> None:
    copy = _copy(example_store, tmp_path / "store")
    copy.chmod(0o700)
    code, message = _run_as_nobody(["info", "--store", str(copy)], tmp_path)
    assert code == 3, message
    assert str(copy) in message


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_no_permission_to_write_the_store(qa: Qa, example_store: Path, tmp_path: Path) -> None:
    copy = _copy(example_store, tmp_path / "store")
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    some = json.loads(qa("show", "1", "--store", copy, "--format", "json").out)["document"]["path"]
    root = json.loads(qa("info", "--store", copy, "--format", "json").out)["roots"][0]
    before = _contents(copy)
    code, message = _run_as_nobody(["rm", f"{root}/{some}", "--store", str(copy)], tmp_path)
    assert code == 3, message
    assert str(copy) in message
    assert _contents(copy) == before


def test_a_second_writer_is_told_who_holds_the_lock(started: Start, example_store: Path, tmp_path: Path) -> None:
    from deformer_qa.store import Writer

    copy = _copy(example_store, tmp_path / "store")
    with open_snapshot(copy) as snapshot:
        encoder, root = snapshot.encoder, snapshot.roots[0]
    with Writer.open(copy, encoder=encoder):
        child = started("index", root, "--store", copy)
        _, err = child.communicate(timeout=120)
        assert child.returncode == 5
        assert f"process {os.getpid()}" in err.decode()
        assert "started" in err.decode()


def test_no_answer_found(qa: Qa, example_store: Path) -> None:
    ended = qa("ask", "What is the airspeed of an unladen swallow?", "--store", example_store, "--format", "json")
    answers = json.loads(ended.out)
    assert answers["no_answer"]["is_best"] is True
    assert ended.code == 1


def test_ctrl_c_keeps_what_is_encoded_and_the_next_run_resumes(qa: Qa, started: Start, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(160):
        text = " ".join(f"Sentence {n} of text {number} speaks of the river and the mill." for n in range(30))
        (corpus / f"{number:03}.txt").write_text(text, encoding="utf-8")
    store = tmp_path / "store"
    (corpus / "000.txt").rename(tmp_path / "000.txt")
    assert qa("index", tmp_path / "000.txt", "--store", store).code == 0
    child = started("index", corpus, "--store", store, "--threads", "1")
    deadline = time.monotonic() + 120
    while f'"pid": {child.pid},' not in (store / "LOCK").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)  # the lock is its own: from here on it looks at files and encodes, for seconds
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err.decode()
    with open_snapshot(store) as snapshot:
        n_documents = snapshot.n_documents
    assert 0 < n_documents < 160
    kept = f"Interrupted. Documents in the index: {n_documents}; the same command goes on from there."
    assert err.decode().split("\n") == ["", kept, ""]
    assert qa("verify", "--store", store).code == 0
    ended = qa("index", corpus, "--store", store, "--format", "json")
    assert ended.code == 0
    with open_snapshot(store) as snapshot:
        assert snapshot.n_documents == 160


def test_the_output_pipe_is_closed(started: Start, example_store: Path) -> None:
    child = started("ask", "Who took Photograph 51?", "--store", example_store, "--format", "json")
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    err = child.stderr.read()
    assert child.wait(120) == 0
    assert err == b""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["unknown-command"], "unknown-command"),
        (["ask", "Who?", "--answers", "many"], "many"),
        (["show"], "PASSAGE"),
        (["show", "1", "--text"], "--document"),
        (["eval", "squad", "no-such.json"], "no such file"),
        (["eval", "squad", "x.json", "--device", "foo"], "foo"),
        (["index", "--reader", __file__], "no reader.json there"),
        (["index", ".", "--device", "foo"], "foo"),
        (["index", ".", "--threads", "0"], "--threads"),
        (["train", "reader", "no-such-recipe", "--data", "x", "--out", "y"], "no such recipe"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(arguments: list[str], found: str, qa: Qa) -> None:
    ended = qa(*arguments)
    assert ended.code == 2
    assert found in one_line(ended)
