"""``qa rm``: remove documents from the index."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from deformer_qa.cli.options import Pattern, is_pattern, located, parsed, store_option, where_option
from deformer_qa.cli.output import JSON_FORMS, ExitCode, emit, format_option, message

if TYPE_CHECKING:
    from deformer_qa.pipeline.filters import Filter
    from deformer_qa.store import DocumentInfo, Snapshot


@dataclass(frozen=True)
class _Chosen:
    """The documents to remove, paths by id, and the roots that stay."""

    places: dict[int, str]
    roots: list[str]


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@where_option
@click.option("--dry-run", is_flag=True, help="List what would be removed, and change nothing.")
@store_option
@format_option
def rm(paths: tuple[str, ...], where: str | None, dry_run: bool, store: Path | None, form: str) -> int:
    """Take documents out of the index; the files themselves stay.

    PATH is a file, or a folder with everything below it. A PATH that names no document and contains *, ?, [ or ** is a
    pattern. It is matched against each document's full path (a relative pattern starts at the current folder) and
    against its path relative to its root. Quote it, so that the shell does not expand it. With --where as well, only
    documents that match both are removed.

    A root that is removed as a whole, by its path, is no longer synced. A file removed from a root that stays comes
    back with the next "qa index" of that root, unless the file was deleted. The text stays in the store's files until
    "qa compact".
    """
    typed = click.get_current_context().get_parameter_source("where") is ParameterSource.COMMANDLINE
    if not paths and not typed:  # a filter from a configuration file alone must not remove documents
        raise click.UsageError("give a PATH, a pattern or --where.")
    from deformer_qa.store import Writer, open_snapshot

    wanted = parsed(where)
    folder = located(store)
    if dry_run:
        with open_snapshot(folder) as snapshot:
            chosen, generation = _choose(snapshot, paths, wanted), snapshot.generation
    else:
        with Writer.open(folder, encoder=None) as writer:
            assert writer.snapshot is not None
            chosen = _choose(writer.snapshot, paths, wanted)
            for document in chosen.places:
                writer.remove_document(document)
            writer.set_roots(chosen.roots)
            generation = writer.commit() or writer.snapshot.generation
    removed = list(chosen.places.values())
    result = {"removed": removed, "generation": generation, "dry_run": dry_run}
    emit(form, result, ((place,) for place in removed))
    if form not in JSON_FORMS:
        message(f"{len(removed):,} documents {'would be ' if dry_run else ''}removed.")
    return ExitCode.OK


def _choose(snapshot: Snapshot, paths: Sequence[str], wanted: Filter | None) -> _Chosen:
    """Choose documents that any of the paths names (if given) and that match the filter (if given).

    :raises click.UsageError: if a path names nothing, or nothing matches the filter.
    """
    from deformer_qa.indexer.files import shown

    full = {path: os.path.realpath(path) for path in paths}
    places = {one.id: shown(one.root, one.path) for one in snapshot.iter_documents()}
    if paths:
        named = {path: _named_by(path, full[path], snapshot.iter_documents(), places) for path in full}
        for path, documents in named.items():
            if not documents and full[path] not in snapshot.roots:
                raise click.UsageError(f"{path}: not in the index; nothing was removed.")
        chosen = set().union(*named.values())
    else:
        chosen = set(places)
    if wanted is not None:
        chosen &= {one.id for one in wanted.documents(snapshot)}
        if not chosen:
            raise click.UsageError("--where: no document matches; nothing was removed.")
    whole = () if wanted is not None else full.values()
    roots = [root for root in snapshot.roots if not any(_lies_in(root, path) for path in whole)]
    return _Chosen({id_: place for id_, place in places.items() if id_ in chosen}, roots)


def _named_by(path: str, full: str, documents: Iterable[DocumentInfo], places: dict[int, str]) -> set[int]:
    """The documents at a path or below it; if there are none, those that it matches as a pattern."""
    from deformer_qa.indexer.formats import file_of

    named = {
        id_
        for id_, place in places.items()
        if full == file_of(place) or path == file_of(place) or _lies_in(place, full)
    }
    if named or not is_pattern(path):
        return named
    try:
        pattern = Pattern(path)
    except ValueError as error:
        raise click.UsageError(f"{path}: {error}; nothing was removed.") from error

    def fits(one: DocumentInfo) -> bool:
        place = places[one.id]
        return pattern.names(place, one.path) or pattern.names(file_of(place), file_of(one.path))

    return {one.id for one in documents if fits(one)}


def _lies_in(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder.rstrip("/") + "/")
