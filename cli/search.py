"""``qa search``: show retrieved passages, without reading them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deformer_qa.cli.options import parsed, reader_option, store_option, where_option
from deformer_qa.cli.output import (
    NOTHING_MATCHES,
    ExitCode,
    console,
    emit,
    format_option,
    message,
    place_line,
)
from deformer_qa.cli.terminal.streams import printable

if TYPE_CHECKING:
    from deformer_qa.pipeline.results import Found


@click.command()
@click.argument("query")
@store_option
@reader_option
@where_option
@click.option(
    "-n",
    "--passages",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    metavar="N",
    help="Show at most N passages.",
)
@click.option(
    "--method",
    type=click.Choice(["fused", "dense", "bm25"]),
    default="fused",
    show_default=True,
    help="The ranking to show.",
)
@format_option
def search(
    query: str,
    store: Path | None,
    reader_folder: Path | None,
    where: str | None,
    passages: int,
    method: str,
    form: str,
) -> int:
    """Show the passages that QUERY finds, without reading them for an answer."""
    from deformer_qa.cli.ask import opened
    from deformer_qa.pipeline.questions import checked_question

    query = checked_question(query)
    wanted = parsed(where)
    with opened(store, reader_folder) as pipeline:
        found = pipeline.search(query, n=passages, method=method, where=wanted)  # type: ignore[arg-type]
        if wanted and not found and not wanted.documents(pipeline.snapshot):
            message(f"qa: {NOTHING_MATCHES}")
    result = {"query": query, "passages": [one.json() for one in found]}
    emit(form, result, map(_row, found), human=lambda: _show(found))
    return ExitCode.OK if found else ExitCode.NEGATIVE


def _row(one: Found) -> tuple[object, ...]:
    place = one.place
    return one.rank, f"{one.score:.5f}", f"{place.path}:{place.start}-{place.end}", place.location_in_words, place.text


def _show(found: Sequence[Found]) -> None:
    out = console()
    for one in found:
        dense = "-" if one.dense is None else f"{one.dense:.3f}"
        bm25 = "-" if one.bm25 is None else f"{one.bm25:.2f}"
        out.print(f"{one.rank}  {place_line(one.place)}   dense {dense}  bm25 {bm25}", style="cyan")
        out.print("   " + printable(one.place.text))
