"""``qa import``: make an index from the files that ``qa export`` wrote."""

from __future__ import annotations

from pathlib import Path

import click

from deformer_qa.cli.options import located, store_option
from deformer_qa.cli.output import ExitCode, emit_counts, format_option


@click.command(name="import")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, readable=False))
@store_option
@format_option
def import_store(folder: Path, store: Path | None, form: str) -> int:
    """Make a new index from DIR, written by "qa export"; it gives the same answers as the exported one.

    All of DIR is checked before anything is committed. The index must not exist yet: name a new folder with --store.
    """
    from deformer_qa.store import import_store as read
    from deformer_qa.store import open_snapshot

    if not folder.is_dir():
        raise click.UsageError(f"{folder}: no such folder.")
    read(folder, located(store))
    with open_snapshot(located(store)) as snapshot:
        done = {"generation": snapshot.generation, "documents": snapshot.n_documents, "passages": snapshot.n_passages}
    emit_counts(form, done)
    return ExitCode.OK
