"""Shared by the commands of ``qa eval``: options of a run, loading the reader, printing figures."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.options import ENCODINGS, device_option, encoding_of, engine_option, through
from deformer_qa.cli.output import ExitCode, emit, message
from deformer_qa.reader.shipped import SHIPPED

if TYPE_CHECKING:
    from deformer_qa.lab.measure.reading import PassageReader, SplitPassageReader
    from deformer_qa.reader.reading import EngineName, SplitReader


@dataclass(frozen=True)
class Run:
    """How questions are read in given passages; ``states`` is None for the reader's own encoding."""

    states: str | None
    engine: EngineName | None
    limit: int
    device: str
    predictions: Path | None


file_argument = click.argument("file", type=click.Path(path_type=Path, readable=False))
_RUN_OPTIONS = (
    click.option(
        "--states",
        type=click.Choice([*ENCODINGS, "exact"]),
        help="Encode passages' states as a store would, before a split reader's joint layers get them. Default: as in "
        "a new store: the reader's codebook, else int8.",
    ),
    click.option(
        "--limit", type=click.IntRange(min=0), default=0, metavar="N", help="Only the file's first N questions."
    ),
    device_option,
    click.option(
        "--predictions",
        type=click.Path(path_type=Path, readable=False),
        metavar="FILE",
        help="Write the answers there as JSON, {id: answer}.",
    ),
    engine_option,
)


def run_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options of a run over given passages, passed on as ``run``."""

    @functools.wraps(command)
    def with_run(**given: Any) -> int:
        run = Run(**{field.name: given.pop(field.name) for field in fields(Run)})
        return command(run=run, **given)

    for option in reversed(_RUN_OPTIONS):
        with_run = option(with_run)
    return with_run


no_titles_option = click.option(
    "--no-titles",
    is_flag=True,
    help="Read passages without their article's title above them; a store's passages are read with it.",
)


def fail_under_option(measure: str) -> Callable[..., Any]:
    return click.option("--fail-under", type=float, metavar=measure, help=f"Exit with 1 if {measure} is below.")


def passage_reader(
    name: str | None, k: int | None, run: Run, titles: bool = True
) -> tuple[PassageReader, dict[str, Any]]:
    """Load a reader of ours or a fine-tuned checkpoint, with the facts to print beside the figures.

    :param titles: whether a reader of ours reads passages below their article's title; a checkpoint never does.
    """
    from deformer_qa.reader.description import DESCRIPTION, describe_reader
    from deformer_qa.reader.fine_tuned import FineTunedReader
    from deformer_qa.reader.reading import SplitReader

    folder = SHIPPED if name is None else Path(name)
    if name is not None and not (folder / DESCRIPTION).is_file():
        if k:
            return _through_states(SplitReader.from_fine_tuned(name, k).to(run.device), name, run, titles=False)
        if run.engine not in (None, "torch"):
            raise click.UsageError(f"--engine {run.engine}: {name} is a fine-tuned checkpoint, read in torch.")
        _nothing_stored(name, run)
        said = {"reader": name, "k": 0, "engine": "torch", "titles": False}
        return FineTunedReader.load(name).to(run.device), said
    about = describe_reader(folder)
    if k is not None and k != about.k:
        raise click.UsageError(f"--k {k}: {folder} was trained with k={about.k}; give that, or leave --k out.")
    if not about.knows_spans:
        raise click.UsageError(f"{folder}: this reader was not trained on questions with spans.")
    return split_reader(folder, run, titles)


def split_reader(folder: Path, run: Run, titles: bool | None = None) -> tuple[SplitPassageReader, dict[str, Any]]:
    """Load a reader of ours; ``titles`` is None if its passages have none."""
    from deformer_qa.reader.reading import SplitReader

    reader = SplitReader.load(folder).to(run.device)
    assert reader.about is not None
    if reader.about.k == 0:
        _nothing_stored(str(folder), run)
    return _through_states(reader, reader.about.name, run, titles=titles)


def _through_states(
    reader: SplitReader, name: str, run: Run, *, titles: bool | None
) -> tuple[SplitPassageReader, dict[str, Any]]:
    """Read through the store's encoding of states; a whole reader stores none."""
    from deformer_qa.lab.measure.reading import SplitPassageReader

    reader.use(run.engine)
    about: dict[str, Any] = {"reader": name, "k": reader.encoder.k, "engine": reader.choice.engine}
    if titles is not None:
        about["titles"] = titles
    if reader.encoder.k == 0:
        return SplitPassageReader(reader, titles=titles), about
    if run.states == "exact":
        return SplitPassageReader(reader, titles=titles), about | {"states": "exact"}
    encoding = encoding_of(reader.encoder, run.states)
    return SplitPassageReader(reader, through(encoding), titles=titles), about | {"states": encoding.name}


def _nothing_stored(name: str, run: Run) -> None:
    if run.states:
        raise click.UsageError(f"--states {run.states}: {name} runs no layers apart (k=0), so no states are stored.")


def writable(file: Path | None) -> None:
    """Create the file now, so that an error does not come after the run."""
    if file:
        file.touch()


def write(file: Path | None, predictions: dict[str, Any]) -> None:
    if file:
        file.write_text(json.dumps(predictions, indent=1) + "\n", encoding="utf-8")


def print_figures(result: dict[str, Any], form: str) -> None:
    """Print figures by name."""
    emit(form, result, ((key, _figure(value)) for key, value in _flat(result)))


def _figure(value: Any) -> Any:
    return f"{value:.{2 if abs(value) >= 1 else 3}f}" if isinstance(value, float) else value


def _flat(result: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        elif isinstance(value, list):
            for one in value:
                yield prefix + key, " ".join(f"{name} {number:.3f}" for name, number in one.items())
        else:
            yield prefix + key, value


def judged(measure: str, found: float, fail_under: float | None) -> int:
    if fail_under is not None and found < fail_under:
        message(f"qa: {measure} {found:.2f} is below --fail-under {fail_under:g}.")
        return ExitCode.NEGATIVE
    return ExitCode.OK
