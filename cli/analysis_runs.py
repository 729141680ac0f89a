"""What the commands of ``qa analyze`` share: options, a bench for readers in training, how rows are printed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from deformer_qa.cli.output import message, print_json, print_plain
from deformer_qa.cli.readers import checked_device

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="Where readers, numbers (JSON) and pictures (png, svg) go; a stopped analysis goes on from there.",
)
device_option = click.option(
    "--device", metavar="NAME", default="cpu", show_default=True, callback=checked_device, help="cpu, cuda, ..."
)
_TRAINING_OPTIONS = (
    click.argument("recipe", default="quick"),
    click.option(
        "--data",
        type=click.Path(path_type=Path, readable=False),
        required=True,
        metavar="DIR",
        help="The folder with the files that the recipe's sources name.",
    ),
    click.option(
        "--measure",
        "file",
        type=click.Path(path_type=Path, readable=False),
        required=True,
        metavar="FILE",
        help="The SQuAD file that EM and F1 are of; none of it may be trained on.",
    ),
    click.option(
        "--examples", type=click.IntRange(min=1), metavar="N", help="Train on so many. Default: the recipe's number."
    ),
    click.option(
        "--limit", type=click.IntRange(min=0), default=0, metavar="N", help="Measure on the first N questions only."
    ),
    click.option(
        "--precision",
        type=click.Choice(["fp32", "bf16"]),
        default="fp32",
        show_default=True,
        help="Of the joint layers where they are measured.",
    ),
    device_option,
    out_option,
)


def training_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options of an analysis that trains readers; hands on the recipe, a bench, and what figures hang on."""

    @functools.wraps(command)
    def with_bench(
        recipe: str,
        data: Path,
        file: Path,
        examples: int | None,
        limit: int,
        precision: str,
        device: str,
        out: Path,
        **given: Any,
    ) -> int:
        from deformer_qa.cli.train_progress import training_progress
        from deformer_qa.lab.analysis.trained import Bench
        from deformer_qa.lab.recipes import recipe_file
        from deformer_qa.lab.train.recipe import read_recipe
        from deformer_qa.reader.data_files import sha256_of
        from deformer_qa.reader.squad import read_squad
        from deformer_qa.store.encodings import DEFAULT_ENCODING, encoding_named

        chosen = read_recipe(recipe_file(recipe))
        chosen = replace(chosen, examples=examples) if examples else chosen
        measured = read_squad(file)
        codec = encoding_named(DEFAULT_ENCODING)
        about = {
            "recipe": asdict(chosen),
            "measured": {"file": file.name, "sha256": sha256_of(file), "limit": limit},
            "states": DEFAULT_ENCODING,
            "precision": precision,
        }
        with training_progress() as on_log:
            bench = Bench(
                data=data,
                out=out,
                measured=measured,
                limit=limit,
                through=lambda states: codec.decode(codec.encode(states)),
                stored=lambda states: codec.encode(states).n_bytes,
                precision=precision,  # type: ignore[arg-type]
                device=device,
                on_event=lambda line: message(f"qa: {line}"),
                on_log=on_log,
            )
            return command(recipe=chosen, bench=bench, about=about, **given)

    for option in reversed(_TRAINING_OPTIONS):
        with_bench = option(with_bench)
    return with_bench


def print_rows(rows: dict[str, Any], form: str) -> None:
    """A line for each row, or all as JSON."""
    if form in ("json", "ndjson"):
        print_json({"schema": 1, "rows": rows}, indent=form == "json")
        return
    for name, row in rows.items():
        print_plain(name, *(f"{key} {_number(value)}" for key, value in row.items()))


def _number(value: Any) -> str:
    if isinstance(value, dict) and "times" in value:
        return f"{value['times']:.2f} ({value['least']:.2f} to {value['most']:.2f})"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_number(one)}" for key, one in value.items()) or "-"
    if isinstance(value, list):
        return " / ".join(map(_number, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
