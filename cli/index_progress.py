"""What ``qa index`` shows while it runs and when it is done: a bar on a terminal, lines elsewhere, ndjson on demand."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deformer_qa.cli.display import printable
from deformer_qa.cli.output import message, print_json
from deformer_qa.cli.progress_bar import progress_bar
from deformer_qa.indexer.events import Committed, Event, FileDone, Found, PassagesEncoded, SyncReport

_REASONS_SHOWN = 5


@contextmanager
def watching(form: str) -> Iterator[Callable[[Event], None]]:
    """A listener for the indexer's events; on a terminal it draws a bar with rate and time left."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with progress_bar(*columns) as bar:
        yield _Watcher(bar, form)


class _Watcher:
    """Calls with events; the bar counts bytes of new and changed files."""

    def __init__(self, bar: Progress, form: str) -> None:
        self._bar, self._form = bar, form
        self._task: TaskID = bar.add_task("looking", total=None, rate="")
        self._n_passages = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Found):
            self._bar.update(self._task, total=event.n_bytes, description="indexing")
        elif isinstance(event, PassagesEncoded):
            self._n_passages += event.n_passages
            elapsed = self._bar.tasks[0].elapsed or 0.0
            rate = f"{self._n_passages / elapsed:,.0f} passages/s" if elapsed > 1 else ""
            self._bar.update(self._task, completed=event.n_bytes_done, rate=rate)
        elif isinstance(event, FileDone):
            self._bar.update(self._task, completed=event.n_bytes_done)
        elif isinstance(event, Committed) and self._form in ("json", "ndjson"):
            print_json(
                {
                    "schema": 1,
                    "event": "commit",
                    "generation": event.generation,
                    "passages_encoded": event.n_passages_encoded,
                },
                indent=False,
            )
            sys.stdout.flush()


def print_summary(report: SyncReport, form: str) -> None:
    """What was done, on stdout; what was skipped and why, on stderr."""
    counts: dict[str, int] = {
        outcome: getattr(report.files, outcome)
        for outcome in ("added", "updated", "moved", "removed", "unchanged", "skipped")
    }
    if form in ("json", "ndjson"):
        done: dict[str, Any] = {
            "schema": 1,
            "event": "done",
            "generation": report.generation,
            "files": counts,
            "documents": report.n_documents,
            "passages": report.n_passages,
            "passages_encoded": report.n_passages_encoded,
        }
        print_json(done, indent=False)
    else:
        shown = ", ".join(f"{n:,} {outcome}" for outcome, n in counts.items() if n) or "no files"
        line = f"{shown}; {report.n_passages_encoded:,} passages encoded, {report.n_passages:,} in the index."
        sys.stdout.write(line + "\n")
    for path in report.empty:
        message(f"qa: {printable(path)}: nothing to index there.")
    _print_reasons(report)


def _print_reasons(report: SyncReport) -> None:
    by_reason = Counter(one.reason for one in report.skipped)
    examples = {one.reason: one.path for one in reversed(report.skipped)}
    for reason, n in by_reason.most_common(_REASONS_SHOWN):
        message(f"qa: skipped {n:,}: {reason}, as {examples[reason]}")
    rest = sum(n for _, n in by_reason.most_common()[_REASONS_SHOWN:])
    if rest:
        message(f"qa: skipped {rest:,} for other reasons; --report FILE lists every one.")
