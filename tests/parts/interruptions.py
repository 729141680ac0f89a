"""How tests make a step of the disk fail, or the process die at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from deformer_qa.store import disk


@contextmanager
def stepping(act: Callable[[str, Callable[..., Any], tuple[Any, ...]], Any]) -> Iterator[None]:
    """Within, ``act(step, function, arguments)`` runs in place of each call of a step of the disk."""
    before = {step: getattr(disk, step) for step in disk.STEPS}

    def wrapped(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: act(step, function, arguments)

    try:
        for step, function in before.items():
            setattr(disk, step, wrapped(step, function))
        yield
    finally:
        for step, function in before.items():
            setattr(disk, step, function)


@contextmanager
def interrupted(call: int, act: Callable[[str, tuple[Any, ...]], Any] | None) -> Iterator[dict[str, int]]:
    """Within, ``act(step, arguments)`` runs in place of the call of this number of any step; gives the counter."""
    counter = {"calls": 0}

    def count(step: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        counter["calls"] += 1
        return act(step, arguments) if act and counter["calls"] == call else function(*arguments)

    with stepping(count):
        yield counter


class Killed(BaseException):
    """Stands for the death of the process: from then on no step of the disk does anything."""


def play_dead(step: str, arguments: tuple[Any, ...]) -> NoReturn:
    """Die at this step."""

    def nothing(*arguments: Any) -> NoReturn:
        raise Killed

    for name in disk.STEPS:
        setattr(disk, name, nothing)
    raise Killed
