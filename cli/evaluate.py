"""``qa eval``: the figures, by the field's measures."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.counting import counting
from deformer_qa.cli.output import format_option, message, print_json, print_plain
from deformer_qa.cli.readers import checked_device, loaded, reader_option
from deformer_qa.cli.stores import located, store_option
from deformer_qa.reader.shipped import SHIPPED

if TYPE_CHECKING:
    from deformer_qa.reader.evaluation import PassageReader, SplitPassageReader
    from deformer_qa.reader.reading import Precision, SplitReader


@click.group(name="eval")
def evaluate() -> None:
    """Measure a reader on given passages (squad, boolq), or retrieval and reading over a store (open)."""


@dataclass(frozen=True)
class _Run:
    """How questions are read in given passages; ``states`` is None where the reader's own way is meant."""

    states: str | None
    precision: Precision
    limit: int
    device: str
    predictions: Path | None


_file_argument = click.argument("file", type=click.Path(path_type=Path, readable=False))
_precision_option = click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of the joint layers; bf16 is faster where the processor has it.",
)
_RUN_OPTIONS = (
    click.option(
        "--states",
        type=click.Choice(["int8", "fp16", "exact"]),
        help="What the store would do to passages' states on their way to a split reader's joint layers. [int8]",
    ),
    click.option(
        "--limit", type=click.IntRange(min=0), default=0, metavar="N", help="Only the file's first N questions."
    ),
    click.option(
        "--device", metavar="NAME", default="cpu", show_default=True, callback=checked_device, help="cpu, cuda, ..."
    ),
    click.option(
        "--predictions",
        type=click.Path(path_type=Path, readable=False),
        metavar="FILE",
        help="Write {id: answer} as JSON there.",
    ),
    _precision_option,
)


def _run_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options of a run over given passages, handed on as ``run``."""

    @functools.wraps(command)
    def with_run(**given: Any) -> int:
        run = _Run(**{field.name: given.pop(field.name) for field in fields(_Run)})
        return command(run=run, **given)

    for option in reversed(_RUN_OPTIONS):
        with_run = option(with_run)
    return with_run


def _fail_under_option(measure: str) -> Callable[..., Any]:
    return click.option("--fail-under", type=float, metavar=measure, help=f"Exit with 1 if {measure} is below.")


@evaluate.command()
@_file_argument
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
    help="Layers run apart: of a checkpoint as many as you say (0), untrained so; else the reader's own.",
)
@_run_options
@_fail_under_option("F1")
@format_option
def squad(
    file: Path,
    reader: str | None,
    k: int | None,
    run: _Run,
    fail_under: float | None,
    form: str,
) -> int:
    """EM and F1 on the questions of a SQuAD FILE (.json or .json.xz), each read in its own paragraph.

    In a file without "is_impossible" (v1.1) every question gets an answer; in one with it (v2.0) only where the best
    span scores above "no answer here".
    """
    from deformer_qa.reader import evaluation
    from deformer_qa.reader.squad import read_squad

    questions = read_squad(file)
    _writable(run.predictions)
    passage_reader, about = _passage_reader(reader, k, run)
    n = sum(1 for _ in questions.questions())
    made = []
    began = time.perf_counter()
    with counting(min(n, run.limit or n)) as advance:
        for one in evaluation.predictions(passage_reader, questions, limit=run.limit):
            made.append(one)
            advance("read")
    message(f"{len(made):,} questions in {time.perf_counter() - began:.0f} s")
    found = evaluation.figures(made, forced=not questions.has_impossible)
    _write(run.predictions, {one.id: one.text for one in made})
    _print_figures({"schema": 1, "file": file.name, **found.as_dict(), **about}, form)
    return _judged("F1", found.f1, fail_under)


@evaluate.command()
@_file_argument
@reader_option
@_run_options
@_fail_under_option("ACCURACY")
@format_option
def boolq(
    file: Path,
    reader_folder: Path | None,
    run: _Run,
    fail_under: float | None,
    form: str,
) -> int:
    """Accuracy on the yes/no questions of a BoolQ FILE (JSON list or lines, also .xz), each read in its own passage."""
    from deformer_qa.reader import evaluation
    from deformer_qa.reader.boolq import read_boolq

    questions = read_boolq(file)
    questions = questions[: run.limit or None]
    _writable(run.predictions)
    split, about = _split_reader(reader_folder or SHIPPED, run)
    if not split.reader.joint.knows_yes_and_no:
        raise click.UsageError(f"{reader_folder or SHIPPED}: this reader was not trained on yes/no questions.")
    yeses = []
    with counting(len(questions)) as advance:
        for yes in evaluation.verdicts(split, questions):
            yeses.append(yes)
            advance("read")
    _write(run.predictions, {str(number): yes > 0 for number, yes in enumerate(yeses, 1)})
    accuracy = 100 * sum((yes > 0) == one.answer for yes, one in zip(yeses, questions, strict=True)) / len(questions)
    n_yes = sum(one.answer for one in questions)
    majority = 100 * max(n_yes, len(questions) - n_yes) / len(questions)
    result = {"accuracy": accuracy, "majority": majority, "n": len(questions)}
    _print_figures({"schema": 1, "file": file.name, **result, **about}, form)
    return _judged("accuracy", accuracy, fail_under)


@evaluate.command(name="open")
@_file_argument
@store_option
@reader_option
@click.option("--build", is_flag=True, help="First index the file's paragraphs into the store, one document each.")
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
@_precision_option
@_fail_under_option("F1")
@format_option
def open_(
    file: Path,
    store: Path | None,
    reader_folder: Path | None,
    build: bool,
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
    from deformer_qa.cli.squad_store import index_paragraphs
    from deformer_qa.pipeline.asking import Pipeline
    from deformer_qa.pipeline.open_evaluation import evaluate_open
    from deformer_qa.reader.squad import read_squad

    questions = read_squad(file)
    reader = loaded(reader_folder)
    reader.precision = precision
    if build:
        if store is None:
            raise click.UsageError("--build needs --store DIR, a store of its own for the file's paragraphs.")
        index_paragraphs([one.context for one in questions.paragraphs], located(store), reader.encoder)
    with Pipeline.open(located(store), reader) as pipeline:
        n = sum(bool(question.answers) for _, question in questions.questions())
        with counting(n + min(n, sample)) as advance:
            result = evaluate_open(
                pipeline, questions, sample=sample, seed=seed, n_candidates=candidates, on_question=advance
            )
    _print_figures(result, form)
    return _judged("F1", result["answers"]["fused"]["f1"], fail_under)


def _passage_reader(name: str | None, k: int | None, run: _Run) -> tuple[PassageReader, dict[str, Any]]:
    """A reader of ours, or a fine-tuned checkpoint; and what is said of it beside the figures."""
    from deformer_qa.reader.description import DESCRIPTION, describe_reader
    from deformer_qa.reader.fine_tuned import FineTunedReader
    from deformer_qa.reader.reading import SplitReader

    folder = SHIPPED if name is None else Path(name)
    if name is not None and not (folder / DESCRIPTION).is_file():
        if k:
            return _through_states(SplitReader.from_fine_tuned(name, k).to(run.device), name, run)
        if run.precision != "fp32":
            raise click.UsageError(f"--precision {run.precision}: {name} is a fine-tuned checkpoint, read in fp32.")
        _nothing_stored(name, run)
        return FineTunedReader.load(name).to(run.device), {"reader": name, "k": 0, "precision": run.precision}
    about = describe_reader(folder)
    if k is not None and k != about.k:
        raise click.UsageError(f"--k {k}: {folder} was trained with k={about.k}; give that, or nothing.")
    return _split_reader(folder, run)


def _split_reader(folder: Path, run: _Run) -> tuple[SplitPassageReader, dict[str, Any]]:
    from deformer_qa.reader.reading import SplitReader

    reader = SplitReader.load(folder).to(run.device)
    assert reader.about is not None
    if reader.about.k == 0:
        _nothing_stored(str(folder), run)
    return _through_states(reader, reader.about.name, run)


def _through_states(reader: SplitReader, name: str, run: _Run) -> tuple[SplitPassageReader, dict[str, Any]]:
    """A split reader behind what the store does to states; a whole one has none to store."""
    from deformer_qa.reader.evaluation import SplitPassageReader
    from deformer_qa.store.encodings import encoding_named

    reader.precision = run.precision
    about = {"reader": name, "k": reader.encoder.k, "precision": run.precision}
    if reader.encoder.k == 0:
        return SplitPassageReader(reader), about
    states = run.states or "int8"
    about["states"] = states
    if states == "exact":
        return SplitPassageReader(reader), about
    codec = encoding_named(states)
    return SplitPassageReader(reader, lambda one: codec.decode(codec.encode(one))), about


def _nothing_stored(name: str, run: _Run) -> None:
    if run.states:
        raise click.UsageError(f"--states {run.states}: {name} runs no layers apart, no states of it are stored.")


def _writable(file: Path | None) -> None:
    """A place that cannot be written is told now, not after the run."""
    if file:
        file.touch()


def _write(file: Path | None, predictions: dict[str, Any]) -> None:
    if file:
        file.write_text(json.dumps(predictions, indent=1) + "\n", encoding="utf-8")


def _print_figures(result: dict[str, Any], form: str) -> None:
    if form in ("json", "ndjson"):
        print_json(result, indent=form == "json")
        return
    for key, value in _flat(result):
        print_plain(key, f"{value:.2f}" if isinstance(value, float) else value)


def _flat(result: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        elif key != "schema":
            yield prefix + key, value


def _judged(measure: str, found: float, fail_under: float | None) -> int:
    if fail_under is not None and found < fail_under:
        message(f"qa: {measure} {found:.2f} is below --fail-under {fail_under:g}.")
        return exit_codes.NEGATIVE
    return exit_codes.OK
