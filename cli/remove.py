"""``qa rm``: take documents out of the index."""

from __future__ import annotations

import os
from pathlib import Path

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.output import format_option, message, print_json, print_plain
from deformer_qa.cli.stores import located, store_option


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@store_option
@format_option
def rm(paths: tuple[str, ...], store: Path | None, form: str) -> int:
    """Take the documents of files or folders out of the index; the files themselves stay.

    A root that is removed whole is no longer synced. A file removed from a root that stays comes back with the next
    "qa index" of that root, unless it is gone by then.
    """
    from deformer_qa.indexer.files import shown
    from deformer_qa.indexer.formats import file_of
    from deformer_qa.store import Writer, open_snapshot

    folder = located(store)
    with open_snapshot(folder) as snapshot:
        encoder, encoding = snapshot.encoder, snapshot.encoding
    wanted = [os.path.realpath(path) for path in paths]
    with Writer.open(folder, encoder=encoder, encoding=encoding, create=False) as writer:
        head = writer.snapshot
        assert head is not None
        removed, hit = [], set()
        for one in head.iter_documents():
            place = shown(one.root, one.path)
            naming = [path for path in wanted if path == file_of(place) or _lies_in(place, path)]
            if naming:
                writer.remove_document(one.id)
                removed.append(place)
                hit.update(naming)
        missing = [path for path, full in zip(paths, wanted, strict=True) if full not in hit and full not in head.roots]
        if missing:
            raise click.UsageError(f"{missing[0]}: no document of the index is there; nothing was removed.")
        writer.set_roots([root for root in head.roots if not any(_lies_in(root, path) for path in wanted)])
        generation = writer.commit()
    if form in ("json", "ndjson"):
        print_json({"schema": 1, "removed": removed, "generation": generation}, indent=form == "json")
    else:
        for place in removed:
            print_plain(place)
        message(f"{len(removed):,} documents removed.")
    return exit_codes.OK


def _lies_in(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder.rstrip("/") + "/")
