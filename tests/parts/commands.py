"""A command as a test runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Qa = Callable[..., Ended]
"""``qa`` with some arguments, see ``conftest``."""
