"""Measure what each loss is worth: the whole reader, the split one, and the split one without LRS or KD (Table 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deformer_qa.lab.analysis.record import Record
from deformer_qa.lab.analysis.trained import Bench, weights_of
from deformer_qa.lab.train.recipe import Recipe
from deformer_qa.lab.train.start import starting_joint
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData

WHOLE, SPLIT, MINUS_LRS, MINUS_BOTH = "whole", "split", "minus LRS", "minus KD and LRS"


def whole_of(recipe: Recipe) -> Recipe:
    """Derive the recipe of the undecomposed reader on the same questions: all layers joint, cross entropy alone."""
    return replace(
        recipe,
        name=f"{recipe.name}-whole",
        k=0,
        joint_layers=0,
        feed_forward_width=0,
        tune_lower=False,
        retrieval=0.0,
        ce=1.0,
        kd=0.0,
        lrs=0.0,
    )


def checked(recipe: Recipe) -> None:
    """Check a recipe up front, so that errors do not appear only after the teacher was trained.

    :raises BadTrainingData: if the recipe has no source of questions with spans, or its layers cannot start from the
        encoder's.
    """
    if not any(source.answerable for source in recipe.sources):
        raise BadTrainingData(f"recipe {recipe.name}: EM and F1 need a source with answerable questions, it has none.")
    starting_joint(Encoder.load(recipe.encoder, k=recipe.k), recipe, None)


def ablation_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """Derive the recipe of each row; all start from the whole reader and see the same questions in order.

    :raises BadTrainingData: if the recipe has no loss to remove, or cannot be trained and measured on spans.
    """
    checked(recipe)
    if not (recipe.k and recipe.kd and recipe.lrs):
        raise BadTrainingData(
            f"recipe {recipe.name}: an ablation needs k, kd and lrs above 0, "
            f"found {recipe.k}, {recipe.kd}, {recipe.lrs}."
        )
    return {
        WHOLE: whole_of(recipe),
        SPLIT: recipe,
        MINUS_LRS: replace(recipe, name=f"{recipe.name}-minus-lrs", lrs=0.0),
        MINUS_BOTH: replace(recipe, name=f"{recipe.name}-minus-kd-lrs", kd=0.0, lrs=0.0, ce=1.0),
    }


def ablate(recipe: Recipe, bench: Bench, record: Record) -> dict[str, Any]:
    """Train and measure each row: EM, F1 and the F1 lost against the whole reader, in points."""
    recipes = ablation_recipes(recipe)
    bench.check_questions(recipe.encoder)
    teacher = bench.trained(recipes[WHOLE])
    rows: dict[str, Any] = {}
    for name, one in recipes.items():
        folder = teacher if name == WHOLE else bench.trained(one, teacher=teacher)
        found = record.part(name, lambda folder=folder: bench.measure(folder), weights_of(folder))  # type: ignore[misc]
        rows[name] = {**found, "f1_lost": rows[WHOLE]["f1"] - found["f1"] if rows else 0.0}
    return rows
