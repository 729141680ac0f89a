"""``qa eval``: measure readers and retrieval by the field's usual metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.lab.evaluate_questions import questions_
from deformer_qa.cli.lab.run import (
    Run,
    fail_under_option,
    file_argument,
    judged,
    no_titles_option,
    passage_reader,
    print_figures,
    run_options,
    split_reader,
    writable,
    write,
)
from deformer_qa.cli.options import ENCODINGS, engine_option, loaded, located, reader_option, store_option
from deformer_qa.cli.output import format_option, message
from deformer_qa.cli.terminal.progress import counting
from deformer_qa.pipeline import N_CANDIDATES
from deformer_qa.reader.shipped import SHIPPED

if TYPE_CHECKING:
    from deformer_qa.lab.measure.reading import Prediction
    from deformer_qa.reader.reading import EngineName


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
    "--encoding",
    type=click.Choice(ENCODINGS),
    help="With --build: encoding of a new store's states. Default: as qa index.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    metavar="N",
    help="Also read N random questions for an answer.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Random seed of --sample.")
@click.option(
    "--candidates",
    type=click.IntRange(1, 100),
    default=N_CANDIDATES,
    show_default=True,
    metavar="N",
    help="Read N passages of each ranking.",
)
@engine_option
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
    engine: EngineName | None,
    fail_under: float | None,
    form: str,
) -> int:
    """Measure recall@k and MRR of dense, BM25 and fused over a store, and EM and F1 on a sample, for a SQuAD FILE.

    Retrieval is measured on all questions. The gold passage of a question is the document it
    came with, not any text that holds the answer.
    """
    from deformer_qa.lab.data.squad import read_squad
    from deformer_qa.lab.fit.paragraphs import index_paragraphs
    from deformer_qa.lab.measure.open import evaluate_open
    from deformer_qa.pipeline.ask import Pipeline

    questions = read_squad(file)
    reader = loaded(reader_folder)
    reader.use(engine)
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


_ARTICLES_NEEDED = 4


@click.group(name="eval")
def evaluate() -> None:
    """Measure a reader on given passages (squad, boolq, race), or the whole path over a store (open, questions)."""


evaluate.add_command(open_)
evaluate.add_command(questions_)


@evaluate.command()
@file_argument
@click.option(
    "--reader",
    envvar="QA_READER",
    metavar="DIR|NAME",
    help="A reader made by qa train, or a fine-tuned checkpoint (folder or hub id). Default: the one shipped.",
)
@click.option(
    "--k",
    type=click.IntRange(min=0),
    metavar="K",
    help="Layers that run apart. Default: the reader's own, or 0 for a checkpoint, which is not trained for others.",
)
@click.option(
    "--calibrate",
    is_flag=True,
    help="Also fit confidences, and thresholds for a risk of 0.1, 0.2 and 0.3, on half of the articles, and report how "
    "they hold on the other half.",
)
@no_titles_option
@run_options
@fail_under_option("F1")
@format_option
def squad(
    file: Path,
    reader: str | None,
    k: int | None,
    calibrate: bool,
    no_titles: bool,
    run: Run,
    fail_under: float | None,
    form: str,
) -> int:
    """Measure EM and F1 on the questions of a SQuAD FILE (.json or .json.xz).

    Each question is read in its own paragraph below the title of its article, as a store has it. In a file without
    "is_impossible" (v1.1) every question gets an answer; in one with it (v2.0) only where the best span scores above
    "no answer here".
    """
    from deformer_qa.lab.data.squad import read_squad
    from deformer_qa.lab.measure import reading

    questions = read_squad(file)
    writable(run.predictions)
    if calibrate and len({one.article for one in questions.paragraphs}) < _ARTICLES_NEEDED:
        raise click.UsageError(f"--calibrate: needs at least {_ARTICLES_NEEDED} articles.")
    measured, about = passage_reader(reader, k, run, titles=not no_titles)
    n = sum(1 for _ in questions.questions())
    made = []
    began = time.perf_counter()
    with counting(min(n, run.limit or n)) as advance:
        for one in reading.predictions(measured, questions, limit=run.limit):
            made.append(one)
            advance("read")
    message(f"{len(made):,} questions in {time.perf_counter() - began:.0f} s")
    found = reading.figures(made, forced=not questions.has_impossible)
    write(run.predictions, {one.id: one.text for one in made})
    calibration = {"calibration": _calibration(made)} if calibrate else {}
    print_figures({"file": file.name, **found.as_dict(), **calibration, **about}, form)
    return judged("F1", found.f1, fail_under)


@evaluate.command()
@file_argument
@reader_option
@no_titles_option
@run_options
@fail_under_option("ACCURACY")
@format_option
def boolq(
    file: Path,
    reader_folder: Path | None,
    no_titles: bool,
    run: Run,
    fail_under: float | None,
    form: str,
) -> int:
    """Measure accuracy on the yes/no questions of a BoolQ FILE (JSON list or lines, also .xz).

    Each question is read in its own passage, below the title of its article where the file has it. The calibration
    error and AUROC compare the uncalibrated probability of the given label with whether that label is right.
    """
    import numpy as np

    from deformer_qa.lab.data.boolq import read_boolq
    from deformer_qa.lab.measure import confidence, reading

    questions = read_boolq(file)
    questions = questions[: run.limit or None]
    writable(run.predictions)
    split, about = split_reader(reader_folder or SHIPPED, run, titles=not no_titles)
    if not split.reader.knows_yes_and_no:
        raise click.UsageError(f"{reader_folder or SHIPPED}: this reader was not trained on yes/no questions.")
    yeses = []
    with counting(len(questions)) as advance:
        for yes in reading.verdicts(split, questions):
            yeses.append(yes)
            advance("read")
    write(run.predictions, {str(number): yes > 0 for number, yes in enumerate(yeses, 1)})
    accuracy = 100 * sum((yes > 0) == one.answer for yes, one in zip(yeses, questions, strict=True)) / len(questions)
    n_yes = sum(one.answer for one in questions)
    majority = 100 * max(n_yes, len(questions) - n_yes) / len(questions)
    margins, golds = np.array(yeses), np.array([one.answer for one in questions])
    sure, right = 1 / (1 + np.exp(-abs(margins))), (margins > 0) == golds
    result = {
        "accuracy": accuracy,
        "majority": majority,
        "n": len(questions),
        "expected_calibration_error": confidence.expected_calibration_error(sure, right),
        "auroc": confidence.area_under_roc(sure, right),
    }
    print_figures({"file": file.name, **result, **about}, form)
    return judged("accuracy", accuracy, fail_under)


@evaluate.command()
@file_argument
@reader_option
@run_options
@fail_under_option("ACCURACY")
@format_option
def race(
    file: Path,
    reader_folder: Path | None,
    run: Run,
    fail_under: float | None,
    form: str,
) -> int:
    """Measure accuracy on the multiple-choice questions of a RACE FILE (JSON lines, also .xz), each in its article.

    The options of a question share the article's stored states. --limit counts articles.
    """
    from deformer_qa.lab.data.race import LETTERS, read_race
    from deformer_qa.lab.measure import reading

    articles = read_race(file)[: run.limit or None]
    writable(run.predictions)
    split, about = split_reader(reader_folder or SHIPPED, run)
    if not split.reader.joint.knows_choices:
        raise click.UsageError(
            f"{reader_folder or SHIPPED}: this reader was not trained on multiple-choice questions; "
            "make one with qa train reader race."
        )
    asked = [(article, question) for article in articles for question in article.questions]
    chosen = []
    with counting(len(asked)) as advance:
        for option in reading.choices(split, articles):
            chosen.append(option)
            advance("read")
    write(run.predictions, {str(number): LETTERS[one] for number, one in enumerate(chosen, 1)})
    right = [option == question.answer for option, (_, question) in zip(chosen, asked, strict=True)]
    result: dict[str, Any] = _accuracy(right)
    for level in sorted({article.level for article in articles} - {""}):
        pairs = zip(right, asked, strict=True)
        result[level] = _accuracy([is_right for is_right, (article, _) in pairs if article.level == level])
    print_figures({"file": file.name, **result, **about}, form)
    return judged("accuracy", result["accuracy"], fail_under)


def _accuracy(right: Sequence[bool]) -> dict[str, Any]:
    return {"accuracy": 100 * sum(right) / max(len(right), 1), "n": len(right)}


def _calibration(made: Sequence[Prediction]) -> dict[str, Any]:
    import numpy as np

    from deformer_qa.lab.measure.confidence import calibration_figures

    answered = [one for one in made if one.signs]
    signs, right = np.array([one.signs for one in answered]), np.array([one.is_right for one in answered])
    return calibration_figures(signs, right, np.array([one.article for one in answered]))
