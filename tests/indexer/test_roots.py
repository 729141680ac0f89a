"""Which roots a sync concerns: a file belongs to one root only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deformer_qa.indexer import PathMissing, PathUnusable
from deformer_qa.indexer.roots import Scope, Target, choose_scope, existing_place


@pytest.fixture
def top(tmp_path: Path) -> str:
    for folder in ("a/b/c", "a/.h/i", "d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a/b/x.txt").write_text("x")
    return str(tmp_path)


def test_a_new_path_is_a_root(top: str) -> None:
    assert choose_scope([f"{top}/a"], []) == Scope((Target(f"{top}/a"),), {}, ())


def test_paths_inside_other_paths_add_nothing(top: str) -> None:
    places = [f"{top}/a/b/x.txt", f"{top}/d", f"{top}/a/b", f"{top}/a", f"{top}/a"]
    assert choose_scope(places, []).targets == (Target(f"{top}/a"), Target(f"{top}/d"))


def test_a_path_inside_a_recorded_root_is_a_part_of_it(top: str) -> None:
    scope = choose_scope([f"{top}/a/b/c", f"{top}/a/b/x.txt"], [f"{top}/a"])
    assert scope == Scope((Target(f"{top}/a", "b/c"), Target(f"{top}/a", "b/x.txt")), {}, ())


def test_a_path_around_recorded_roots_takes_them_over(top: str) -> None:
    inner = (f"{top}/a/b", f"{top}/a/b/x.txt", f"{top}/a/gone")
    scope = choose_scope([f"{top}/a"], [*inner, f"{top}/d"])
    assert scope == Scope((Target(f"{top}/a"),), dict.fromkeys(inner, f"{top}/a"), ())


def test_without_paths_all_recorded_roots_are_meant_and_the_gone_ones_named(top: str) -> None:
    recorded = [f"{top}/d", f"{top}/gone", f"{top}/a/b", f"{top}/d/gone.txt"]
    scope = choose_scope(None, recorded)
    assert scope.targets == (Target(f"{top}/d"), Target(f"{top}/a/b"))
    assert (scope.absorbed, scope.gone) == ({f"{top}/d/gone.txt": f"{top}/d"}, (f"{top}/gone",))


def test_roots_in_each_other_become_one_again(top: str) -> None:
    recorded = [f"{top}/a/b", f"{top}/a"]
    assert choose_scope(None, recorded) == Scope((Target(f"{top}/a"),), {f"{top}/a/b": f"{top}/a"}, ())
    assert choose_scope([f"{top}/a/b"], recorded) == Scope((Target(f"{top}/a", "b"),), {f"{top}/a/b": f"{top}/a"}, ())


def test_a_hidden_folder_named_outright_is_a_root_of_its_own(top: str) -> None:
    assert choose_scope([f"{top}/a/.h"], [f"{top}/a"]).targets == (Target(f"{top}/a/.h"),)
    assert choose_scope([f"{top}/a/.h/i"], [f"{top}/a", f"{top}/a/.h"]).targets == (Target(f"{top}/a/.h", "i"),)
    assert choose_scope([f"{top}/a"], [f"{top}/a/.h"]).absorbed == {}


def test_a_root_that_is_a_file_holds_nothing_else(top: str) -> None:
    assert choose_scope([f"{top}/a/b"], [f"{top}/a/b/x.txt"]).absorbed == {f"{top}/a/b/x.txt": f"{top}/a/b"}
    assert choose_scope([f"{top}/a/b/x.txt"], [f"{top}/a/b/x.txt"]).targets == (Target(f"{top}/a/b/x.txt"),)


def test_a_folder_whose_name_only_begins_alike_is_another(top: str) -> None:
    os.mkdir(f"{top}/ab")
    assert choose_scope([f"{top}/ab"], [f"{top}/a"]).targets == (Target(f"{top}/ab"),)


def test_a_recorded_root_reached_by_another_name_is_the_same_root(top: str, tmp_path: Path) -> None:
    recorded = f"{top}/a"
    os.rename(recorded, f"{top}/elsewhere")
    os.symlink(f"{top}/elsewhere", recorded)
    assert choose_scope([f"{top}/elsewhere/b"], [recorded]).targets == (Target(recorded, "b"),)


def test_a_place_has_one_name_however_it_is_given(top: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.symlink(f"{top}/a", f"{top}/link")
    monkeypatch.chdir(top)
    given = [Path(f"{top}/a/"), Path("a"), Path("./d/../a"), Path("link"), Path(f"{top}//link/b/..")]
    assert {existing_place(path) for path in given} == {f"{top}/a"}


@pytest.mark.parametrize("name", ["nothing", "a/b/x.txt/y", "broken"])
def test_a_path_that_is_not_there_is_an_error(top: str, name: str) -> None:
    os.symlink("nowhere", f"{top}/broken")
    with pytest.raises(PathMissing, match="there is no such file or folder"):
        existing_place(Path(top, name))


def test_a_path_that_cannot_be_written_down_is_an_error(top: str) -> None:
    place = Path(top, os.fsdecode(b"\xff"))
    place.mkdir()
    with pytest.raises(PathUnusable, match=r"\\udcff: its name is not UTF-8; rename it\.$"):
        existing_place(place)
