"""Measure each split against k: F1 lost, speed-up, memory and stored bytes (the paper's Figures 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from deformer_qa.lab.analysis.ablation import checked, whole_of
from deformer_qa.lab.analysis.costs import bytes_requested, machine, operations, ratio, seconds_in_turn
from deformer_qa.lab.analysis.record import Record
from deformer_qa.lab.analysis.trained import Bench, weights_of
from deformer_qa.lab.train.recipe import Recipe
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.reading import SplitReader

_CANDIDATES, _QUESTION, _PASSAGE = 20, 16, 160
"""Passages read for one question, tokens of the question, tokens of a passage."""


def layer_recipes(recipe: Recipe, k: int) -> tuple[Recipe, Recipe]:
    """Derive two recipes for this k, all layers above it joint: without distillation as in the figure, and with.

    The first starts from the encoder's own last layers and has no teacher; the second starts from the whole reader.
    """
    plain = replace(recipe, k=k, joint_layers=0, feed_forward_width=0)
    alone = replace(plain, name=f"{recipe.name}-k{k}-alone", kd=0.0, lrs=0.0, ce=1.0)
    return alone, replace(plain, name=f"{recipe.name}-k{k}")


def against_layers(recipe: Recipe, ks: Sequence[int], bench: Bench, record: Record, rounds: int) -> dict[str, Any]:
    """Train and measure the whole reader and one split for each k; return a row for each.

    :param rounds: how often to time each split, in turn with the whole reader.
    :raises BadTrainingData: for a k outside the encoder's layers, or a recipe without distillation.
    """
    if not recipe.kd and not recipe.lrs:
        raise BadTrainingData(f"recipe {recipe.name}: without kd and lrs there is no distillation to compare with.")
    n_layers = Encoder.load(recipe.encoder, k=0).backbone.shape.n_layers
    wrong = [k for k in ks if not 0 < k < n_layers]
    if wrong:
        raise BadTrainingData(f"layers: {wrong[0]} is not between 1 and {n_layers - 1}, the encoder has {n_layers}.")
    for k in ks:
        checked(layer_recipes(recipe, k)[0])
    bench.check_questions(recipe.encoder)
    whole = bench.trained(whole_of(recipe))
    rows = {"whole": {"k": 0, **record.part("whole", lambda: bench.measure(whole), weights_of(whole))}}
    for k in ks:
        recipes = layer_recipes(recipe, k)
        pair = bench.trained(recipes[0]), bench.trained(recipes[1], teacher=whole)

        def made(k: int = k, pair: tuple[Path, Path] = pair) -> dict[str, Any]:
            f1_alone, f1_distilled = (bench.measure(folder)["f1"] for folder in pair)
            return {"k": k, "f1_alone": f1_alone, "f1_distilled": f1_distilled}

        def costs(pair: tuple[Path, Path] = pair) -> dict[str, Any]:
            return _costs(pair[1], whole, bench, rounds)

        on = {"rounds": rounds, **machine(bench.device or "cpu")}
        row = {
            **record.part(f"k={k}", made, weights_of(*pair)),
            **record.part(f"k={k}, costs", costs, weights_of(pair[1], whole) | on),
        }
        rows[f"k={k}"] = row | {
            "f1_lost_alone": rows["whole"]["f1"] - row["f1_alone"],
            "f1_lost_distilled": rows["whole"]["f1"] - row["f1_distilled"],
        }
    return rows


def _costs(split: Path, whole: Path, bench: Bench, rounds: int) -> dict[str, Any]:
    """Measure costs relative to the whole reader, for one question whose passages' layer-k states are at hand."""
    bench.on_event(f"timing {split.name}")
    device = bench.device or "cpu"
    reader, undivided = (SplitReader.load(folder).to(device) for folder in (split, whole))
    shape = reader.encoder.backbone.shape
    n_passage = min(_PASSAGE, shape.longest_text)
    ids = torch.randint(shape.vocabulary, (_CANDIDATES, n_passage), device=device)
    asked = torch.randint(shape.vocabulary, (1, _QUESTION), device=device)

    def of(one: SplitReader) -> Any:
        k, backbone, joint = one.encoder.k, one.encoder.backbone, one.joint
        with torch.inference_mode():
            kept = backbone.run(backbone.embed(ids), None, 0, k)

        def run() -> object:
            passages = kept if k else backbone.embed(ids)
            return joint(backbone.run(backbone.embed(asked), None, 0, k), passages)

        return run

    split_run, whole_run = of(reader), of(undivided)
    took = seconds_in_turn({"whole": whole_run, "split": split_run}, rounds, device)
    states = bench.stored(torch.zeros(n_passage, reader.encoder.hidden_width).numpy())
    return {
        "speed_up": ratio(took["whole"], took["split"]),
        "operations": operations(split_run) / operations(whole_run),
        "bytes_requested": bytes_requested(split_run) / bytes_requested(whole_run),
        "bytes_per_token": states / n_passage,
    }
