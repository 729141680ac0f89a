"""``qa train``: the shipped reader's making, step by step, on data of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deformer_qa.cli.output import ExitCode, message, print_json
from deformer_qa.cli.progress import counting

if TYPE_CHECKING:
    from deformer_qa.reader.reading import Precision


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="FILE",
    help="A SQuAD file whose paragraphs are encoded, those of articles held back in training left out.",
)
@click.option(
    "--reader",
    "reader_folder",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="A reader made by qa train reader; the codebook goes into its folder.",
)
@click.option(
    "--encoding",
    type=click.Choice(["pq4", "pq6"]),
    default="pq4",
    show_default=True,
    help="One byte for four values of a state, or for six.",
)
def codebook(data: Path, reader_folder: Path, encoding: str) -> int:
    """Fit a codebook on the encoder's states; new stores of this reader are then kept by it.

    Before qa train ranking, which asks a store.
    """
    from deformer_qa.lab.fit.codebook import lost_variance, states_of_paragraphs
    from deformer_qa.reader.checkpoint import encoder_of
    from deformer_qa.reader.codebook import read_codebook, write_codebook
    from deformer_qa.reader.description import describe_reader
    from deformer_qa.store.encodings import Codebook, fit_codebook

    about = describe_reader(reader_folder)
    if about.k == 0:
        raise click.UsageError(f"{reader_folder}: runs no layers apart, no states of it are stored.")
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
    """Train a reader: "reader" its layers, "codebook" how stores keep its states small, "ranking" how its answers are
    compared and how sure they must be.

    \b
    qa train reader whole    --data folder/ --out runs/whole
    qa train reader frozen   --data folder/ --out runs/frozen --teacher runs/whole
    qa train reader deformer --data folder/ --out runs/reader --teacher runs/whole --start-from runs/frozen
    qa train codebook --data folder/squad-v1.1-train.json.xz --reader runs/reader
    qa train ranking --data folder/ --reader runs/reader
    """


train.add_command(codebook)


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
    help="Where the reader and its steps go; a run that was stopped goes on from there.",
)
@click.option(
    "--teacher", type=click.Path(path_type=Path, readable=False), metavar="DIR", help="A whole reader to distil from."
)
@click.option(
    "--start-from",
    type=click.Path(path_type=Path, readable=False),
    metavar="DIR",
    help="A reader whose last layers are the start. Default: the teacher, else the encoder itself.",
)
@click.option("--device", metavar="NAME", help="cpu, or the accelerator there is (the default).")
def reader(
    recipe: str, data: Path, out: Path, teacher: Path | None, start_from: Path | None, device: str | None
) -> int:
    """Train a reader by RECIPE: a TOML file, or the name of one that ships.

    Those are: whole, frozen, deformer, answers, whole-again, quick, race-whole, race.
    """
    from deformer_qa.cli.progress import training_progress
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
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="The folder the reader was trained on; only what its recipe held back is asked about.",
)
@click.option(
    "--reader",
    "reader_folder",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="A reader made by qa train reader; its reader.json gets what is fitted.",
)
@click.option(
    "--questions",
    type=click.IntRange(min=2),
    default=500,
    show_default=True,
    metavar="N",
    help="Questions of each kind, at most.",
)
@click.option(
    "--distractors",
    type=click.IntRange(min=0),
    default=400,
    show_default=True,
    metavar="N",
    help="Further documents of each source, to search among.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the store that is asked, so that another run need not encode it.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of the joint layers; bf16 is faster where the processor has it.",
)
def ranking(
    data: Path, reader_folder: Path, questions: int, distractors: int, store: Path | None, precision: Precision
) -> int:
    """Fit how answers are compared and how sure one must be, on what the recipe held back.

    The ranking is fitted on one half of the held-back articles and tables. The rest is fitted on the other half, and
    measured there: from where on an answer is given or nothing is found, and what --max-risk needs.
    """
    from deformer_qa.lab.fit.reader_fit import fit_reader

    with counting(None) as advance:
        found = fit_reader(
            reader_folder,
            data,
            n_each=questions,
            n_others=distractors,
            store=store,
            precision=precision,
            on_event=lambda line: message(f"qa: {line}"),
            on_question=lambda: advance("read"),
        )
    print_json({"schema": 1, **found})
    return ExitCode.OK
