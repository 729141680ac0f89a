"""``--where``: the documents that a command is about, by their metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deformer_qa.pipeline.filters import Filter

NOTHING_MATCHES = "no document matches the filter."


def where_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--where``, as typed; ``parsed`` makes a filter of it once the command runs."""
    return click.option(
        "--where",
        metavar="FILTER",
        help="Only documents whose metadata match, as 'year >= 2020 and lang == \"en\"'; docs/cli.md has the grammar.",
    )(command)


def parsed(where: str | None) -> Filter | None:
    """The filter, None where none was given.

    :raises BadFilter: pointing at the place in it.
    """
    if where is None:
        return None
    from deformer_qa.pipeline.filter_parsing import parsed_filter

    return parsed_filter(where)
