"""``qa train``: the shipped reader's making, step by step, on data of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.output import message, print_json


@click.group()
def train() -> None:
    """Train a reader: "reader" its joint layers, then "ranking" how its answers are compared.

    \b
    qa train reader teacher-k2  --data squad-train.json --out runs/teacher
    qa train reader deformer-k2 --data squad-train.json --out runs/reader --teacher runs/teacher
    qa train ranking --data squad-train.json --reader runs/reader
    """


@train.command()
@click.argument("recipe")
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="FILE",
    help="SQuAD JSON, also .xz.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="Where the reader and its steps go; a run that was stopped goes on from there.",
)
@click.option(
    "--teacher", type=click.Path(path_type=Path, readable=False), metavar="DIR", help="A reader to distil from."
)
@click.option("--device", metavar="NAME", help="cpu, or the accelerator there is (the default).")
def reader(recipe: str, data: Path, out: Path, teacher: Path | None, device: str | None) -> int:
    """Train the joint layers by RECIPE: a TOML file, or the name of one that ships (teacher-k2, deformer-k2)."""
    from deformer_qa.cli.train_progress import training_progress
    from deformer_qa.reader.recipes import shipped_recipe
    from deformer_qa.reader.training.recipe import read_recipe
    from deformer_qa.reader.training.run import train_reader

    chosen = read_recipe(shipped_recipe(recipe) or Path(recipe))
    with training_progress() as on_log:
        train_reader(chosen, data, out, teacher=teacher, device=device, on_log=on_log)
    message(f"The reader is in {out}; measure it with: qa eval squad FILE --reader {out}")
    return exit_codes.OK


@train.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="FILE",
    help="The SQuAD file the reader was trained on; only its held-back articles are asked about.",
)
@click.option(
    "--reader",
    "reader_folder",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="A reader made by qa train reader; its reader.json gets the weights.",
)
@click.option(
    "--questions",
    type=click.IntRange(min=10),
    default=1000,
    show_default=True,
    metavar="N",
    help="Held-back questions to fit on.",
)
@click.option(
    "--distractors",
    type=click.IntRange(min=0),
    default=1500,
    show_default=True,
    metavar="N",
    help="Paragraphs of other articles to search among.",
)
def ranking(data: Path, reader_folder: Path, questions: int, distractors: int) -> int:
    """Fit how answers of different passages are compared, on articles the reader never saw."""
    from deformer_qa.cli.squad_store import fit_on_held_back

    print_json({"schema": 1, **fit_on_held_back(data, reader_folder, questions, distractors)})
    return exit_codes.OK
