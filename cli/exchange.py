"""``qa export`` and ``qa import``: an index as files that other programs read, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.output import format_option, print_json, print_plain
from deformer_qa.cli.stores import located, store_option

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, readable=False))


@click.command(name="export")
@_folder
@store_option
@format_option
def export_store(folder: Path, store: Path | None, form: str) -> int:
    """Write the index into the new folder DIR: documents as JSON lines, vectors and states as safetensors.

    Only what lives is written. DIR is there when all of it is written, not before.
    """
    from deformer_qa.store import export_store as write
    from deformer_qa.store import open_snapshot

    if not folder.absolute().parent.is_dir():
        raise click.UsageError(f"{folder.absolute().parent}: no such folder.")
    with open_snapshot(located(store)) as snapshot:
        try:
            about = write(snapshot, folder)
        except OSError as error:
            error.filename = error.filename or str(folder)  # a full disk names no file
            raise
    n_bytes = sum(file.n_bytes for file in about.files.values())
    _show({"documents": about.n_documents, "passages": about.n_passages, "bytes": n_bytes}, form)
    return exit_codes.OK


@click.command(name="import")
@_folder
@store_option
@format_option
def import_store(folder: Path, store: Path | None, form: str) -> int:
    """Make a new index of what "qa export" wrote into DIR; it answers as the exported one does.

    All of DIR is checked before anything is committed. The index must not be there yet: name a new folder by --store.
    """
    from deformer_qa.store import import_store as read
    from deformer_qa.store import open_snapshot

    if not folder.is_dir():
        raise click.UsageError(f"{folder}: no such folder.")
    read(folder, located(store))
    with open_snapshot(located(store)) as snapshot:
        done = {"generation": snapshot.generation, "documents": snapshot.n_documents, "passages": snapshot.n_passages}
    _show(done, form)
    return exit_codes.OK


def _show(done: dict[str, Any], form: str) -> None:
    if form in ("json", "ndjson"):
        print_json({"schema": 1, **done}, indent=form == "json")
    elif form == "plain":
        for name, n in done.items():
            print_plain(name, n)
    else:
        print_plain(", ".join(f"{n:,} {name}" if name != "generation" else f"{name} {n:,}" for name, n in done.items()))
