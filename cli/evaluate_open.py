"""``qa eval open``: the whole path over a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deformer_qa.cli.counting import counting
from deformer_qa.cli.evaluation_runs import fail_under_option, file_argument, judged, precision_option, print_figures
from deformer_qa.cli.output import format_option
from deformer_qa.cli.readers import loaded, reader_option
from deformer_qa.cli.state_encodings import ENCODINGS
from deformer_qa.cli.stores import located, store_option

if TYPE_CHECKING:
    from deformer_qa.reader.reading import Precision


@click.command(name="open")
@file_argument
@store_option
@reader_option
@click.option(
    "--build",
    is_flag=True,
    help="First index the file's paragraphs into the store, one document each, below their articles' titles.",
)
@click.option(
    "--encoding", type=click.Choice(ENCODINGS), help="With --build: how a new store keeps states. Default: as qa index."
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    metavar="N",
    help="Questions that are also read for an answer.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Of the sample's draw.")
@click.option(
    "--candidates",
    type=click.IntRange(1, 100),
    default=20,
    show_default=True,
    metavar="N",
    help="Passages read of each ranking.",
)
@precision_option
@fail_under_option("F1")
@format_option
def open_(
    file: Path,
    store: Path | None,
    reader_folder: Path | None,
    build: bool,
    encoding: str | None,
    sample: int,
    seed: int,
    candidates: int,
    precision: Precision,
    fail_under: float | None,
    form: str,
) -> int:
    """Recall@k and MRR of dense, BM25 and fused on all questions of a SQuAD FILE over a store; EM and F1 on a sample.

    The gold passage of a question is the document it came with, not any text that holds the answer.
    """
    from deformer_qa.lab.fit.paragraphs import index_paragraphs
    from deformer_qa.pipeline.asking import Pipeline
    from deformer_qa.pipeline.open_evaluation import evaluate_open
    from deformer_qa.reader.squad import read_squad

    questions = read_squad(file)
    reader = loaded(reader_folder)
    reader.precision = precision
    if build:
        if store is None:
            raise click.UsageError("--build needs --store DIR, a store of its own for the file's paragraphs.")
        index_paragraphs(questions.paragraphs, located(store), reader.encoder, encoding)
    with Pipeline.open(located(store), reader) as pipeline:
        n = sum(bool(question.answers) for _, question in questions.questions())
        with counting(n + min(n, sample)) as advance:
            result = evaluate_open(
                pipeline, questions, sample=sample, seed=seed, n_candidates=candidates, on_question=advance
            )
    print_figures(result, form)
    return judged("F1", result["answers"]["fused"]["f1"], fail_under)
