"""``qa eval``: the figures, by the field's measures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.output import format_option, message, messages_console, print_json, print_plain
from deformer_qa.cli.readers import checked_device, loaded, reader_option
from deformer_qa.cli.stores import located, store_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deformer_qa.reader.evaluation import PassageReader
    from deformer_qa.reader.reading import Precision


@click.group(name="eval")
def evaluate() -> None:
    """Measure a reader on given passages (squad), or retrieval and reading over a store (open)."""


def _figures_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--fail-under", type=float, metavar="F1", help="Exit with 1 if F1 is below.")(command)
    return format_option(command)


@evaluate.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
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
    help="Layers run apart; must be the reader's own. 0 for an undecomposed checkpoint.",
)
@click.option(
    "--states",
    type=click.Choice(["int8", "fp16", "exact"]),
    default="int8",
    show_default=True,
    help="What the store would do to passages' states on their way to a split reader's joint layers.",
)
@click.option("--limit", type=click.IntRange(min=0), default=0, metavar="N", help="Only the file's first N questions.")
@click.option(
    "--device", metavar="NAME", default="cpu", show_default=True, callback=checked_device, help="cpu, cuda, ..."
)
@click.option(
    "--predictions",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Write {id: answer} as JSON there.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of the split reader's joint layers; bf16 is faster where the processor has it.",
)
@_figures_options
def squad(
    file: Path,
    reader: str | None,
    k: int | None,
    states: str,
    precision: Precision,
    limit: int,
    device: str,
    predictions: Path | None,
    fail_under: float | None,
    form: str,
) -> int:
    """EM and F1 on the questions of a SQuAD FILE (.json or .json.xz), each read in its own paragraph.

    In a file without "is_impossible" (v1.1) every question gets an answer.
    """
    from deformer_qa.reader import evaluation
    from deformer_qa.reader.squad import read_squad

    questions = read_squad(file)
    if predictions:
        predictions.touch()  # a place that cannot be written is told now, not after the run
    passage_reader, about = _passage_reader(reader, k, states, device, precision)
    n = sum(1 for _ in questions.questions())
    n = min(n, limit) if limit else n
    made = []
    began = time.perf_counter()
    with _progress(n) as advance:
        for one in evaluation.predictions(passage_reader, questions, limit=limit):
            made.append(one)
            advance("read")
    found = evaluation.figures(made, forced=not questions.has_impossible)
    if predictions:
        import json

        predictions.write_text(json.dumps({one.id: one.text for one in made}, indent=1) + "\n", encoding="utf-8")
    message(f"{len(made):,} questions in {time.perf_counter() - began:.0f} s")
    result = {"schema": 1, "file": file.name, "exact_match": found.exact_match, "f1": found.f1, "n": found.n, **about}
    _print_figures(result, form)
    return _judged(found.f1, fail_under)


def _passage_reader(
    name: str | None, k: int | None, states: str, device: str, precision: Precision
) -> tuple[PassageReader, dict[str, Any]]:
    from deformer_qa.reader.checkpoint import describe_reader
    from deformer_qa.reader.encoder import Encoder
    from deformer_qa.reader.evaluation import SplitPassageReader
    from deformer_qa.reader.reading import SHIPPED, SplitReader
    from deformer_qa.reader.whole import TeacherReader, WholeReader
    from deformer_qa.store.encodings import encoding_named

    folder = SHIPPED if name is None else Path(name)
    if not (folder / "reader.json").is_file() and name is not None:
        if k:
            raise click.UsageError(
                f"--k {k}: {name} was not trained split, only --k 0 is its own function; see qa train."
            )
        return WholeReader.load(name).to(device), {"reader": name, "k": 0}
    about = describe_reader(folder)
    its_k = about.k if about.split else 0
    if k is not None and k != its_k:
        raise click.UsageError(f"--k {k}: {folder} was trained with k={its_k}; give that, or nothing.")
    described = {"reader": about.training.get("recipe", {}).get("name", str(folder)), "k": its_k}
    if not about.split:
        return TeacherReader.load(folder, Encoder.load(about.encoder, k=about.k)).to(device), described
    reader = SplitReader.load(folder).to(device)
    reader.precision = precision
    described["precision"] = precision
    if states == "exact":
        return SplitPassageReader(reader), {**described, "states": states}
    codec = encoding_named(states)
    split = SplitPassageReader(reader, lambda one: codec.decode(codec.encode(one)))
    return split, {**described, "states": states}


@evaluate.command(name="open")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
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
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of the split reader's joint layers; bf16 is faster where the processor has it.",
)
@_figures_options
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
        with _progress(n + min(n, sample)) as advance:
            result = evaluate_open(
                pipeline, questions, sample=sample, seed=seed, n_candidates=candidates, on_question=advance
            )
    _print_figures(result, form)
    return _judged(result["answers"]["fused"]["f1"], fail_under)


@contextmanager
def _progress(n: int) -> Iterator[Callable[[str], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages_console(), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=n)

        def advance(phase: str) -> None:
            bar.update(task, advance=1, description=phase)

        yield advance


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


def _judged(f1: float, fail_under: float | None) -> int:
    if fail_under is not None and f1 < fail_under:
        message(f"qa: F1 {f1:.2f} is below --fail-under {fail_under:g}.")
        return exit_codes.NEGATIVE
    return exit_codes.OK
