"""``qa bench recall``: how many of the passages that an exact search finds does the search with indexes find?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.output import console, format_option, message, print_json, print_plain
from deformer_qa.cli.readers import loaded, reader_option
from deformer_qa.cli.stores import located, store_option

if TYPE_CHECKING:
    from deformer_qa.pipeline.recall import MadeQuestion
    from deformer_qa.store import Snapshot


@click.command()
@store_option
@reader_option
@click.option(
    "--queries",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Questions, one a line. Default: made up, from passages drawn at random: a vector near the passage's, and "
    "some of its words.",
)
@click.option(
    "--at",
    "depth",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help="Passages of each search that are compared.",
)
@click.option(
    "--questions",
    "n_questions",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    metavar="N",
    help="Made up where there is no FILE.",
)
@format_option
def recall(
    store: Path | None, reader_folder: Path | None, queries: Path | None, depth: int, n_questions: int, form: str
) -> int:
    """Compare the search that answers with an exact one: every vector, every posting of every word."""
    from deformer_qa.pipeline.recall import made_questions
    from deformer_qa.pipeline.recall import recall as measured
    from deformer_qa.store import open_snapshot

    with open_snapshot(located(store)) as snapshot:
        if snapshot.notice:
            message(f"qa: {snapshot.notice}")
        questions = _read(queries, reader_folder, snapshot) if queries else made_questions(snapshot, n_questions)
        found = measured(snapshot, questions, depth)
        indexes = [{"factory": index.factory, "probes": index.n_probes} for index in snapshot.manifest.indexes]
    if form in ("json", "ndjson"):
        measurements = [one.json() for one in found]
        print_json({"schema": 1, "indexes": indexes, "recall": measurements}, indent=form == "json")
        return exit_codes.OK
    if form != "plain":
        console().print(f"{'':<6} {'recall':>7} {'lowest':>7} {'same scores':>12} {'ms':>9} {'exact ms':>9}")
    for one in found:
        if form == "plain":
            print_plain(*map(str, one.json().values()))
        else:
            shares = f"{one.recall:>7.3f} {one.lowest:>7.3f} {one.same_scores:>12.3f}"
            console().print(f"{one.method:<6} {shares} {one.milliseconds:>9.2f} {one.exact_milliseconds:>9.2f}")
    return exit_codes.OK


def _read(file: Path, reader_folder: Path | None, snapshot: Snapshot) -> list[MadeQuestion]:
    """Questions of a file, encoded.

    :raises click.UsageError: where there is none.
    :raises EncoderMismatch: where the store was built with another encoder than the reader's.
    """
    from deformer_qa.pipeline.recall import MadeQuestion
    from deformer_qa.store import EncoderMismatch

    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise click.UsageError(f"{file}: found no question, expected one a line.")
    encoder = loaded(reader_folder).encoder
    if encoder.encoder_id != snapshot.encoder.encoder_id:
        raise EncoderMismatch(snapshot.path, "encoder", snapshot.encoder.encoder_id, encoder.encoder_id)
    return [MadeQuestion(line, encoder.encode(line, "question").vector) for line in lines]
