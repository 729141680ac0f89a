"""A bar for work that is counted: how many are done, of how many, and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from deformer_qa.cli.progress_bar import progress_bar


@contextmanager
def counting(n: int | None) -> Iterator[Callable[[str], None]]:
    """Call what it gives once for each of the ``n`` done, with a word on the phase; nothing is drawn off a terminal.

    :param n: None where nobody knows how many there are.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as bar:
        task = bar.add_task("", total=n)

        def advance(phase: str) -> None:
            bar.update(task, advance=1, description=phase)

        yield advance
