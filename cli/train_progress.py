"""What ``qa train`` shows while it runs: a bar with the loss and the time left on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deformer_qa.cli.output import message
from deformer_qa.cli.progress_bar import progress_bar

_LINES_EVERY = 250


@contextmanager
def training_progress() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A listener for the training's logs."""
    on_terminal = sys.stderr.isatty()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with progress_bar(*columns, speed_seconds=300) as bar:
        task = bar.add_task("tokenising", total=None)

        def on_log(line: dict[str, Any]) -> None:
            if "loss" not in line:
                return
            loss = float(line["loss"])
            bar.update(task, completed=line["step"], total=line["of"], description=f"loss {loss:.3f}")
            if not on_terminal and line["step"] % _LINES_EVERY == 0:
                message(f"step {line['step']:,} of {line['of']:,}: loss {loss:.3f}")

        yield on_log
