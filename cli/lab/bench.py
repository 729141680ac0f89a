"""``qa bench``: measure what the store's choices cost and lose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.lab.run import file_argument
from deformer_qa.cli.options import (
    ENCODINGS,
    encoding_of,
    engine_option,
    loaded,
    located,
    reader_option,
    store_option,
    through,
)
from deformer_qa.cli.output import ExitCode, console, emit, format_option, message
from deformer_qa.cli.terminal.progress import counting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deformer_qa.lab.data.squad import SquadSet
    from deformer_qa.lab.measure.reading import SplitPassageReader
    from deformer_qa.lab.measure.recall import MadeQuestion, Recall
    from deformer_qa.reader.reading import EngineName, SplitReader
    from deformer_qa.store import Snapshot
    from deformer_qa.store.encodings import Encoding


_MEASURED_ON = 200  # paragraphs whose states are used to measure errors and decoding
_ROUNDS = 7


@click.command()
@file_argument
@reader_option
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="The SQuAD file the reader was trained on, to fit codebooks that the reader lacks; without it they are left "
    "out.",
)
@click.option(
    "--encoding",
    "names",
    type=click.Choice(ENCODINGS),
    multiple=True,
    help="Only this encoding. May be given several times. Default: all.",
)
@click.option("--limit", type=click.IntRange(min=0), default=0, metavar="N", help="Only the file's first N questions.")
@engine_option
@format_option
def encodings(
    file: Path,
    reader_folder: Path | None,
    data: Path | None,
    names: tuple[str, ...],
    limit: int,
    engine: EngineName | None,
    form: str,
) -> int:
    """Measure what each encoding of states costs and loses, on the questions of a SQuAD FILE.

    "error" is the largest absolute error of a value, and "lost" the share of the states' variance that is lost.
    "decoding" is the time to decode the states of 20 paragraphs, each alone, in turn (median), relative to fp16.
    """
    from deformer_qa.lab.analysis.costs import machine
    from deformer_qa.lab.data.squad import read_squad
    from deformer_qa.lab.measure.reading import SplitPassageReader, figures, predictions

    questions = read_squad(file)
    reader = loaded(reader_folder)
    if not reader.encoder.k:
        raise click.UsageError(f"{reader_folder}: this reader runs no layers apart (k=0), so no states are stored.")
    reader.use(engine)
    chosen = dict(_encodings(reader, names or ENCODINGS, data))
    sample = _states(reader, questions)
    costs = _decoding_times(chosen, sample)
    n = sum(1 for _ in questions.questions())
    rows = []
    for name, encoding in chosen.items():
        measured: SplitPassageReader = SplitPassageReader(reader, through(encoding), titles=True)
        made = []
        with counting(min(n, limit or n)) as advance:
            for one in predictions(measured, questions, limit=limit):
                made.append(one)
                advance(name)
        found = figures(made, forced=not questions.has_impossible)
        rows.append(
            {"encoding": name, **_errors(encoding, sample), "em": found.exact_match, "f1": found.f1} | costs[name]
        )
        message(f"qa: {name}: F1 {found.f1:.2f}")
    about = {"file": file.name, "questions": len(made), "engine": engine, **machine()}
    emit(
        form,
        {**about, "encodings": rows},
        rows=(map(_shown, row.values()) for row in rows),
        human=lambda: _print_table(rows),
    )
    return ExitCode.OK


def _encodings(reader: SplitReader, names: tuple[str, ...], data: Path | None) -> Iterator[tuple[str, Encoding]]:
    """The requested encodings, fp16 first, because the others' decoding is compared with it."""
    from deformer_qa.lab.fit.codebook import states_of_paragraphs
    from deformer_qa.store.encodings import VALUES_PER_CODE, encoding_named, fit_codebook

    own = encoding_of(reader.encoder, None)
    states: NDArray[np.float32] | None = None
    for name in dict.fromkeys(("fp16", *names)):
        if name == own.name or name not in VALUES_PER_CODE:
            yield name, encoding_of(reader.encoder, name)
        elif data is None:
            message(f"qa: {name} is left out: the reader has no codebook for it; give --data to fit one.")
        else:
            if states is None:
                held_back = reader.about.training.get("held_back_articles", ()) if reader.about else ()
                states = states_of_paragraphs(data, reader.encoder, set(held_back))
            yield name, encoding_named(name, fit_codebook(states, name))


def _states(reader: SplitReader, questions: SquadSet) -> list[NDArray[np.float32]]:
    from deformer_qa.reader.passages import with_lead

    encoder = reader.encoder
    titles = {one.context: one.title for one in questions.paragraphs}
    step = max(1, len(titles) // _MEASURED_ON)
    wholes = [
        with_lead(encoder.lead(titles[text], ""), text[span.start : span.end])
        for text in list(titles)[::step]
        for span in encoder.borders.split(text, encoder.tokenizer)
    ]
    return [encoder.states(whole, "passage") for whole in wholes]


def _errors(encoding: Encoding, sample: list[NDArray[np.float32]]) -> dict[str, float]:
    import numpy as np

    from deformer_qa.lab.fit.codebook import lost_variance

    encoded = [encoding.encode(states) for states in sample]
    exact, decoded = np.concatenate(sample), np.concatenate([encoding.decode(one) for one in encoded])
    return {
        "bytes_per_token": sum(one.n_bytes for one in encoded) / len(exact),
        "error": float(np.abs(decoded - exact).max()),
        "lost": lost_variance(exact, decoded),
    }


def _decoding_times(chosen: dict[str, Encoding], sample: list[NDArray[np.float32]]) -> dict[str, dict[str, float]]:
    """The decoding time of each encoding, relative to fp16."""
    from deformer_qa.lab.analysis.costs import ratio, seconds_in_turn

    def decoding(encoding: Encoding) -> Any:
        encoded = [encoding.encode(states) for states in sample[:20]]
        return lambda: [encoding.decode(one) for one in encoded]

    took = seconds_in_turn({name: decoding(encoding) for name, encoding in chosen.items()}, _ROUNDS)
    return {name: {"decoding": ratio(one, took["fp16"])["times"]} for name, one in took.items()}


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("encoding", "bytes a token", "largest error", "variance lost", "EM", "F1", "decoding")
    for row in rows:
        table.add_row(
            row["encoding"],
            f"{row['bytes_per_token']:.0f}",
            f"{row['error']:.3f}",
            f"{100 * row['lost']:.2f} %",
            f"{row['em']:.2f}",
            f"{row['f1']:.2f}",
            f"{row['decoding']:.1f}x",
        )
    console().print(table)


@click.command()
@store_option
@reader_option
@click.option(
    "--queries",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Questions, one per line. Default: made up from random passages, each with a vector near the passage's and "
    "some of its words.",
)
@click.option(
    "--at",
    "depth",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help="Compare the first N passages of each search.",
)
@click.option(
    "--questions",
    "n_questions",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    metavar="N",
    help="Make up N questions where there is no FILE.",
)
@format_option
def recall(
    store: Path | None, reader_folder: Path | None, queries: Path | None, depth: int, n_questions: int, form: str
) -> int:
    """Compare the search that answers with an exact one: every vector, every posting of every word."""
    from deformer_qa.lab.measure.recall import made_questions
    from deformer_qa.lab.measure.recall import recall as measured
    from deformer_qa.store import open_snapshot

    with open_snapshot(located(store)) as snapshot:
        if snapshot.notice:
            message(f"qa: {snapshot.notice}")
        questions = _read(queries, reader_folder, snapshot) if queries else made_questions(snapshot, n_questions)
        found = measured(snapshot, questions, depth)
        indexes = [{"factory": index.factory, "probes": index.n_probes} for index in snapshot.manifest.indexes]
    emit(
        form,
        {"indexes": indexes, "recall": [one.json() for one in found]},
        rows=(one.json().values() for one in found),
        human=lambda: _show_recall(found),
    )
    return ExitCode.OK


def _show_recall(found: Sequence[Recall]) -> None:
    out = console()
    out.print(f"{'':<6} {'recall':>7} {'lowest':>7} {'same scores':>12} {'ms':>9} {'exact ms':>9}")
    for one in found:
        shares = f"{one.recall:>7.3f} {one.lowest:>7.3f} {one.same_scores:>12.3f}"
        out.print(f"{one.method:<6} {shares} {one.milliseconds:>9.2f} {one.exact_milliseconds:>9.2f}")


def _read(file: Path, reader_folder: Path | None, snapshot: Snapshot) -> list[MadeQuestion]:
    """Read the questions of a file and encode them.

    :raises click.UsageError: if there are none.
    :raises EncoderMismatch: if the store was built with another encoder than the reader's.
    """
    from deformer_qa.lab.measure.recall import MadeQuestion
    from deformer_qa.store import EncoderMismatch

    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise click.UsageError(f"{file}: found no question, expected one per line.")
    encoder = loaded(reader_folder).encoder
    if encoder.encoder_id != snapshot.encoder.encoder_id:
        raise EncoderMismatch(snapshot.path, "encoder", snapshot.encoder.encoder_id, encoder.encoder_id)
    return [MadeQuestion(line, encoder.encode(line, "question").vector) for line in lines]


@click.group()
def bench() -> None:
    """Measure what the store's choices cost and lose."""


bench.add_command(encodings)
bench.add_command(recall)
