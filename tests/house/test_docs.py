"""The docs say what is so: links lead somewhere, paths and commands exist, the generated page is of today's code."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import click
import pytest

from deformer_qa.cli.main import root
from deformer_qa.indexer.formats.parsed import Kind

REPOSITORY = Path(__file__).resolve().parents[2]
_TRACKED = subprocess.run(["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
PAGES = sorted(REPOSITORY / name for name in _TRACKED.stdout.splitlines() if not name.startswith("examples/corpus/"))
_ROOMS = "pipeline|indexer|store|reader|lab|cli|tests|docs|benchmarks|examples|deformer_qa"


def _generator() -> ModuleType:
    """The script beside the generated page."""
    spec = importlib.util.spec_from_file_location("command_line", REPOSITORY / "docs" / "reference" / "command_line.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)


def _anchors(page: Path) -> set[str]:
    """What a heading is called in a link."""
    headings = re.findall(r"^#+ (.*)$", _without_code(page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_and_path_named_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", _without_code(text)):
        if target.startswith("https://"):
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), f"{target}#{anchor}"
    for name in re.findall(rf"`((?:{_ROOMS})/[\w./-]*)`", text):
        assert (REPOSITORY / name).exists(), name


def test_every_page_that_the_code_names_exists() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for file in listed.stdout.splitlines():
        for name in re.findall(r"(?<![\w/])docs/[\w/-]+\.md", (REPOSITORY / file).read_text(encoding="utf-8")):
            assert (REPOSITORY / name).exists(), f"{file} names {name}"


def test_every_page_is_found_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [REPOSITORY / "docs" / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            targets = re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
            waiting += [page.parent / target for target in targets]
    assert {page for page in PAGES if page.is_relative_to(REPOSITORY / "docs")} <= seen


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_no_line_outside_of_tables_and_code_is_longer_than_100_columns(page: Path) -> None:
    for line in _without_code(page.read_text(encoding="utf-8")).splitlines():
        assert len(line) <= 100 or line.startswith("|"), line


def test_the_page_of_commands_is_what_the_code_says() -> None:
    page = (REPOSITORY / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert page == _generator().page(), 'docs/reference/command-line.md is stale; run "make docs".'


def test_every_command_and_option_has_help() -> None:
    for name, command in _generator().commands(root, "qa"):
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


def test_every_command_and_option_the_docs_name_exists() -> None:
    known = {name: command for name, command in _generator().commands(root, "qa")}
    groups = {name.rsplit(" ", 1)[0] for name in known}
    options = {
        option for command in known.values() for one in command.params for option in (*one.opts, *one.secondary_opts)
    }
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"(?:`|^|^\$ |^\.venv/bin/)(qa [a-z]+)\b", text, re.M):
            assert name in known or name in groups, f"{page}: {name}"
        if page.parent.name in ("how-to", "reference", "docs") or page.name == "README.md":
            for option in re.findall(r"`(--[a-z-]+)", text):
                assert option in options, f"{page}: {option}"


def test_make_help_lists_every_target_that_the_docs_name() -> None:
    listed = set(re.findall(r"^([a-z-]+):.*##", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8")):
            assert target in listed, f"{page}: make {target}"


def test_the_page_of_files_has_every_kind_of_reason() -> None:
    page = (REPOSITORY / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    listed = page.split("| kind | meaning |")[1]
    assert set(re.findall(r"^\| `([a-z ]+)` \|", listed, re.M)) == set(get_args(Kind))


def test_the_pages_own_script_writes_nothing_new(tmp_path: Path) -> None:
    """``make docs`` makes the page that is there, in a process of its own as a user runs it."""
    script = REPOSITORY / "docs" / "reference" / "command_line.py"
    copy = tmp_path / "command_line.py"
    copy.write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run([sys.executable, copy], cwd=tmp_path, check=True)
    assert (tmp_path / "command-line.md").read_text(encoding="utf-8") == script.with_name("command-line.md").read_text(
        encoding="utf-8"
    )
