"""``qa analyze``: the paper's figures and tables, for any model, data and device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli import exit_codes, pictures
from deformer_qa.cli.analysis_runs import out_option, print_rows, training_options
from deformer_qa.cli.analyze_tasks import tasks
from deformer_qa.cli.counting import counting
from deformer_qa.cli.output import format_option

if TYPE_CHECKING:
    from deformer_qa.lab.analysis.trained import Bench
    from deformer_qa.lab.train.recipe import Recipe


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
    return exit_codes.OK


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
@out_option
@format_option
def variance(file: Path, reader: Path | None, passages: int, out: Path, form: str) -> int:
    """How far a passage's states move with the question, layer by layer, in the undecomposed model (Figure 2)."""
    import random

    from deformer_qa.lab.analysis.record import Record
    from deformer_qa.lab.analysis.trained import weights_of
    from deformer_qa.lab.analysis.variance import passage_variance, undivided
    from deformer_qa.reader.data_files import sha256_of
    from deformer_qa.reader.squad import read_squad

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
    return exit_codes.OK
