"""The docs say what is so: links lead somewhere, commands exist and are described, code runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import click
import pytest

from deformer_qa.cli.main import root
from deformer_qa.reader.reading import SplitReader

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in REPOSITORY.rglob("*.md")
    if not {".venv", "runs", "corpus", "build"} & set(path.relative_to(REPOSITORY).parts)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_and_path_named_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    rooms = "pipeline|indexer|store|reader|cli|tests|docs|benchmarks|examples"
    for name in re.findall(rf"`((?:{rooms})/[\w./-]+)`", text):
        assert (REPOSITORY / name).exists(), name


def _commands(group: click.Group, prefix: str = "qa") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        found.append((f"{prefix} {name}", command))
        if isinstance(command, click.Group):
            found += _commands(command, f"{prefix} {name}")
    return found


def test_every_command_and_option_has_help_and_is_documented() -> None:
    page = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    for name, command in _commands(root):
        assert command.help, name
        assert name in page, f"{name} is not in docs/cli.md"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


def test_every_command_the_docs_name_exists() -> None:
    known = {name for name, _ in _commands(root)}
    for page in PAGES:
        for block in re.findall(r"`(qa [a-z]+)|^(?:\.venv/bin/)?(qa [a-z]+)", page.read_text(encoding="utf-8"), re.M):
            name = "".join(block)
            assert name in known, f"{page}: {name}"


def test_the_python_of_the_readme_runs(
    example_store: Path, shipped_reader: SplitReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shutil.copytree(example_store, tmp_path / ".qa")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "one.txt").write_text("A paper about decomposed attention.")
    (tmp_path / "notes.md").write_text("# Notes\n\nNothing yet.")
    monkeypatch.chdir(tmp_path)
    plain, haystack = re.findall(r"```python\n(.*?)```", readme, re.S)
    exec(compile(plain, "README.md", "exec"), {})
    assert "27 April 1521 history/first-circumnavigation.md" in capsys.readouterr().out
    names: dict[str, Any] = {}
    exec(compile(haystack, "README.md", "exec"), names)
    asked = {"retriever": {"query": names["question"]}, "reader": {"query": names["question"]}}
    assert names["pipeline"].run(asked)["reader"]["answers"][0].data == "27 April 1521"
