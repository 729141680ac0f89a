"""Every snippet of the README, the tutorial, the guides and the reference runs, and console output is as shown."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from made_files import pdf
from tiny_training import write_training_data

from deformer_qa.cli.main import run

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
PAGES += sorted((DOCS / "reference").glob("*.md"))
FROM_NOTHING = ("README.md", "tutorial.md", "train-a-reader.md")
"""Pages whose commands make the index themselves."""
_INSTALLS = ("python3 -m venv", "pip install", "source ")


@dataclass(frozen=True)
class Snippet:
    """A block of a page, with the line that it begins on."""

    language: str
    line: int
    text: str


def snippets(page: Path) -> list[Snippet]:
    """The blocks that run: all of a language that runs, but those below a comment ``<!-- not run: why -->``."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in re.finditer(r"(<!-- not run: [^>]+ -->\n+)?^```(sh|console|python)\n(.*?)^```", text, re.M | re.S):
        if not block[1]:
            found.append(Snippet(block[2], text.count("\n", 0, block.start(3)) + 1, block[3]))
    return found


@pytest.mark.parametrize(
    "page", [page for page in PAGES if snippets(page)], ids=lambda page: str(page.relative_to(REPOSITORY))
)
def test_the_snippets_of_a_page_run_in_their_order(
    page: Path,
    tmp_path: Path,
    tiny_bert: Path,
    tiny_reader: Path,
    tiny_reader_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _furnish(tmp_path, page, tiny_bert, tiny_reader, tiny_reader_checkpoint)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if page.name not in FROM_NOTHING:
        assert run(["index", "notes", "notes.md", "papers", "report.pdf"]) == 0
    if "mine.qa" in page.read_text(encoding="utf-8") and page.name not in FROM_NOTHING:
        assert run(["index", "notes", "--reader", "runs/mine", "--store", "mine.qa"]) == 0
    names: dict[str, object] = {"__name__": "snippet"}
    for snippet in snippets(page):
        where = f"{page.name}:{snippet.line}"
        if snippet.language == "python":
            exec(compile(snippet.text, where, "exec"), names)
        elif snippet.language == "sh":
            for command in commands(snippet.text):
                _run(command, where)
        else:
            _check_console(snippet.text, where, capsys)


def _furnish(folder: Path, page: Path, encoder: Path, reader: Path, checkpoint: Path) -> None:
    """What a page supposes to be there."""
    manuals = _made(folder / "Documents" / "manuals")
    (manuals / "mill.md").write_text("The filter must be cleaned twice a year.\n")
    if page.name == "tutorial.md":
        return
    (notes,) = (one.text for one in snippets(DOCS / "tutorial.md") if one.text.startswith("mkdir notes"))
    subprocess.run(["bash", "-ec", notes], cwd=folder, check=True)
    shutil.copy(folder / "notes" / "car.txt", folder / "notes.md")
    (folder / "notes" / "old.md").write_text("The old shed was painted green.\n")
    (folder / "notes" / "plan.bak.txt").write_text("Der Plan wurde verworfen.\n")
    (folder / "notes" / "german.md").write_text("---\nlang: de\n---\nDer Turm steht in Ulm.\n")
    shutil.copytree(REPOSITORY / "examples" / "corpus" / "history", folder / "papers")
    (folder / "papers" / "method.md").write_text("The method was proposed by Ada Lindqvist in 2019.\n")
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    (folder / "report.pdf").write_bytes(pdf(["The lighthouse of Orlan was first lit on 3 May 1871."]))
    shutil.copytree(manuals, _made(folder / "mine" / "corpus") / "manuals")
    asked = {"id": "1", "collection": "manuals", "question": "How often must the filter be cleaned?"}
    (folder / "mine" / "questions.jsonl").write_text(json.dumps({**asked, "answers": ["twice a year"]}) + "\n")
    write_training_data(_made(folder / "data"))
    shutil.copytree(encoder, folder / "my-encoder")
    shutil.copytree(checkpoint, folder / "checkpoint")
    if page.name != "train-a-reader.md":
        shutil.copytree(reader, folder / "runs" / "mine")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def commands(text: str) -> Iterator[str]:
    """The commands of a shell block, each with the lines of its here-document."""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip():
            continue
        end = re.search(r"<<'(\w+)'", line)
        whole = [line]
        while end and whole[-1] != end[1]:
            whole.append(next(lines))
        yield "\n".join(whole)


def _run(command: str, where: str) -> None:
    """One command: ours in this process, others by the shell; a comment says which exit code it has if not 0."""
    code = re.search(r"# exit code (\d)", command)
    if any(command.lstrip(".").startswith(one) or one in command for one in _INSTALLS):
        return  # the tests run in such an environment
    if re.match(r"qa\b[^|]*$", command):
        found = run([os.path.expanduser(word) for word in shlex.split(command, comments=True)[1:]])
    else:
        found = subprocess.run(["bash", "-ec", command], capture_output=True).returncode
    assert found == (int(code[1]) if code else 0), f"{where}: {command}: exit code {found}"


def _check_console(text: str, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands behind a dollar sign print the lines below them, up to dots; percents are as they come."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *shown = part.rstrip().splitlines()
        capsys.readouterr()
        words = shlex.split(command)[1:]
        run([*words, *(["--format", "human"] if words[0] == "ask" else [])])
        printed = capsys.readouterr().out
        expected = _without_numbers("\n".join(shown).removesuffix("...").rstrip())
        assert _without_numbers(printed).startswith(expected), f"{where}: {command} printed\n{printed}"


def _without_numbers(text: str) -> str:
    return " ".join(re.sub(r"\d+%", "N%", text).split())
