"""Which files of a folder are taken: patterns, ignore files, metadata beside a file."""

from __future__ import annotations

import json
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from parts.tiny_world import World

from deformer_qa.indexer import BadPattern, FileCounts, Noted, Selection
from deformer_qa.indexer.files import list_files
from deformer_qa.indexer.formats.metadata import from_yaml
from deformer_qa.indexer.formats.parsed import NotReadable
from deformer_qa.indexer.selection import Chooser

FILES = ("a.txt", "a.md", "b/a.txt", "b/c.log", "b/d/e.txt", "b/d/f.md", "g/h.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    return tmp_path


def taken(folder: Path, part: str = "", **selection: tuple[str, ...] | bool) -> set[str]:
    listing = list_files(str(folder), part, selection=Selection(**selection))  # type: ignore[arg-type]
    return {file.path for file in listing.files}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), (), set(FILES)),
        (("*.md",), (), {"a.md", "b/d/f.md"}),
        (("b/**",), ("*.log",), {"b/a.txt", "b/d/e.txt", "b/d/f.md"}),
        ((), ("b/",), {"a.txt", "a.md", "g/h.txt"}),
        ((), ("d",), set(FILES) - {"b/d/e.txt", "b/d/f.md"}),
        (("*.txt", "*.md"), ("/a.*",), {"b/a.txt", "b/d/e.txt", "b/d/f.md", "g/h.txt"}),
        ((), ("*", "!*.log"), set()),  # as with git: what lies in a folder left out is not looked at
        ((), ("*.txt", "!e.txt"), {"a.md", "b/c.log", "b/d/e.txt", "b/d/f.md"}),
    ],
)
def test_patterns_choose_as_those_of_gitignore_do(
    folder: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: set[str]
) -> None:
    assert taken(folder, include=include, exclude=exclude) == expected


def test_ignore_files_count_from_their_folder_down_and_the_deepest_last(folder: Path) -> None:
    (folder / ".gitignore").write_text("*.txt\n# a remark\n\n")
    (folder / "b/.qaignore").write_text("!a.txt\n/d/*.md\n")
    assert taken(folder) == {"a.md", "b/a.txt", "b/c.log"}
    assert taken(folder, "b/d") == set(), "a part of a root is under the rules of the whole"
    assert taken(folder, ignore_files=False) == set(FILES)
    assert taken(folder, exclude=("!h.txt",)) == {"a.md", "b/a.txt", "b/c.log", "g/h.txt"}


@pytest.mark.parametrize(
    ("lines", "expected"),  # as "git ls-files --others --exclude-per-directory=.gitignore" says
    [
        ("*\n!*/\n!*.md\n", {"a.md", "b/d/f.md"}),
        ("d\n!b\n", set(FILES) - {"b/d/e.txt", "b/d/f.md"}),
        ("*.txt\n!b\n", {"a.md", "b/c.log", "b/d/f.md"}),
        ("/*\n!/b\n", {"b/a.txt", "b/c.log", "b/d/e.txt", "b/d/f.md"}),
        ("b/**\n!b/d/\n!b/d/e.txt\n", {"a.txt", "a.md", "g/h.txt", "b/d/e.txt"}),
        ("/**\n!/g/\n", set()),
        ("\ufeffg/\r\n*.log\r\n", set(FILES) - {"g/h.txt", "b/c.log"}),
        ("x\x0ca.md\nx\u2028a.txt\nx\x85g\n", set(FILES)),
        ("b/d\n!e.txt\n", set(FILES) - {"b/d/e.txt", "b/d/f.md"}),
        ("[[]\n", set(FILES)),
    ],
)
def test_ignore_files_say_what_they_say_to_git(folder: Path, lines: str, expected: set[str]) -> None:
    (folder / ".gitignore").write_text(lines, newline="")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert taken(folder) == expected


def test_a_deep_path_is_under_the_rules_of_all_folders_above() -> None:
    rules = {"": b"*.log\n", "a/" * 1_999 + "a": b"!x.log\n"}
    chooser = Chooser(Selection(), lambda folder, name: rules.get(folder) if name == ".gitignore" else None)
    assert chooser.why_not("a/" * 1_500 + "x.log", is_folder=False) == "left out by .gitignore"
    assert chooser.why_not("a/" * 2_000 + "x.log", is_folder=False) == ""


def test_what_is_never_part_of_a_root_is_passed_over(world: World) -> None:
    world.write_small_corpus()
    never = Selection(never=(world.folder / "one.txt", world.folder / "sub"))
    assert world.sync(world.folder, selection=never).files == FileCounts(added=1)


def test_what_is_named_itself_is_wanted(folder: Path) -> None:
    (folder / ".gitignore").write_text("*\n")
    assert taken(folder / "a.txt") == {"a.txt"}
    assert taken(folder, "b/a.txt") == {"b/a.txt"}


def test_what_is_left_out_is_told(folder: Path) -> None:
    (folder / "b/.gitignore").write_text("d/\n")
    listing = list_files(str(folder), selection=Selection(include=("*.txt",), exclude=("g",)))
    assert {unread.path: unread.reason for unread in listing.ignored} == {
        "a.md": "left out by --include",
        "b/c.log": "left out by --include",
        "b/d": "left out by b/.gitignore",
        "g": "left out by --exclude",
    }
    assert {unread.kind for unread in listing.ignored} == {"ignored"}


@pytest.mark.parametrize("pattern", ["a*b*c*d*e", "**/**/**/**/a", "[[:alpha:]]", "["])
def test_a_pattern_that_takes_for_ever_or_is_none_is_refused(folder: Path, pattern: str, world: World) -> None:
    (folder / ".gitignore").write_text(f"*.log\n{pattern}\n")
    if pattern != "[":  # which git takes literally
        with pytest.raises(BadPattern, match=r"^--exclude .*: invalid pattern"):
            world.sync(world.folder, selection=Selection(exclude=(pattern,)))
        (unread,) = list_files(str(folder)).unread
        assert (unread.path, unread.kind) == (".gitignore", "metadata")
        assert "line 2" in unread.reason
    assert taken(folder) == set(FILES) - {"b/c.log"}


def test_an_ignore_file_that_is_no_file_or_endless_is_told_and_not_used(folder: Path) -> None:
    os.mkfifo(folder / ".gitignore")
    (folder / "b/.qaignore").write_bytes(b"*.txt\n" * 400_000)
    (folder / "g/.qaignore").symlink_to("/etc/passwd")
    listing = list_files(str(folder))
    assert {file.path for file in listing.files} == set(FILES)
    assert {unread.path for unread in listing.unread} == {".gitignore", "b/.qaignore"}


def test_what_is_no_longer_wanted_leaves_the_index(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    world.write(".qaignore", "sub/\n")
    assert world.sync().files == FileCounts(unchanged=2, removed=2, ignored=1)
    assert set(world.answers()) == {"one.txt", "four.jsonl#0", "four.jsonl#1"}


# Metadata beside a file


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("one.txt.meta.json", '{"year": 2020, "title": "Own", "tags": ["a", "b"], "no": null}'),
        ("one.txt.meta.yaml", "year: 2020\ntitle: Own\ntags: [a, b]\nno:\n"),
        ("one.txt.meta.yml", "{year: 2020, title: Own, tags: [a, b]}"),
    ],
)
@pytest.mark.usefixtures("later")
def test_metadata_beside_a_file_are_those_of_its_documents(world: World, name: str, content: str) -> None:
    world.write_small_corpus()
    world.write(name, content)
    assert world.sync(world.folder).files == FileCounts(added=4)
    (one,) = (info for info in world.documents().values() if info.path == "one.txt")
    assert (one.title, one.meta) == ("Own", {"year": 2020, "tags": ["a", "b"]})
    assert world.sync().files == FileCounts(unchanged=4)
    world.write(name, content.replace("2020", "2021"))
    report = world.sync()
    assert (report.files, report.n_passages_encoded) == (FileCounts(unchanged=3, updated=1), 0)
    os.unlink(world.folder / name)
    assert world.sync().files == FileCounts(unchanged=3, updated=1)
    (one,) = (info for info in world.documents().values() if info.path == "one.txt")
    assert (one.title, one.meta) == ("one", {})


def test_of_two_files_of_metadata_one_is_used_and_the_other_told(world: World) -> None:
    world.write("a.txt", "Words.")
    world.write("a.txt.meta.json", '{"year": 1}')
    world.write("a.txt.meta.yaml", "year: 2")
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=1, skipped=1)
    assert report.skipped[0].reason == "not used: the metadata of a.txt are read from a.txt.meta.json"
    assert [info.meta for info in world.documents().values()] == [{"year": 1}]


def test_folders_are_neither_metadata_nor_have_any(world: World) -> None:
    world.write("a.txt", "Words.")
    world.write("a.txt.meta.json/inside.txt", "Words inside.")
    world.write("folder/b.txt", "Words of b.")
    world.write("folder.meta.json", '{"text": "Words of json."}')
    report = world.sync(world.folder)
    assert (report.files, report.notes) == (FileCounts(added=4), ())


@pytest.mark.parametrize(
    "content",
    [
        "[" * 99_000,
        "- " * 40_000,
        "a: !!timestamp x",
        "a: &a [" + "x," * 40_000 + "]\n" + "".join(f"{n}: *a\n" for n in range(900)),
        f"a: &a {'x' * 60_000}\n" + "".join(f"{n}: *a\n" for n in range(900)),
    ],
)
def test_no_yaml_crashes_hangs_or_grows(content: str) -> None:
    began = time.monotonic()
    with suppress(NotReadable):
        meta, notes = from_yaml(content)
        assert notes
        assert len(json.dumps(meta)) < 500_000
    assert time.monotonic() - began < 10


def test_metadata_of_no_file_are_a_file_of_their_own(world: World) -> None:
    world.write("package.meta.json", json.dumps({"text": "Words about the package."}))
    assert world.sync(world.folder).files == FileCounts(added=1)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("{", "its metadata file a.txt.meta.json is not used: not JSON"),
        ("[1]", "its metadata file a.txt.meta.json is not used: expected a mapping of names to values"),
        ('{"a": {"b": 1}}', "its metadata field 'a' is no text, number, date or list of them"),
        ('{"a":' * 100_000, "its metadata file a.txt.meta.json is not used: 500,000 bytes, at most 400,000 are read"),
        (" " * 200_000 + "{}", "its metadata file a.txt.meta.json is not used: metadata of 200,002 characters"),
        ("[" * 90_000, "its metadata file a.txt.meta.json is not used: not JSON"),
    ],
)
def test_metadata_that_cannot_be_used_are_told_and_the_file_indexed(world: World, content: str, note: str) -> None:
    world.write("a.txt", "Words.")
    world.write("a.txt.meta.json", content)
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=1)
    (noted,) = report.notes
    assert noted.path == str(world.folder / "a.txt")
    assert noted.note.startswith(note)
    assert noted in [event for event in world.events if isinstance(event, Noted)]


def test_metadata_behind_a_link_out_of_the_root_are_not_read(world: World, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text('{"secret": "x"}')
    world.write("a.txt", "Words.")
    (world.folder / "a.txt.meta.json").symlink_to(tmp_path / "outside.json")
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=1)
    assert [info.meta for info in world.documents().values()] == [{}]
    assert report.notes[0].note.startswith("its metadata file a.txt.meta.json is not used: ")


def test_a_yaml_head_gives_metadata(world: World) -> None:
    world.write("a.md", "---\ntitle: Own\nyear: 2020\nwhen: 2021-03-04\nnested: {a: 1}\n---\n# Head\n\nText.\n")
    world.write("b.md", "---\ntitle: Own\nbad: [\n---\n\nText of b.\n")
    world.write("bomb.md", "---\na: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip(
        "abcdefghijklmnopqrstuvw", "bcdefghijklmnopqrstuvwx", strict=True)) + "---\n\nText of the bomb.\n")  # fmt: skip
    report = world.sync(world.folder)
    assert report.files == FileCounts(added=3)
    metas = {info.path: (info.title, dict(info.meta)) for info in world.documents().values()}
    assert metas["a.md"] == ("Own", {"year": 2020, "when": "2021-03-04"})
    assert metas["b.md"] == ("Own", {})
    assert metas["bomb.md"] == ("bomb", {"a": ["x", "x"]})
    notes = {Path(noted.path).name: noted.note for noted in reversed(report.notes)}
    assert notes["a.md"] == "its metadata field 'nested' is no text, number, date or list of them"
    assert notes["b.md"].startswith("its YAML head is not used: not YAML (")
