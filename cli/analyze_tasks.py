"""``qa analyze tasks``: Table 1, what of it hangs on training and what hangs on shapes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.analysis_runs import device_option, out_option, print_rows
from deformer_qa.cli.counting import counting
from deformer_qa.cli.output import format_option, message

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

    from deformer_qa.lab.analysis.measuring import machine
    from deformer_qa.lab.analysis.record import Record
    from deformer_qa.lab.analysis.shapes import MODELS, published_costs
    from deformer_qa.lab.analysis.tasks import measure_task
    from deformer_qa.reader.checkpoint import WEIGHTS
    from deformer_qa.reader.data_files import sha256_of
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
    return exit_codes.OK
