"""Which recorded roots, or parts of them, does a sync concern?

A file belongs to one root only. So a PATH inside a recorded root stands for that part of the root, and a PATH around
recorded roots becomes a root that takes them over. Hidden files and folders are not part of a root; one that is named
outright becomes a root of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deformer_qa.indexer.errors import PathMissing, PathUnusable


@dataclass(frozen=True)
class Target:
    """A root to sync, or the ``part`` of it that a relative path names ('' for all of it)."""

    root: str
    part: str = ""

    def contains(self, root: str, path: str) -> bool:
        """Whether a file of a root is part of this."""
        return root == self.root and (not self.part or path == self.part or path.startswith(f"{self.part}/"))

    @property
    def place(self) -> str:
        """The absolute path of what is synced."""
        return os.path.join(self.root, self.part) if self.part else self.root


@dataclass(frozen=True)
class Scope:
    """What a sync looks at.

    :ivar targets: none inside another
    :ivar absorbed: recorded roots that lie in a target, and the root of that target, of which they become part
    :ivar gone: recorded roots that are not there any more, those of ``absorbed`` left out
    """

    targets: tuple[Target, ...]
    absorbed: dict[str, str]
    gone: tuple[str, ...]


def existing_place(path: Path) -> str:
    """The absolute path under which a PATH is recorded: links resolved, so that a place has one name.

    :raises PathMissing, PathUnusable: where there is no such place, or it cannot be recorded.
    """
    try:
        os.stat(path)
        place = os.path.realpath(path)
        place.encode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise PathMissing(path) from None
    except UnicodeEncodeError:
        raise PathUnusable(path, "its name is not UTF-8; rename it") from None
    except (OSError, ValueError) as error:
        raise PathUnusable(path, f"cannot be accessed ({getattr(error, 'strerror', None) or error})") from None
    return place


def choose_scope(places: Sequence[str] | None, recorded: Sequence[str]) -> Scope:
    """The scope of a sync of some places, or of all recorded roots (None)."""
    gone = {root: None for root in recorded if _is_gone(root)}
    present = [root for root in recorded if root not in gone]
    by_place = {os.path.realpath(root): root for root in sorted(present, key=len, reverse=True)}
    targets: dict[str, Target] = {}  # by their places
    for target in sorted((_target(place, by_place) for place in (present if places is None else places)), key=_depth):
        if not any(covers(outer, target.place) for outer in _way_to(target.place) if outer in targets):
            targets[target.place] = target
    absorbed = {
        root: targets[place].root
        for root in recorded
        for place in _way_to(root)
        if place in targets
        and targets[place].root != root
        and covers(targets[place].root, root)
        and covers(place, root)
    }
    return Scope(tuple(targets.values()), absorbed, tuple(root for root in gone if root not in absorbed))


def covers(outer: str, inner: str) -> bool:
    """Whether a walk of the folder ``outer`` comes to ``inner``; a place covers itself."""
    if inner == outer:
        return True
    if not os.path.isdir(outer) or not Path(inner).is_relative_to(outer):
        return False
    return not any(name.startswith(".") for name in Path(inner).relative_to(outer).parts)


def _target(place: str, by_place: Mapping[str, str]) -> Target:
    """The outermost recorded root, or part of it, that a place is; else a new root.

    :param by_place: the recorded roots by their real places.
    """
    for real in _way_to(place):
        if real in by_place and covers(real, place):
            return Target(by_place[real], "" if place == real else Path(place).relative_to(real).as_posix())
    return Target(place)


def _way_to(place: str) -> list[str]:
    """A place and all folders above it, the outermost first: with thousands of roots, looking at each takes minutes."""
    path = Path(place)
    return [*map(str, reversed(path.parents)), place]


def _depth(target: Target) -> tuple[int, str]:
    return len(Path(target.place).parts), target.place


def _is_gone(root: str) -> bool:
    """Whether a root is certainly not there: one that may not be looked at counts as there."""
    try:
        os.stat(root)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
