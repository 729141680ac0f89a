"""Chooses the files of a root to index, by patterns of the command line and ignore files in the folders.

All patterns follow ``.gitignore`` and are matched by ``pathspec``. The last one that matches decides; patterns of a
deeper folder go before those further up, and the command line's go before all.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from deformer_qa.indexer.errors import BadPattern

IGNORE_FILES = (".gitignore", ".qaignore")  # in this order: .qaignore is ours, so it has the last word
MOST_BYTES = 2**20
MOST_PATTERNS = 2_000
_MOST_STARS = 3  # "*" in one name of a pattern, and "**" in all; time grows with a name's length to that power


@dataclass(frozen=True)
class Selection:
    """The files of the roots that a user wants.

    :ivar include: patterns; if there are any, only files that match one of them
    :ivar exclude: patterns of files and folders that are left out
    :ivar ignore_files: whether ``.gitignore`` and ``.qaignore`` in the folders count
    :ivar never: places that belong to no root, such as the report being written
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    ignore_files: bool = True
    never: tuple[Path, ...] = ()

    def check(self) -> None:
        """Check the patterns. :raises BadPattern: if one is invalid."""
        for option, patterns in (("--include", self.include), ("--exclude", self.exclude)):
            for pattern in patterns:
                if problem := _problem(pattern):
                    raise BadPattern(option, pattern, problem)


EVERYTHING = Selection()
"""All files except those that ignore files name."""


@dataclass(frozen=True)
class _Rules:
    """The patterns that apply from one folder down.

    :ivar folder: relative to the root, '' for the root
    """

    folder: str
    spec: GitIgnoreSpec
    source: str

    def decide(self, path: str, *, is_folder: bool) -> bool | None:
        """Whether the last pattern that matches leaves a path out; None where none matches."""
        query = path[len(self.folder) :].lstrip("/") + ("/" if is_folder else "")
        name = query[query.rstrip("/").rfind("/") + 1 :]
        patterns = (pattern for pattern in reversed(self.spec.patterns) if pattern.include is not None)
        return next((pattern.include for pattern in patterns if _fits(pattern, query, name)), None)


class Chooser:
    """Decides for each path of one root; reads each folder's ignore files when it first comes to it.

    :ivar refused: (path, reason) of ignore files that are not used, in whole or in part
    """

    def __init__(self, selection: Selection, read: Callable[[str, str], bytes | None]) -> None:
        """:param read: from the names of a folder and a file, the file's content; None where there is none."""
        self._selection, self._read = selection, read
        self._include = _spec(selection.include)
        self._exclude = _Rules("", _spec(selection.exclude), "--exclude")
        self._by_folder: dict[str, tuple[_Rules, ...]] = {}
        self.refused: list[tuple[str, str]] = []

    def why_not(self, path: str, *, is_folder: bool) -> str:
        """Why a path is left out, as a phrase; '' where it is wanted. All folders above it must be wanted."""
        folder = path.rpartition("/")[0]
        for rules in (self._exclude, *reversed(self._rules_of(folder))):
            decision = rules.decide(path, is_folder=is_folder)
            if decision is not None:
                if decision:
                    return f"left out by {rules.source}"
                break
        if self._selection.include and not is_folder and not self._include.match_file(path):
            return "left out by --include"
        return ""

    def _rules_of(self, folder: str) -> tuple[_Rules, ...]:
        """The rules of a folder and all folders above it, the outermost first."""
        if not self._selection.ignore_files:
            return ()
        new = []
        while folder not in self._by_folder:
            new.append(folder)
            if not folder:
                break
            folder = folder.rpartition("/")[0]
        rules = self._by_folder.get(folder, ())
        for folder in reversed(new):
            rules = (*rules, *(own for name in IGNORE_FILES if (own := self._rules(folder, name))))
            self._by_folder[folder] = rules
        return rules

    def _rules(self, folder: str, name: str) -> _Rules | None:
        raw = self._read(folder, name)
        if raw is None:
            return None
        path = f"{folder}/{name}" if folder else name
        if len(raw) > MOST_BYTES:
            self.refused.append((path, f"an ignore file of more than {MOST_BYTES:,} bytes is not used"))
            return None
        lines = raw.decode("utf-8-sig", "replace").replace("\r\n", "\n").split("\n")  # as git parts lines
        good = [line for line in lines if line.strip() and not line.startswith("#") and not _problem(line)]
        bad = [number for number, line in enumerate(lines, start=1) if _problem(line)]
        if bad:
            self.refused.append((path, f"an ignore file with invalid patterns, not used (line {bad[0]:,} first)"))
        if len(good) > MOST_PATTERNS:
            self.refused.append((path, f"an ignore file of more than {MOST_PATTERNS:,} patterns is not used"))
            return None
        return _Rules(folder, _spec(good), path) if good else None


def _fits(pattern: Any, query: str, name: str) -> bool:
    """Whether a pattern matches a path itself. pathspec also matches everything in a matching folder, which re-includes
    too much ("build", then "!src", and src/build is back); our walk never enters a folder that is left out.

    :param query: the path relative to the pattern's folder, with a final "/" for a folder; ``name`` is its last part
    """
    text = str(pattern.pattern).strip().removeprefix("!").removesuffix("/")
    if "/" not in text:
        return pattern.regex.search(name) is not None
    if text.endswith("/**"):
        found = pattern.regex.search(query)
        return found is not None and (text == "/**" or found.end() < len(query))
    return pattern.regex.fullmatch(query) is not None


def _spec(patterns: Sequence[str]) -> GitIgnoreSpec:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # from re: "[[" may get another meaning one day
        return GitIgnoreSpec.from_lines(patterns)


def _problem(pattern: str) -> str:
    """Why a pattern cannot be used, '' where it can."""
    if pattern.count("**") > _MOST_STARS or any(
        len(re.findall(r"\*+", name)) > _MOST_STARS for name in pattern.split("/")
    ):
        return f"more than {_MOST_STARS} of * in one name, or of ** in the whole pattern"
    if re.search(r"\[[^\]]*\[[:.=]", pattern):
        return "classes such as [:alpha:] are not supported"
    try:
        _spec([pattern])
    except ValueError as error:
        return " ".join(str(error).split())
    return ""
