"""``qa analyze``: reproduce the paper's figures and tables, for any model, data and device."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.lab import pictures
from deformer_qa.cli.options import device_option, engine_option
from deformer_qa.cli.output import ExitCode, emit, format_option, message
from deformer_qa.cli.terminal.progress import counting

if TYPE_CHECKING:
    from deformer_qa.lab.analysis.trained import Bench
    from deformer_qa.lab.train.recipe import Recipe
    from deformer_qa.reader.reading import EngineName


out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="DIR",
    help="Folder for readers, numbers (JSON) and pictures (png, svg); a stopped analysis continues from it.",
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
        help="The SQuAD file to measure EM and F1 on; none of it may be trained on.",
    ),
    click.option(
        "--examples", type=click.IntRange(min=1), metavar="N", help="Train on N examples. Default: the recipe's number."
    ),
    click.option(
        "--limit", type=click.IntRange(min=0), default=0, metavar="N", help="Measure on the first N questions only."
    ),
    engine_option,
    device_option,
    out_option,
)


def training_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options of an analysis that trains readers; passes on the recipe, a bench, and their settings."""

    @functools.wraps(command)
    def with_bench(
        recipe: str,
        data: Path,
        file: Path,
        examples: int | None,
        limit: int,
        engine: EngineName | None,
        device: str,
        out: Path,
        **given: Any,
    ) -> int:
        from deformer_qa.cli.terminal.progress import training_progress
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
            "engine": engine,
        }
        with training_progress() as on_log:
            bench = Bench(
                data=data,
                out=out,
                measured=measured,
                limit=limit,
                through=lambda states: codec.decode(codec.encode(states)),
                stored=lambda states: codec.encode(states).n_bytes,
                engine=engine,
                device=device,
                on_event=lambda line: message(f"qa: {line}"),
                on_log=on_log,
            )
            return command(recipe=chosen, bench=bench, about=about, **given)

    for option in reversed(_TRAINING_OPTIONS):
        with_bench = option(with_bench)
    return with_bench


def print_rows(rows: dict[str, Any], form: str) -> None:
    """Print a line for each row, or all as JSON."""
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
    help="Measure accuracy: squad, boolq or race, its file, a whole and a split reader. May be given several times.",
)
@click.option(
    "--shapes/--no-shapes",
    default=True,
    show_default=True,
    help="Measure speed and memory at the published shapes: minutes on a GPU, half an hour on a few cores.",
)
@click.option(
    "--model",
    "models",
    type=click.Choice(["BERT-base", "BERT-large", "XLNet-base"]),
    multiple=True,
    help="Only the shapes of this model. May be given several times. Default: all.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=32, show_default=True, metavar="N", help="Run N pairs at once."
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="Measure each time N times."
)
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads for the batch. Default: torch's choice."
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Only the first N questions of a row's file; for RACE, articles.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision of torch at the paper's shapes.",
)
@engine_option
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
    engine: EngineName | None,
    device: str,
    out: Path,
    form: str,
) -> int:
    """Reproduce Table 1: accuracy of whole and split readers (--row), speed and memory at the paper's shapes.

    Speed and memory are measured with random weights. Passages' states are at hand; whole and split run in turn in
    torch. On a CPU in fp32, rows "onnx" and "onnx-int8" compare the split model in onnxruntime with the whole one in
    torch and in the same engine. Bytes are those that all operations request, as the paper counts them.
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
        raise click.UsageError("nothing to do: give --row, or leave --no-shapes out.")
    names = [task for task, *_ in rows]
    if len(set(names)) < len(names):
        raise click.UsageError("--row: give each task only once; a second row of a task needs its own --out.")
    for _, _, whole, split in rows:
        if describe_reader(whole).k or not describe_reader(split).k:
            raise click.UsageError(f"--row: expected a whole reader (k=0), then a split one; found {whole}, {split}.")
    codec = encoding_named(DEFAULT_ENCODING)
    made: dict[str, Any] = {}
    records = []
    for task, file, whole, split in rows:  # check all of them before computing anything
        about = {
            "file": sha256_of(file),
            "whole": sha256_of(whole / WEIGHTS),
            "split": sha256_of(split / WEIGHTS),
            "states": DEFAULT_ENCODING,
            "engine": engine,
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
                    engine=engine,
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
    """Measure what the split costs and saves: the figures and tables of the DeFormer paper, as JSON and pictures.

    Results are kept in --out as they are made; the same command continues where it was stopped.
    """


analyze.add_command(tasks)


@analyze.command()
@training_options
@format_option
def ablation(recipe: Recipe, bench: Bench, about: dict[str, Any], form: str) -> int:
    """Train readers with and without each loss (Table 5) by RECIPE (default: quick), and measure what each is worth.

    The rows are: whole, split, split without LRS, split without KD and LRS.

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
    help="Layers that run apart. May be given several times. Default: every possible number.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="Measure each time N times."
)
@format_option
def layers(recipe: Recipe, bench: Bench, about: dict[str, Any], ks: tuple[int, ...], rounds: int, form: str) -> int:
    """Measure loss, speed-up, memory and bytes per token for each k, with and without distillation, trained by RECIPE.

    All layers above k are joint, as in the paper. Speed, memory and operations are measured on 20 passages of 160
    tokens and a question of 16, with the passages' states at hand, and compared with the whole reader.
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
    help="A whole reader (k = 0) made by qa train. Default: the published encoder, which reads both texts together.",
)
@click.option(
    "--passages",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="Measure N passages, drawn with seed 7.",
)
@out_option
@format_option
def variance(file: Path, reader: Path | None, passages: int, out: Path, form: str) -> int:
    """Measure how much a passage's states change with the question, by layer, in the undecomposed model (Figure 2)."""
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
