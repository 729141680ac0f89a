"""``qa analyze``: the paper's figures and tables, for any model, data and device."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli import exit_codes, pictures
from deformer_qa.cli.counting import counting
from deformer_qa.cli.output import format_option, message, print_json, print_plain
from deformer_qa.cli.readers import checked_device

if TYPE_CHECKING:
    from deformer_qa.reader.analysis.trained import Bench
    from deformer_qa.reader.training.recipe import Recipe


@click.group()
def analyze() -> None:
    """What the split costs and saves: the figures and tables of the DeFormer paper, as JSON and pictures.

    Everything is kept in --out as it comes; the same command goes on where it was stopped.
    """


_out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="Where readers, numbers (JSON) and pictures (png, svg) go; a stopped analysis goes on from there.",
)
_device_option = click.option(
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
    _device_option,
    _out_option,
)


def _training_options(command: Callable[..., int]) -> Callable[..., int]:
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
        from deformer_qa.reader.analysis.trained import Bench
        from deformer_qa.reader.recipes import recipe_file
        from deformer_qa.reader.squad import read_squad
        from deformer_qa.reader.training.recipe import read_recipe
        from deformer_qa.store.encodings import DEFAULT_ENCODING, encoding_named

        chosen = read_recipe(recipe_file(recipe))
        chosen = replace(chosen, examples=examples) if examples else chosen
        measured = read_squad(file)
        codec = encoding_named(DEFAULT_ENCODING)
        about = {
            "recipe": asdict(chosen),
            "measured": {"file": file.name, "sha256": _sha256(file), "limit": limit},
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


@analyze.command()
@_training_options
@format_option
def ablation(recipe: Recipe, bench: Bench, about: dict[str, Any], form: str) -> int:
    """What each loss is worth (Table 5): whole, split, minus LRS, minus KD and LRS; trained by RECIPE (default: quick).

    All rows start from the same whole reader, trained on the same questions, and see them in the same order.
    """
    from deformer_qa.reader.analysis.ablation import ablate
    from deformer_qa.reader.analysis.record import Record

    rows = ablate(recipe, bench, Record(bench.out / "ablation.json", about))
    values = {name: row["f1"] for name, row in rows.items()}
    pictures.draw(
        bench.out,
        "ablation",
        lambda figure: pictures.bars(figure, values, measure="F1", title="What the losses are worth"),
    )
    _print_rows(rows, form)
    return exit_codes.OK


@analyze.command()
@_training_options
@click.option(
    "--k",
    "ks",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="K",
    help="Layers run apart; again for each. Default: every number there is.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="Times are taken N times."
)
@format_option
def layers(recipe: Recipe, bench: Bench, about: dict[str, Any], ks: tuple[int, ...], rounds: int, form: str) -> int:
    """Loss, speed-up, memory and bytes per token against k, without distillation and with; trained by RECIPE.

    All layers above k are joint ones, as in the paper. Speed, memory and operations are of 20 passages of 160 tokens
    and a question of 16, passages' states at hand, against the whole reader.
    """
    from deformer_qa.reader.analysis.layers import against_layers
    from deformer_qa.reader.analysis.record import Record
    from deformer_qa.reader.encoder import Encoder

    ks = ks or tuple(range(1, Encoder.load(recipe.encoder, k=0).backbone.shape.n_layers))
    rows = against_layers(recipe, sorted(set(ks)), bench, Record(bench.out / "layers.json", about), rounds)
    split = [row for row in rows.values() if row["k"]]
    pictures.draw(
        bench.out,
        "layers-loss",
        lambda figure: pictures.lines(
            figure,
            [row["k"] for row in split],
            {
                "without distillation": [row["f1_lost_alone"] for row in split],
                "with": [row["f1_lost_distilled"] for row in split],
            },
            over="layers run apart (k)",
            measure="F1 lost, points",
            title="Loss against the whole reader",
        ),
    )
    pictures.draw(
        bench.out,
        "layers-cost",
        lambda figure: pictures.two_lines(
            figure,
            [row["k"] for row in split],
            ("times as fast as the whole reader", [row["speed_up"]["times"] for row in split]),
            ("bytes requested, share of the whole reader's", [row["bytes_requested"] for row in split]),
            over="layers run apart (k)",
        ),
    )
    _print_rows(rows, form)
    return exit_codes.OK


@analyze.command()
@click.option(
    "--measure",
    "file",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="FILE",
    help="A SQuAD file: paragraphs with several questions each.",
)
@click.option(
    "--reader",
    type=click.Path(path_type=Path, readable=False),
    metavar="DIR",
    help="A whole reader (k = 0) made by qa train. Default: the encoder's layers as published, both texts together.",
)
@click.option(
    "--passages",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="How many, drawn by seed 7.",
)
@_out_option
@format_option
def variance(file: Path, reader: Path | None, passages: int, out: Path, form: str) -> int:
    """How far a passage's states move with the question, layer by layer, in the undecomposed model (Figure 2)."""
    import random

    from deformer_qa.reader.analysis.record import Record
    from deformer_qa.reader.analysis.variance import passage_variance, undivided
    from deformer_qa.reader.squad import read_squad

    asked = [one for one in read_squad(file).paragraphs if len(one.questions) > 1]
    chosen = random.Random(7).sample(asked, min(passages, len(asked)))
    encoder, joint, name = undivided(reader)
    about = {"measured": {"file": file.name, "sha256": _sha256(file), "passages": len(chosen)}, "model": name}
    record = Record(out / "variance.json", about)
    with counting(len(chosen)) as advance:
        rows = record.part("layers", lambda: passage_variance(encoder, joint, chosen, lambda: advance("read")))
    pictures.draw(
        out,
        "variance",
        lambda figure: pictures.two_lines(
            figure,
            [row["layer"] for row in rows],
            ("cosine distance to the centroid, mean", [row["distance"] for row in rows]),
            ("its variance over questions", [row["variance"] for row in rows]),
            over="layer",
        ),
    )
    _print_rows({f"layer {row['layer']}": row for row in rows}, form)
    return exit_codes.OK


def _print_rows(rows: dict[str, Any], form: str) -> None:
    if form in ("json", "ndjson"):
        print_json({"schema": 1, "rows": rows}, indent=form == "json")
        return
    for name, row in rows.items():
        print_plain(name, *(f"{key} {_number(value)}" for key, value in row.items()))


def _number(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['times']:.2f} ({value['least']:.2f} to {value['most']:.2f})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
