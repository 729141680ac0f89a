"""Read a training recipe: a TOML file, checked key by key before anything is computed."""

from __future__ import annotations

import math
import tomllib
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.models import DEFAULT_ENCODER


@dataclass(frozen=True)
class Source:
    """A data file, and the number of passes over each kind of its questions: 0.5 is a seeded half, 2.0 is each twice.

    :ivar file: a name inside the folder of training data
    :ivar answerable: questions with an answer, each on the passage that contains it
    :ivar unanswerable: questions marked as having no answer, on a passage of their paragraph
    :ivar elsewhere: questions with an answer, on a retrieved passage that does not contain it
    :ivar claims: questions with an answer, turned into yes/no questions: does an answer follow, by a coin their own or
        another of the paragraph
    :ivar compared: questions with an answer, on their passage beside ``rivals`` retrieved ones, all competing; every
        fourth lacks its own passage, so that none of the others is right
    :ivar keywords: questions with an answer, reduced to their content words, each on its passage
    :ivar rivals: how many passages compete with a question's own, for ``compared`` questions and those about tables
    :ivar titles: share of the paragraphs that are read with their article's title as the lead, as in asking
    :ivar yes_no: yes/no questions (BoolQ's records), on their passage
    :ivar cells: questions about tables whose answer is a cell or a part of one (WikiTableQuestions' records)
    :ivar lookups: made-up questions about the same tables: a cell by its row and column
    :ivar made_tables: made-up tables, as a share of the file's own, each with a few look-ups
    :ivar held_back: share of the articles, passages or tables that are kept for choosing and fitting, not trained on
    :ivar choices: multiple-choice questions (RACE's records), on their article; such a recipe has no other kind
    """

    file: str
    answerable: float = 0.0
    unanswerable: float = 0.0
    elsewhere: float = 0.0
    claims: float = 0.0
    compared: float = 0.0
    keywords: float = 0.0
    rivals: int = 2
    titles: float = 0.0
    yes_no: float = 0.0
    cells: float = 0.0
    lookups: float = 0.0
    made_tables: float = 0.0
    held_back: float = 0.0
    choices: float = 0.0

    @property
    def is_of_tables(self) -> bool:
        """Whether the file has tables and questions about them."""
        return bool(self.cells or self.lookups or self.made_tables)


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on, except data files and the readers it starts from.

    :ivar k: layers that run separately, unchanged unless ``tune_lower``; 0 makes a whole reader with all layers joint
    :ivar joint_layers: layers above them; 0 takes as many as the backbone has, n - k
    :ivar feed_forward_width: width in the joint layers; 0 keeps that of the layers they start from, a smaller one keeps
        the units of largest weights
    :ivar examples: the most examples to train on, the first of a seeded shuffle of all sources; 0 is all
    :ivar held_back_articles: how many articles, the last of the first source in SQuAD's format, are never trained on
        from any source, for choosing
    :ivar tune_lower: whether layers 1..k are trained too; the reader then has its own encoder, which makes states with
        the tuned layers and vectors with the original ones
    :ivar retrieval: weight of the loss that lets tuned layers make the vectors too: 1 - cosine to the original vectors
    :ivar kd, lrs, ce: weights of the losses (alpha, beta, gamma of the paper, equation 5)
    :ivar temperature: temperature of the distillation's softmax
    :ivar layer_decay: each layer's learning rate as a share of the next higher layer's
    :ivar average_last: average the weights of this many last saves, 250 steps apart; 0 takes the last weights
    :ivar warmup: share of the steps over which the learning rate rises
    """

    name: str
    k: int
    sources: tuple[Source, ...]
    joint_layers: int = 0
    feed_forward_width: int = 0
    encoder: str = DEFAULT_ENCODER
    examples: int = 0
    held_back_articles: int = 20
    batch: int = 16
    learning_rate: float = 1e-4
    layer_decay: float = 1.0
    average_last: int = 0
    warmup: float = 0.1
    weight_decay: float = 0.01
    tune_lower: bool = False
    retrieval: float = 0.0
    kd: float = 0.0
    lrs: float = 0.0
    ce: float = 1.0
    temperature: float = 2.0
    precision: str = "bf16"
    seed: int = 7

    @property
    def is_of_choices(self) -> bool:
        """Whether its questions are multiple-choice."""
        return bool(self.sources[0].choices)


def read_recipe(path: Path) -> Recipe:
    """Read the recipe in a file.

    :raises BadTrainingData: if a key is unknown or missing, or a value is of the wrong kind; the message names it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadTrainingData(f"{path}: no such recipe.") from None
    except (OSError, ValueError) as error:
        raise BadTrainingData(f"{path}: not readable as TOML ({error}).") from error
    return recipe_from(content, str(path))


def recipe_from(content: dict[str, Any], where: str) -> Recipe:
    """Make a recipe of plain values and check it; ``where`` opens the error messages."""
    entries = content.get("sources")
    if not isinstance(entries, list) or not entries:
        raise BadTrainingData(f"{where}: expected at least one [[sources]], found none.")
    sources = tuple(_source(entry, f"{where}: source {number}") for number, entry in enumerate(entries, 1))
    recipe = Recipe(**_checked({**content, "sources": ()}, Recipe, where) | {"sources": sources})
    if not recipe.name.strip() or recipe.name.startswith(".") or set(recipe.name) & set("/\\\0"):
        raise BadTrainingData(f"{where}: name: expected a name that a folder can have, found {recipe.name!r}.")
    if not 0 <= recipe.seed < 2**32:
        raise BadTrainingData(f"{where}: seed: expected 0 to {2**32 - 1}, found {recipe.seed}.")
    if recipe.warmup > 1:
        raise BadTrainingData(f"{where}: warmup: expected a share of the steps, 0 to 1, found {recipe.warmup}.")
    if recipe.precision not in ("bf16", "fp32"):
        raise BadTrainingData(f'{where}: precision: expected "bf16" or "fp32", found "{recipe.precision}".')
    for key in ("batch", "learning_rate", "temperature", "layer_decay"):
        if not 0 < getattr(recipe, key) < math.inf:
            raise BadTrainingData(f"{where}: {key}: expected more than 0, found {getattr(recipe, key)}.")
    for key in _NOT_NEGATIVE:
        if not 0 <= getattr(recipe, key) < math.inf:
            raise BadTrainingData(f"{where}: {key}: expected 0 or more, found {getattr(recipe, key)}.")
    if len({bool(source.choices) for source in sources}) > 1:
        raise BadTrainingData(f"{where}: sources: multiple-choice questions cannot be mixed with others.")
    if recipe.is_of_choices and recipe.retrieval:
        raise BadTrainingData(f"{where}: retrieval: multiple-choice readers make no vectors; leave it out.")
    if recipe.tune_lower and not recipe.k:
        raise BadTrainingData(f"{where}: tune_lower: a whole reader (k = 0) has no lower layers.")
    if recipe.retrieval and not recipe.tune_lower:
        raise BadTrainingData(f"{where}: retrieval: needs tune_lower; frozen layers keep their vectors anyway.")
    return recipe


_NOT_NEGATIVE = (
    *("k", "joint_layers", "feed_forward_width", "examples", "held_back_articles", "average_last"),
    *("warmup", "weight_decay", "retrieval", "kd", "lrs", "ce"),
)


def _source(entry: Any, where: str) -> Source:
    source = Source(**_checked(entry, Source, where))
    passes = {key: value for key, value in asdict(source).items() if key in _PASSES}
    for key in ("titles", "held_back"):
        if not 0 <= getattr(source, key) <= 1:
            raise BadTrainingData(f"{where}: {key}: expected a share, 0 to 1, found {getattr(source, key)}.")
    if source.rivals < 0:
        raise BadTrainingData(f"{where}: rivals: expected 0 or more, found {source.rivals}.")
    if not all(0 <= value < math.inf for value in passes.values()) or not any(passes.values()):
        raise BadTrainingData(f"{where}: expected passes above 0 for at least one of: {', '.join(passes)}.")
    kinds = (("yes_no",), "BoolQ's"), (("choices",), "RACE's"), (("cells", "lookups", "made_tables"), "tables'")
    for keys, kept_in in kinds:
        others = [key for key, value in passes.items() if value and key not in keys]
        if others and any(passes[key] for key in keys):
            raise BadTrainingData(f"{where}: {keys[0]} is of {kept_in} records, which have no other kind of question.")
    return source


_PASSES = (
    *("answerable", "unanswerable", "elsewhere", "claims", "compared", "keywords"),
    *("yes_no", "cells", "lookups", "made_tables", "choices"),
)
_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _checked(content: Any, of: type, where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise BadTrainingData(f"{where}: expected keys and values, found {content!r}.")
    known = {one.name: one for one in fields(of)}
    for key, value in content.items():
        if key not in known:
            raise BadTrainingData(f'{where}: unknown key "{key}"; known are: {", ".join(known)}.')
        kind = str(known[key].type)
        if kind in _KINDS and (not isinstance(value, _KINDS[kind]) or (kind != "bool" and isinstance(value, bool))):
            raise BadTrainingData(f"{where}: {key}: expected {kind}, found {value!r}.")
    for key, one in known.items():
        if one.default is MISSING and key not in content:
            raise BadTrainingData(f'{where}: key "{key}" is missing.')
    return content
