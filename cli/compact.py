"""``qa compact``: the store without anything that was removed."""

from __future__ import annotations

from pathlib import Path

import click

from deformer_qa.cli.options import located, store_option
from deformer_qa.cli.output import ExitCode, format_option, message, print_json, print_plain


@click.command()
@store_option
@format_option
def compact(store: Path | None, form: str) -> int:
    """Write the index anew without what was removed, and erase everything else.

    Afterwards the text, words, vectors and states of removed documents are in no file of the store, and there is no
    generation before to go back to. Answers stay the same. Needs room for a second copy while it runs.
    """
    from deformer_qa.store import Writer, bytes_on_disk

    folder = located(store)
    with Writer.open(folder, encoder=None) as writer:
        if writer.notice:
            message(f"qa: {writer.notice}")
        before = bytes_on_disk(folder)
        generation = writer.compact()
        after = bytes_on_disk(folder)
    if form in ("json", "ndjson"):
        about = {"schema": 1, "generation": generation, "bytes_before": before, "bytes_after": after}
        print_json(about, indent=form == "json")
    elif form == "plain":
        print_plain(generation, before, after)
    else:
        print_plain(f"Generation {generation}: {before:,} bytes before, {after:,} after.")
    return ExitCode.OK
