"""A training recipe: a TOML file, checked key by key before anything is computed."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.models import DEFAULT_ENCODER


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on, data files apart.

    :ivar split: whether layers 1..k see question and passage apart (a DeFormer) or together (its teacher)
    :ivar k: layers frozen, and apart in a split reader; the marker is added and joint layers begin above them
    :ivar questions: training questions taken, the first of a seeded shuffle; 0 takes all
    :ivar negatives: passages without the answer, as a share of the questions, trained on "no answer here"
    :ivar held_back_articles: articles never trained on, for choosing
    :ivar kd, lrs, ce: weights of the losses (alpha, beta, gamma of the paper, equation 5)
    :ivar temperature: of the distillation's softmax
    :ivar warmup: share of the steps over which the learning rate rises
    """

    name: str
    split: bool
    k: int
    encoder: str = DEFAULT_ENCODER
    questions: int = 0
    negatives: float = 0.1
    held_back_articles: int = 20
    epochs: float = 1.0
    batch: int = 16
    learning_rate: float = 1e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    kd: float = 0.0
    lrs: float = 0.0
    ce: float = 1.0
    temperature: float = 2.0
    precision: str = "bf16"
    seed: int = 7


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file.

    :raises BadTrainingData: naming an unknown or missing key, or a value of the wrong kind.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadTrainingData(f"{path}: no such recipe.") from None
    except (OSError, ValueError) as error:
        raise BadTrainingData(f"{path}: not readable as TOML ({error}).") from error
    return recipe_from(content, str(path))


def recipe_from(content: dict[str, Any], where: str) -> Recipe:
    """A recipe from plain values, checked; ``where`` opens the error messages."""
    known = {field.name: field for field in fields(Recipe)}
    for key, value in content.items():
        if key not in known:
            raise BadTrainingData(f'{where}: unknown key "{key}"; known are: {", ".join(known)}.')
        kind = str(known[key].type)
        fits: tuple[type, ...] = {"str": (str,), "bool": (bool,), "int": (int,), "float": (int, float)}[kind]
        if not isinstance(value, fits) or (kind != "bool" and isinstance(value, bool)):
            raise BadTrainingData(f"{where}: {key}: expected {kind}, found {value!r}.")
    for key in ("name", "split", "k"):
        if key not in content:
            raise BadTrainingData(f'{where}: key "{key}" is missing.')
    recipe = Recipe(**content)
    if recipe.precision not in ("bf16", "fp32"):
        raise BadTrainingData(f'{where}: precision: expected "bf16" or "fp32", found "{recipe.precision}".')
    if recipe.batch < 1 or recipe.epochs <= 0 or recipe.learning_rate <= 0 or recipe.questions < 0 or recipe.k < 0:
        raise BadTrainingData(f"{where}: batch, epochs and learning_rate must be above 0, questions and k not below.")
    return recipe
