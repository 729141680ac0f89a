"""Which places does a pattern such as ``papers/**/*.md`` name?"""

from __future__ import annotations

import os
import re

SPECIAL = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Whether it has a character that stands for others."""
    return bool(SPECIAL & set(text))


class Pattern:
    """``*`` is any part of a name, ``?`` a character, ``[ab]`` and ``[!ab]`` one of a set, ``**`` any folders.

    As in a shell, none of them but ``**`` goes across a ``/``; unlike there, they also mean names with a leading dot.
    """

    def __init__(self, pattern: str) -> None:
        """:param pattern: taken from the folder we are in where it is held against full places

        :raises ValueError: where a set in it makes no sense, as ``[z-a]``.
        """
        here = "" if pattern.startswith("/") else re.escape(os.path.join(os.getcwd(), ""))
        try:
            self._relative = re.compile(_expression(pattern))
            self._full = re.compile(here + _expression(pattern))
        except re.error as error:
            raise ValueError(f"not a pattern ({error.msg})") from error

    def names(self, full: str, relative: str) -> bool:
        """Whether it fits a document's full place, or its path relative to its root."""
        return bool(self._full.fullmatch(full) or self._relative.fullmatch(relative))


def _expression(pattern: str) -> str:
    parts = [part for part in pattern.split("/") if part != "."]
    spelled = [r"(?:[^/]+/)*" if part == "**" else _name(part) + "/" for part in parts[:-1]]
    return "".join(spelled) + (".+" if parts and parts[-1] == "**" else _name(parts[-1]) if parts else "")


def _name(part: str) -> str:
    """The expression of one name."""
    found, place = "", 0
    while place < len(part):
        end = part.find("]", place + 3 if part[place : place + 2] == "[!" else place + 2)
        if part[place] == "[" and end > 0:
            inside = part[place + 1 : end]
            negated, inside = inside.startswith("!"), inside.removeprefix("!")
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside).replace("--", r"-\-")
            found += f"[^/{inside}]" if negated else f"(?!/)[{inside}]"
            place = end + 1
            continue
        found += {"*": "[^/]*", "?": "[^/]"}.get(part[place], re.escape(part[place]))
        place += 1
    return found
