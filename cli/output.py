"""Data to stdout in the form asked for; messages to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click
from rich.console import Console

from deformer_qa.cli.display import printable

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


def print_plain(*fields: Any) -> None:
    """One line of fields parted by tabs, safe to print."""
    sys.stdout.write("\t".join(printable(str(field)) for field in fields) + "\n")


def console() -> Console:
    """Where people read results; no markup is taken from text."""
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=False)


def message(text: str) -> None:
    """One line to stderr, if somebody still reads it."""
    with suppress(BrokenPipeError):
        sys.stderr.write(printable(text) + "\n")


def messages_console() -> Console:
    """Where progress is drawn: stderr."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)
