"""``qa analyze``: the paper's figures and tables, for any model, data and device."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.lab import pictures
from deformer_qa.cli.options import checked_device
from deformer_qa.cli.output import ExitCode, emit, format_option, message
from deformer_qa.cli.progress import counting

if TYPE_CHECKING:
    from deformer_qa.lab.analysis.trained import Bench
    from deformer_qa.lab.train.recipe import Recipe


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
        from deformer_qa.cli.progress import training_progress
        from deformer_qa.lab.analysis.trained import Bench
        from deformer_qa.lab.data.json_files import sha256_of
        from deformer_qa.lab.data.squad import read_squad
        from deformer_qa.lab.recipes import recipe_file
        from deformer_qa.lab.train.recipe import read_recipe
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
    lines = ((name, *(f"{key} {_number(value)}" for key, value in row.items())) for name, row in rows.items())
    emit(form, {"rows": rows}, lines)


def _number(value: Any) -> str:
    if isinstance(value, dict) and "times" in value:
        return f"{value['times']:.2f} ({value['least']:.2f} to {value['most']:.2f})"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_number(one)}" for key, one in value.items()) or "-"
    if isinstance(value, list):
        return " / ".join(map(_number, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_PATH = click.Path(path_type=Path, readable=False)


@click.command()
@click.option(
    "--row",
    "rows",
    type=(click.Choice(["squad", "boolq", "race"]), _PATH, _PATH, _PATH),
    multiple=True,
    metavar="TASK FILE WHOLE SPLIT",
    help="A row of accuracies: squad, boolq or race, its file, the whole reader, the split one; again for each task.",
)
@click.option(
    "--shapes/--no-shapes",
    default=True,
    show_default=True,
    help="Speed and memory at the published shapes: minutes on a GPU, half an hour on a few cores.",
)
@click.option(
    "--model",
    "models",
    type=click.Choice(["BERT-base", "BERT-large", "XLNet-base"]),
    multiple=True,
    help="Only the shapes of this model; again for each. Default: all.",
)
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, metavar="N", help="Pairs at once.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="Times are taken N times."
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Of the batch. Default: as torch chooses.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Only N questions of a row's file, RACE: articles.",
)
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="Of whole and split."
)
@device_option
@out_option
@format_option
def tasks(
    rows: tuple[tuple[str, Path, Path, Path], ...],
    shapes: bool,
    models: tuple[str, ...],
    batch: int,
    rounds: int,
    threads: int | None,
    limit: int,
    precision: str,
    device: str,
    out: Path,
    form: str,
) -> int:
    """Table 1: accuracy whole and split by --row, and speed and memory at the paper's shapes, with random weights.

    Passages' states are at hand; whole and split run on the same engine, in turn. Bytes are those that all operations
    request, as the paper counts them.
    """
    import torch

    from deformer_qa.lab.analysis.costs import machine
    from deformer_qa.lab.analysis.record import Record
    from deformer_qa.lab.analysis.shapes import MODELS, published_costs
    from deformer_qa.lab.analysis.tasks import measure_task
    from deformer_qa.lab.data.json_files import sha256_of
    from deformer_qa.reader.checkpoint import WEIGHTS
    from deformer_qa.reader.description import describe_reader
    from deformer_qa.store.encodings import DEFAULT_ENCODING, encoding_named

    if not rows and not shapes:
        raise click.UsageError("nothing to do: give --row, or leave out --no-shapes.")
    names = [task for task, *_ in rows]
    if len(set(names)) < len(names):
        raise click.UsageError("--row: each task once; give another one a folder of its own by --out.")
    for _, _, whole, split in rows:
        if describe_reader(whole).k or not describe_reader(split).k:
            raise click.UsageError(f"--row: expected a whole reader (k=0), then a split one; found {whole}, {split}.")
    codec = encoding_named(DEFAULT_ENCODING)
    made: dict[str, Any] = {}
    records = []
    for task, file, whole, split in rows:  # all of them before anything is computed
        about = {
            "file": sha256_of(file),
            "whole": sha256_of(whole / WEIGHTS),
            "split": sha256_of(split / WEIGHTS),
            "states": DEFAULT_ENCODING,
            "precision": precision,
            "limit": limit,
        }
        records.append(Record(out / f"tasks-{task}.json", about))
    for (task, file, whole, split), kept in zip(rows, records, strict=True):
        with counting(0) as advance:

            def measure(
                task: str = task, file: Path = file, whole: Path = whole, split: Path = split
            ) -> dict[str, Any]:
                message(f"qa: measuring {task}")
                return measure_task(
                    task,
                    file,
                    {"whole": whole, "split": split},
                    lambda states: codec.decode(codec.encode(states)),
                    limit=limit,
                    precision=precision,  # type: ignore[arg-type]
                    device=device,
                    on_question=lambda: advance("read"),
                )

            row = kept.part("row", measure)
        made[task] = {**row, "lost": row["whole"] - row["split"]}
    if shapes:
        n_threads = threads or torch.get_num_threads()
        about = {"batch": batch, "threads": n_threads, "precision": precision, **machine(device)}
        record = Record(out / f"tasks-shapes-{precision}-batch-{batch}.json", about)
        made |= published_costs(
            record,
            [model for model in MODELS if not models or model.name in models],
            n_pairs=batch,
            rounds=rounds,
            device=device,
            precision=precision,
            threads=n_threads,
            on_event=lambda line: message(f"qa: {line}"),
        )
    print_rows(made, form)
    return ExitCode.OK


@click.group()
def analyze() -> None:
    """What the split costs and saves: the figures and tables of the DeFormer paper, as JSON and pictures.

    Everything is kept in --out as it comes; the same command goes on where it was stopped.
    """


analyze.add_command(tasks)


@analyze.command()
@training_options
@format_option
def ablation(recipe: Recipe, bench: Bench, about: dict[str, Any], form: str) -> int:
    """What each loss is worth (Table 5): whole, split, minus LRS, minus KD and LRS; trained by RECIPE (default: quick).

    All rows start from the same whole reader, trained on the same questions, and see them in the same order.
    """
    from deformer_qa.lab.analysis.ablation import ablate
    from deformer_qa.lab.analysis.record import Record

    rows = ablate(recipe, bench, Record(bench.out / "ablation.json", about))
    values = {name: row["f1"] for name, row in rows.items()}
    pictures.draw(
        bench.out,
        "ablation",
        lambda figure: pictures.bars(figure, values, measure="F1", title="What the losses are worth"),
    )
    print_rows(rows, form)
    return ExitCode.OK


@analyze.command()
@training_options
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
    from deformer_qa.lab.analysis.layers import against_layers
    from deformer_qa.lab.analysis.record import Record
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
                "from the encoder, cross entropy alone": [row["f1_lost_alone"] for row in split],
                "from the whole reader, distilled": [row["f1_lost_distilled"] for row in split],
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
    print_rows(rows, form)
    return ExitCode.OK


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
@out_option
@format_option
def variance(file: Path, reader: Path | None, passages: int, out: Path, form: str) -> int:
    """How far a passage's states move with the question, layer by layer, in the undecomposed model (Figure 2)."""
    import random

    from deformer_qa.lab.analysis.record import Record
    from deformer_qa.lab.analysis.trained import weights_of
    from deformer_qa.lab.analysis.variance import passage_variance, undivided
    from deformer_qa.lab.data.json_files import sha256_of
    from deformer_qa.lab.data.squad import read_squad

    asked = [one for one in read_squad(file).paragraphs if len(one.questions) > 1]
    chosen = random.Random(7).sample(asked, min(passages, len(asked)))
    encoder, joint, name = undivided(reader)
    about = {"measured": {"file": file.name, "sha256": sha256_of(file), "passages": len(chosen)}, "model": name}
    record = Record(out / "variance.json", about)
    of = weights_of(reader) if reader else {}
    with counting(len(chosen)) as advance:
        rows = record.part("layers", lambda: passage_variance(encoder, joint, chosen, lambda: advance("read")), of)
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
    print_rows({f"layer {row.pop('layer')}": row for row in rows}, form)
    return ExitCode.OK
