"""A bar for work that is counted: how many are done, of how many, and the time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deformer_qa.cli.output import messages_console


@contextmanager
def counting(n: int) -> Iterator[Callable[[str], None]]:
    """Call what it gives once for each of the ``n`` done, with a word on the phase; nothing is drawn off a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages_console(), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=n)

        def advance(phase: str) -> None:
            bar.update(task, advance=1, description=phase)

        yield advance
