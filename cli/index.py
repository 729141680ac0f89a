"""``qa index``: folders and files become a store, or bring it up to date."""

from __future__ import annotations

import json
from pathlib import Path

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.output import format_option
from deformer_qa.cli.state_encodings import ENCODINGS
from deformer_qa.cli.stores import located, store_option


def checked_vector_index(context: click.Context, option: click.Parameter, choice: str | None) -> str | None:
    """A choice that a store can keep."""
    from deformer_qa.store.errors import InvalidRecord
    from deformer_qa.store.factory import check_choice

    try:
        return choice and check_choice(choice)
    except InvalidRecord as error:
        raise click.BadParameter(str(error), context, option) from error


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path, readable=False))
@store_option
@click.option(
    "--encoder",
    metavar="DIR|NAME",
    help="A sentence-transformers folder or hub id, with a reader trained on it. Default: the reader's own.",
)
@click.option(
    "--reader",
    "reader_folder",
    type=click.Path(path_type=Path, readable=False),
    metavar="DIR",
    help="The reader whose encoder makes the store. Default: the one shipped.",
)
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    help="How states are kept. Default: the store's; for a new one that of the reader's codebook, else int8.",
)
@click.option(
    "--vector-index",
    callback=checked_vector_index,
    metavar="auto|flat|FACTORY",
    help="How vectors are searched from now on: by the store's size, all of them, or by an index such as "
    "IVF2048,SQ8. Default: the store's, auto for a new one.",
)
@click.option("--prune", is_flag=True, help="Forget recorded roots that are gone, with their documents.")
@click.option("--strict", is_flag=True, help="Exit with 3 if any file was skipped.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Write every skipped file with its reason there.",
)
@format_option
def index(
    paths: tuple[Path, ...],
    store: Path | None,
    encoder: str | None,
    reader_folder: Path | None,
    encoding: str | None,
    vector_index: str | None,
    prune: bool,
    strict: bool,
    report: Path | None,
    form: str,
) -> int:
    """Build or update the index of PATHs: folders or files, each a root that is synced alone.

    Without PATH all recorded roots are brought up to date. What did not change is not read again; what moved is
    recognised; what vanished leaves the index. Stopped at any moment, the next run goes on from the last commit.
    """
    from deformer_qa.cli.index_progress import print_summary, watching
    from deformer_qa.indexer.syncing import sync
    from deformer_qa.reader.checkpoint import encoder_of
    from deformer_qa.reader.description import describe_reader
    from deformer_qa.reader.encoder import Encoder
    from deformer_qa.reader.shipped import SHIPPED

    folder = located(store)
    for path in paths:  # before any model is loaded: a path that is not there is told at once
        if not path.exists():
            raise click.UsageError(f"{path}: no such file or folder.")
    about = describe_reader(reader_folder or SHIPPED)
    chosen = Encoder.load(encoder, k=about.k) if encoder else encoder_of(about)
    with watching(form) as on_event:
        done = sync(
            folder, chosen, list(paths), encoding=encoding, vector_index=vector_index, prune=prune, on_event=on_event
        )
    print_summary(done, form)
    if report:
        listed = [{"path": one.path, "reason": one.reason} for one in done.skipped]
        report.write_text(json.dumps({"schema": 1, "skipped": listed}, indent=1) + "\n", encoding="utf-8")
    return exit_codes.RUNTIME if strict and done.skipped else exit_codes.OK
