"""Data to stdout in the form asked for; messages to stderr."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TextIO, cast

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from deformer_qa.cli.display import harmless, printable
from deformer_qa.cli.streams import NamedStream, behind

FORMATS = ("auto", "human", "json", "ndjson", "plain")


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--format``; "auto" becomes human on a terminal, plain otherwise."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="auto",
        envvar="QA_FORMAT",
        show_default=True,
        callback=lambda context, option, value: chosen_form(value),
        help="auto is human on a terminal, plain otherwise.",
    )(command)


def chosen_form(form: str) -> str:
    """One of human, json, ndjson, plain."""
    if form != "auto":
        return form
    return "human" if sys.stdout.isatty() else "plain"


def print_json(value: Any, *, indent: bool = True) -> None:
    """A JSON value; everything beyond ASCII is escaped, so it is true and harmless wherever it is shown."""
    sys.stdout.write(json.dumps(value, indent=1 if indent else None, allow_nan=False) + "\n")


def print_text(text: str) -> None:
    """The text in UTF-8, harmless one character for one; on a terminal a line end follows."""
    inner = behind(sys.stdout)
    if isinstance(inner, io.TextIOWrapper):
        inner.reconfigure(encoding="utf-8")
    sys.stdout.write(harmless(text) + "\n" * inner.isatty())


def print_plain(*fields: Any) -> None:
    """One line of fields parted by tabs, safe to print."""
    sys.stdout.write("\t".join(printable(str(field)) for field in fields) + "\n")


class SafeConsole(Console):
    """A console whose text is harmless whoever made it; its styles and cursor moves are rich's own, and no links."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            style = segment.style.update_link(None) if segment.style and segment.style.link else segment.style
            yield segment if segment.control else Segment(harmless(segment.text), style)

    def on_broken_pipe(self) -> None:
        """Left to the caller; rich would end the process with 1."""
        raise BrokenPipeError


def console() -> Console:
    """Where people read results; no markup is taken from text."""
    return SafeConsole(file=_styled("stdout"), markup=False, highlight=False, emoji=False, soft_wrap=False)


def message(text: str) -> None:
    """One line to stderr, if somebody still reads it and there is room."""
    with suppress(OSError):
        sys.stderr.write(printable(text) + "\n")


def messages_console() -> Console:
    """Where progress is drawn: stderr."""
    return SafeConsole(file=_styled("stderr"), stderr=True, markup=False, highlight=False, emoji=False)


def _styled(name: str) -> TextIO:
    return cast(TextIO, NamedStream(behind(getattr(sys, name)), name))
