"""Decides which recorded roots, or parts of them, a sync covers.

A file belongs to one root only. So a PATH inside a recorded root stands for that part of the root, and a PATH around
recorded roots becomes a root that takes them over. Hidden files and folders are not part of a root; a hidden PATH
becomes a root of its own.
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
        """Whether a file of a root belongs to this target."""
        return root == self.root and (not self.part or path == self.part or path.startswith(f"{self.part}/"))

    @property
    def place(self) -> str:
        """The absolute path that is synced."""
        return os.path.join(self.root, self.part) if self.part else self.root


@dataclass(frozen=True)
class Scope:
    """The roots that a sync covers.

    :ivar targets: none lies inside another
    :ivar absorbed: recorded roots inside a target, each with the target's root, which takes it over
    :ivar gone: recorded roots that no longer exist, except those in ``absorbed``
    """

    targets: tuple[Target, ...]
    absorbed: dict[str, str]
    gone: tuple[str, ...]


def existing_place(path: Path) -> str:
    """The absolute path under which a PATH is recorded: links are resolved, so that a place has one name.

    :raises PathMissing, PathUnusable: if it does not exist, or cannot be recorded.
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
    """Choose the scope of a sync of some places, or of all recorded roots (None)."""
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
    """Whether a walk of the folder ``outer`` reaches ``inner``; a place covers itself."""
    if inner == outer:
        return True
    if not os.path.isdir(outer) or not Path(inner).is_relative_to(outer):
        return False
    return not any(name.startswith(".") for name in Path(inner).relative_to(outer).parts)


def _target(place: str, by_place: Mapping[str, str]) -> Target:
    """The outermost recorded root that covers a place, or the part of it; else a new root.

    :param by_place: the recorded roots by their real paths.
    """
    for real in _way_to(place):
        if real in by_place and covers(real, place):
            return Target(by_place[real], "" if place == real else Path(place).relative_to(real).as_posix())
    return Target(place)


def _way_to(place: str) -> list[str]:
    """All folders above a place, outermost first, then the place: testing each of thousands of roots takes minutes."""
    path = Path(place)
    return [*map(str, reversed(path.parents)), place]


def _depth(target: Target) -> tuple[int, str]:
    return len(Path(target.place).parts), target.place


def _is_gone(root: str) -> bool:
    """Whether a root certainly does not exist: one that may not be accessed counts as existing."""
    try:
        os.stat(root)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
