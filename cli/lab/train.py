"""``qa train``: train a reader like the shipped one, step by step, on your own data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deformer_qa.cli.options import encoding_of, engine_option, loaded, through
from deformer_qa.cli.output import ExitCode, message, print_json
from deformer_qa.cli.terminal.progress import counting

if TYPE_CHECKING:
    from deformer_qa.reader.reading import EngineName


_held_back_option = click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="The folder the reader was trained on; only what its recipe held back is read.",
)


def _trained_option(result: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """``--reader DIR``: a trained reader; ``result`` says what becomes of it."""
    return click.option(
        "--reader",
        "reader_folder",
        type=click.Path(path_type=Path, readable=False),
        required=True,
        metavar="DIR",
        help=f"A reader made by qa train reader; {result}.",
    )


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="FILE",
    help="A SQuAD file whose paragraphs are encoded, except articles held back in training.",
)
@_trained_option("the codebook goes into its folder")
@click.option(
    "--encoding",
    type=click.Choice(["pq4", "pq6"]),
    default="pq4",
    show_default=True,
    help="pq4 keeps four values of a state in one byte, pq6 six.",
)
def codebook(data: Path, reader_folder: Path, encoding: str) -> int:
    """Fit a codebook on the encoder's states; new stores of this reader then use it.

    Run it before qa train ranking, which makes a store.
    """
    from deformer_qa.lab.fit.codebook import lost_variance, states_of_paragraphs
    from deformer_qa.reader.checkpoint import encoder_of
    from deformer_qa.reader.codebook import read_codebook, write_codebook
    from deformer_qa.reader.description import describe_reader
    from deformer_qa.store.encodings import Codebook, fit_codebook

    about = describe_reader(reader_folder)
    if about.k == 0:
        raise click.UsageError(f"{reader_folder}: this reader runs no layers apart (k=0), so no states are stored.")
    encoder = encoder_of(about)
    message(f"qa: encoding paragraphs of {data}")
    states = states_of_paragraphs(data, encoder, set(about.training.get("held_back_articles", ())))
    fitted = fit_codebook(states, encoding)
    write_codebook(reader_folder, dict(zip(("mean", "rotation", "centroids"), fitted.arrays, strict=True)))
    kept = read_codebook(reader_folder)
    assert kept is not None
    book = Codebook(**kept)
    print_json(
        {
            "schema": 1,
            "encoding": encoding,
            "tokens": len(states),
            "bytes_per_token": len(fitted.centroids),
            "lost_variance": lost_variance(states, book.states(book.codes(states))),
        }
    )
    return ExitCode.OK


@click.group()
def train() -> None:
    """Train a reader in steps: "reader" trains its layers, "codebook" the compression of its stored states, "engine"
    makes its fast form, "ranking" fits how its answers are compared and how sure they must be.

    \b
    qa train reader whole    --data folder/ --out runs/whole
    qa train reader frozen   --data folder/ --out runs/frozen --teacher runs/whole
    qa train reader deformer --data folder/ --out runs/reader --teacher runs/whole --start-from runs/frozen
    qa train codebook --data folder/squad-v1.1-train.json.xz --reader runs/reader
    qa train engine  --data folder/ --reader runs/reader
    qa train ranking --data folder/ --reader runs/reader
    """


train.add_command(codebook)


@train.command()
@_held_back_option
@_trained_option("the graph goes into its folder")
@click.option(
    "--questions",
    type=click.IntRange(min=2),
    default=80,
    show_default=True,
    metavar="N",
    help="Use at most N questions of each kind; half of them calibrate, half measure.",
)
def engine(data: Path, reader_folder: Path, questions: int) -> int:
    """Make the int8 graph of a reader's joint layers, which onnxruntime runs several times faster than torch.

    Run it after qa train codebook and before qa train ranking. Without it the reader works in fp32.
    """
    from deformer_qa.lab.fit.engine import make_engine

    encoding = encoding_of(loaded(reader_folder).encoder, None)
    with counting(None) as advance:
        found = make_engine(
            reader_folder,
            data,
            n_each=questions,
            through=through(encoding),
            on_question=lambda: advance("read"),
        )
    print_json({"schema": 1, **found})
    return ExitCode.OK


@train.command()
@click.argument("recipe")
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="The folder with the files that the recipe's sources name: SQuAD JSON, BoolQ and RACE records, also .xz.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="Folder for the reader and its checkpoints; a stopped run continues from it.",
)
@click.option(
    "--teacher", type=click.Path(path_type=Path, readable=False), metavar="DIR", help="A whole reader to distil from."
)
@click.option(
    "--start-from",
    type=click.Path(path_type=Path, readable=False),
    metavar="DIR",
    help="Start from the last layers of this reader. Default: the teacher, else the encoder itself.",
)
@click.option("--device", metavar="NAME", help="cpu, cuda, ... Default: the accelerator, if there is one.")
def reader(
    recipe: str, data: Path, out: Path, teacher: Path | None, start_from: Path | None, device: str | None
) -> int:
    """Train a reader by RECIPE: a TOML file, or the name of a shipped recipe.

    Shipped recipes: whole, frozen, deformer, answers, whole-again, quick, race-whole, race.
    """
    from deformer_qa.cli.terminal.progress import training_progress
    from deformer_qa.lab.recipes import recipe_file
    from deformer_qa.lab.train.recipe import read_recipe
    from deformer_qa.lab.train.run import train_reader

    chosen = read_recipe(recipe_file(recipe))
    with training_progress() as on_log:
        train_reader(
            chosen,
            data,
            out,
            teacher=teacher,
            start_from=start_from,
            device=device,
            on_log=on_log,
            on_event=lambda line: message(f"qa: {line}"),
        )
    measure = "race" if chosen.is_of_choices else "squad"
    message(f"The reader is in {out}; measure it with: qa eval {measure} FILE --reader {out}")
    return ExitCode.OK


@train.command()
@_held_back_option
@_trained_option("what is fitted is written to its reader.json")
@click.option(
    "--questions",
    type=click.IntRange(min=2),
    default=500,
    show_default=True,
    metavar="N",
    help="Use at most N questions of each kind.",
)
@click.option(
    "--distractors",
    type=click.IntRange(min=0),
    default=400,
    show_default=True,
    metavar="N",
    help="Add N further documents of each source to search among.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the store there, so that another run need not encode its documents again.",
)
@click.option("--only-risk", is_flag=True, help="Fit only the thresholds of --max-risk; the rest stays as it is.")
@engine_option
def ranking(
    data: Path,
    reader_folder: Path,
    questions: int,
    distractors: int,
    store: Path | None,
    only_risk: bool,
    engine: EngineName | None,
) -> int:
    """Fit how answers are compared and how sure they must be, on the data that the recipe held back.

    The ranking is fitted on one half of the held-back articles and tables. The other half fits and measures the
    confidence that an answer needs, the one below which nothing is found, and those that --max-risk needs.
    """
    from deformer_qa.lab.fit.reader_fit import fit_reader

    with counting(None) as advance:
        found = fit_reader(
            reader_folder,
            data,
            n_each=questions,
            n_others=distractors,
            store=store,
            engine=engine,
            only_risk=only_risk,
            on_event=lambda line: message(f"qa: {line}"),
            on_question=lambda: advance("read"),
        )
    print_json({"schema": 1, **found})
    return ExitCode.OK
