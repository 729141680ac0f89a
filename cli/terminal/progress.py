"""Shows progress, as bars on a terminal and lines elsewhere; and the results and reports of ``qa index``."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO, cast

import click
from rich.file_proxy import FileProxy
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deformer_qa.cli.output import JSON_FORMS, message, messages_console, print_json, print_plain
from deformer_qa.cli.terminal.streams import SafeStream
from deformer_qa.indexer.progress import Committed, Event, FileDone, Found, PassagesEncoded, SyncReport


@contextmanager
def progress_bar(*columns: ProgressColumn, speed_seconds: float = 30.0) -> Iterator[Progress]:
    """A progress bar with these columns on stderr.

    By default rich would redirect stdout too, even to a file, and interpret escape sequences in its text.
    """
    console = messages_console()
    drawn = console.is_terminal
    bar = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not drawn,
        redirect_stdout=False,
        redirect_stderr=False,
        speed_estimate_period=speed_seconds,
    )
    with bar, ExitStack() as put_back:
        for name in ("stdout", "stderr"):
            stream: TextIO = getattr(sys, name)
            if drawn and stream.isatty():
                above = SafeStream(cast(TextIO, FileProxy(console, stream)), name)
                setattr(sys, name, above)
                put_back.callback(setattr, sys, name, stream)
                put_back.callback(above.flush)
        yield bar


@contextmanager
def counting(n: int | None) -> Iterator[Callable[[str], None]]:
    """Give a function to call once for each of ``n`` items, with a word for the phase; drawn only on a terminal.

    :param n: None if the number is unknown.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as bar:
        task = bar.add_task("", total=n)

        def advance(phase: str) -> None:
            bar.update(task, advance=1, description=phase)

        yield advance


_LINES_EVERY = 250


@contextmanager
def training_progress() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A listener for logs of the training."""
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


@contextmanager
def watching(form: str, outcomes: Outcomes) -> Iterator[Callable[[Event], None]]:
    """A listener for events of the indexer; on a terminal it draws a bar with rate and time left."""
    outcomes.clear()
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
        yield _Watcher(bar, form, outcomes)


class _Watcher:
    """Receives events; the bar counts bytes of new and changed files."""

    def __init__(self, bar: Progress, form: str, outcomes: Outcomes) -> None:
        self._bar, self._form, self._outcomes = bar, form, outcomes
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
            self._outcomes.add(event)
            self._bar.update(self._task, completed=event.n_bytes_done)
        elif isinstance(event, Committed) and self._form in JSON_FORMS:
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


_REPORT = b'{\n "schema": 1,\n'  # how a report begins; no other file is overwritten


class Outcomes:
    """The outcome of each file, for ``--report`` and ``--dry-run``."""

    def __init__(self, file: Path | None) -> None:
        """:param file: where to write the report, if anywhere; it is created now, not after hours of work.

        :raises click.UsageError: if it cannot be created.
        """
        self._file = file
        self._files: list[FileDone] = []
        if file is None or (file.exists() and not file.is_file() and not file.is_dir()):  # /dev/stdout, a pipe
            return
        try:
            with file.open("a+b") as stream:
                stream.seek(0)
                head = stream.read(len(_REPORT))
        except OSError as error:
            raise click.UsageError(f"--report {file}: cannot be written ({error.strerror}).") from error
        if head not in (b"", _REPORT):
            raise click.UsageError(f"--report {file}: exists and is not a report; choose another name.")

    def clear(self) -> None:
        """Start another run."""
        self._files.clear()

    def add(self, event: FileDone) -> None:
        """Add a finished file."""
        self._files.append(event)

    def list(self, form: str) -> None:
        """Print a line on stdout for each file that is not unchanged."""
        for one in self._files:
            if one.outcome == "unchanged":
                continue
            if form in JSON_FORMS:
                print_json({"schema": 1, "event": "file", **_as_json(one)}, indent=False)
            else:
                print_plain(one.outcome, one.path, *([one.reason] if one.reason else []))

    def write(self, done: SyncReport, *, is_preview: bool) -> None:
        """Write the report."""
        if self._file is None:
            return
        report = {
            "schema": 1,
            "dry_run": is_preview,
            "generation": done.generation,
            "files": asdict(done.files),
            "skipped_by_kind": dict(Counter(one.kind for one in done.skipped)),
            "skipped": [asdict(one) for one in done.skipped],
            "ignored": [asdict(one) for one in done.ignored],
            "notes": [asdict(one) for one in done.notes],
            "outcomes": [_as_json(one) for one in self._files],
        }
        self._file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _as_json(one: FileDone) -> dict[str, Any]:
    return {"path": one.path, "outcome": one.outcome, "reason": one.reason or None, "kind": one.kind}


def print_summary(report: SyncReport, form: str, *, is_preview: bool = False) -> None:
    """Print what was done on stdout, and what was skipped and why on stderr."""
    counts = asdict(report.files)
    if form in JSON_FORMS:
        done: dict[str, Any] = {
            "schema": 1,
            "event": "preview" if is_preview else "done",
            "generation": report.generation,
            "files": counts,
            "documents": report.n_documents,
            "passages": report.n_passages,
            "passages_encoded": report.n_passages_encoded,
        }
        print_json(done, indent=False)
    else:
        sys.stdout.write(summary(report, is_preview=is_preview) + "\n")
    for path in report.empty:
        message(f"qa: {path}: nothing to index there.")
    print_reasons(report)


def summary(report: SyncReport, *, is_preview: bool = False) -> str:
    """What was done, or would be, in one line."""
    shown = ", ".join(f"{n:,} {outcome}" for outcome, n in asdict(report.files).items() if n) or "no files"
    if is_preview:
        return f"would be: {shown}; nothing was changed."
    return f"{shown}; {report.n_passages_encoded:,} passages encoded, {report.n_passages:,} in the index."


def print_reasons(report: SyncReport) -> None:
    """Print a line for each kind of reason with its first example, the most frequent kind first."""
    first = {one.kind: one for one in reversed(report.skipped)}
    for kind, n in Counter(one.kind for one in report.skipped).most_common():
        message(f"qa: skipped {n:,} ({kind}): {first[kind].path}: {first[kind].reason}")
    if report.notes:
        message(f"qa: {len(report.notes):,} indexed only in part: {report.notes[0].path}: {report.notes[0].note}")
    if len(report.skipped) > len(first) or len(report.notes) > 1:
        message("qa: --report FILE lists all of them.")
