"""``qa export``: write an index as files that other programs can read."""

from __future__ import annotations

from pathlib import Path

import click

from deformer_qa.cli.options import located, store_option
from deformer_qa.cli.output import ExitCode, emit_counts, format_option


@click.command(name="export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, readable=False))
@store_option
@format_option
def export_store(folder: Path, store: Path | None, form: str) -> int:
    """Write the index into the new folder DIR: documents as JSON lines, vectors and states as safetensors.

    Removed documents are not written. DIR appears only once it is complete.
    """
    from deformer_qa.store import export_store as write
    from deformer_qa.store import open_snapshot

    if not folder.absolute().parent.is_dir():
        raise click.UsageError(f"{folder.absolute().parent}: no such folder.")
    with open_snapshot(located(store)) as snapshot:
        try:
            about = write(snapshot, folder)
        except OSError as error:
            error.filename = error.filename or str(folder)  # the error of a full disk names no file
            raise
    n_bytes = sum(file.n_bytes for file in about.files.values())
    emit_counts(form, {"documents": about.n_documents, "passages": about.n_passages, "bytes": n_bytes})
    return ExitCode.OK
