"""``qa compact``: rewrite the store without removed documents."""

from __future__ import annotations

from pathlib import Path

import click

from deformer_qa.cli.options import located, store_option
from deformer_qa.cli.output import ExitCode, emit, format_option, message, print_plain


@click.command()
@store_option
@format_option
def compact(store: Path | None, form: str) -> int:
    """Rewrite the index without removed documents, and erase everything else.

    Afterwards the text, words, vectors and states of removed documents are in no file of the store, and no earlier
    generation is left to go back to. Answers stay the same. Needs room for a second copy while it runs.
    """
    from deformer_qa.store import Writer, bytes_on_disk

    folder = located(store)
    with Writer.open(folder, encoder=None) as writer:
        if writer.notice:
            message(f"qa: {writer.notice}")
        before = bytes_on_disk(folder)
        generation = writer.compact()
        after = bytes_on_disk(folder)
    emit(
        form,
        {"generation": generation, "bytes_before": before, "bytes_after": after},
        rows=[(generation, before, after)],
        human=lambda: print_plain(f"Generation {generation}: {before:,} bytes before, {after:,} after."),
    )
    return ExitCode.OK
