"""Every snippet of the README, the tutorial, the guides and the reference runs, page by page, from top to bottom."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from deformer_qa.cli.main import root, run
from deformer_qa.pipeline.filter_language import parsed_filter

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "docs" / "tutorial.md"]
PAGES += sorted((REPOSITORY / "docs" / "how-to").glob("*.md")) + sorted(
    (REPOSITORY / "docs" / "reference").glob("*.md")
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
_INSTALLING = ("python3 -m venv ", ".venv/bin/pip install ", "source .venv/bin/activate")
_RANDOM = ("another-model", "train-a-reader")
"""Pages whose reader is a tiny one that knows nothing: a question may find an answer or none."""


@pytest.mark.parametrize(
    "page", [one for one in PAGES if _BLOCK.search(one.read_text(encoding="utf-8"))], ids=lambda one: one.stem
)
def test_the_snippets_of_a_page_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    for name, value in (("HOME", tmp_path), ("XDG_CONFIG_HOME", tmp_path / "config"), ("COLUMNS", 80), ("NO_COLOR", 1)):
        monkeypatch.setenv(name, str(value))
    for name in ("QA_STORE", "QA_READER", "QA_FORMAT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    _prepare(page.stem, tmp_path, request.getfixturevalue)
    capsys.readouterr()
    names: dict[str, Any] = {"__name__": page.stem}
    for kind, code in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(code, page.name, "exec"), names)
        elif kind == "toml":
            _check_configuration(code)
        elif kind == "sh":
            for line in _commands(code):
                _run(line, monkeypatch, capsys, may_find_nothing=page.stem in _RANDOM)
        elif kind == "console":
            monkeypatch.setenv("QA_FORMAT", "human")
            for line, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", code, re.M):
                told = _run(line, monkeypatch, capsys, may_find_nothing=True)
                assert _pattern(shown).fullmatch(_plain(told)), f"{line}\n{told}"
            monkeypatch.delenv("QA_FORMAT")


def test_the_filters_of_the_reference_are_filters() -> None:
    page = (REPOSITORY / "docs" / "reference" / "filters.md").read_text(encoding="utf-8")
    for line in next(code for kind, code in _BLOCK.findall(page) if kind == "text").splitlines():
        parsed_filter(line)


def _commands(code: str) -> Iterator[str]:
    """The commands of a block: lines, and what belongs to a line (a here document, what a backslash goes on with)."""
    lines = iter(code.splitlines())
    for line in lines:
        while line.endswith("\\"):
            line = line[:-1] + next(lines)
        if "<<'END'" in line:
            while not line.endswith("\nEND"):
                line += "\n" + next(lines)
        if line.strip():
            yield line


def _run(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, may_find_nothing: bool
) -> str:
    """What a command prints; a ``qa`` runs in this process, anything else in a shell, installing not at all."""
    if line.startswith(_INSTALLING):
        assert "constraints.txt" not in line or (REPOSITORY / "constraints.txt").is_file()
        return ""
    before, pipe, command = line.rpartition(" | ")
    words = [os.path.expanduser(word) for word in shlex.split(command, comments=True)] if "\n" not in line else []
    settings = [word for word in words if re.fullmatch(r"QA_\w+=.*", word)]
    if words[len(settings) : len(settings) + 1] != ["qa"]:
        subprocess.run(["bash", "-ec", line], check=True)
        return ""
    with monkeypatch.context() as inside:
        for setting in settings:
            inside.setenv(*setting.split("=", 1))
        if pipe:
            printed = subprocess.run(["bash", "-ec", before], check=True, capture_output=True).stdout
            inside.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(printed), encoding="utf-8"))
        code = run(words[len(settings) + 1 :])
    told = "".join(capsys.readouterr())
    expected = re.search(r"# exit code (\d)", line)
    assert code == (int(expected[1]) if expected else 0) or (may_find_nothing and code == 1), f"{line}: {code}\n{told}"
    return told


def _plain(text: str) -> str:
    """Without white space, which follows the width, and numbers of confidence, which follow the reader."""
    return re.sub(r"\s+|\d+(?=%)", "", text)


def _pattern(shown: str) -> re.Pattern[str]:
    """What is printed in a page; a line of three points stands for any lines."""
    parts = re.split(r"^\.\.\.$", shown, flags=re.M)
    return re.compile(".*".join(re.escape(_plain(part)) for part in parts), re.S)


def _check_configuration(code: str) -> None:
    for name, options in tomllib.loads(code).items():
        command = root.get_command(click.Context(root), name)
        assert command is not None, name
        assert options.keys() <= {parameter.name for parameter in command.params}, name


def _prepare(page: str, folder: Path, fixture: Callable[[str], Any]) -> None:
    """What a reader of the page has at hand."""
    manuals = folder / "Documents" / "manuals"
    manuals.mkdir(parents=True)
    (manuals / "pump.txt").write_text("The filter of the pump must be cleaned every two weeks.")
    if page == "tutorial":
        return
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    files = {
        "papers/one.txt": "Ada Lindqvist proposed the method of decomposed attention.",
        "notes.md": "# Notes\n\nNothing yet.",
        "notes/car.txt": "The winter tyres are stored at Brandt's garage in Mill Lane.",
        "notes/old.md": "An old note about the harbour.",
        "notes/list.bak.txt": "A list of things that were done.",
        "notes/german.md": "---\nlang: de\n---\nDie Brücke steht seit 1890.",
        "notes/city.txt": "the city was basel.",
        "mine/corpus/manuals/pump.txt": "The filter of the pump must be cleaned every two weeks.",
        "mine/questions.jsonl": '{"id": "1", "question": "How often must the filter be cleaned?", '
        '"collection": "manuals", "answers": ["every two weeks"], "file": "pump.txt"}\n',
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copy(REPOSITORY / "tests" / "indexer" / "samples" / "skerrow-lighthouse.pdf", folder / "report.pdf")
    if page in ("trust-answers", "move-a-store", "python"):
        assert run(["index", "notes"]) == 0
    if page == "haystack":
        shutil.copytree(fixture("example_store"), folder / ".qa")
    if page in _RANDOM:
        (folder / "my-encoder").symlink_to(fixture("tiny_bert"))
        (folder / "checkpoint").symlink_to(fixture("tiny_reader_checkpoint"))
        shutil.copytree(fixture("training_data"), folder / "data")
        question = {"id": "1", "question": "where?", "answers": [{"text": "ulm", "answer_start": 21}]}
        paragraphs = [{"context": f"the river {n:03} was in ulm. " * 30, "qas": [question]} for n in range(70)]
        squad = {"data": [{"title": "rivers", "paragraphs": paragraphs}]}
        (folder / "data" / "paragraphs.json").write_text(json.dumps(squad), encoding="utf-8")
    if page == "another-model":
        shutil.copytree(fixture("tiny_reader"), folder / "runs" / "mine")
        assert run(["index", "notes", "--reader", "runs/mine", "--store", "mine.qa"]) == 0


def test_the_page_of_answers_has_the_fields_of_the_json(
    example_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (REPOSITORY / "docs" / "reference" / "answers.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```json\n(.*?)```", page, re.S)
    run(["ask", "On what date was Magellan killed?", "--store", str(example_store), "--format", "json"])
    assert _shape(json.loads(capsys.readouterr().out)) == _shape(json.loads(shown))


def _shape(value: object) -> object:
    """The names in a JSON value, at every depth, metadata apart."""
    if isinstance(value, dict):
        return {name: None if name == "meta" else _shape(one) for name, one in value.items()}
    return [_shape(one) for one in value[:1]] if isinstance(value, list) else None
