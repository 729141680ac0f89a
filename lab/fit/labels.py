"""How likely a yes or no must be to be said, so that labels that are said are mostly right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deformer_qa.lab.data.boolq import read_boolq
from deformer_qa.lab.measure.reading import SplitPassageReader, verdicts
from deformer_qa.lab.train.examples import is_held_back
from deformer_qa.lab.train.recipe import Recipe
from deformer_qa.pipeline.yes_no import LEAST_CONFIDENCE
from deformer_qa.reader.reading import SplitReader

_RIGHT = 0.87
"""Share of the labels said that must be right on held-back questions; other questions have fewer."""
_FEWEST = 40
_STEP = 0.01


def fit_label(recipe: Recipe, data: Path, reader: SplitReader) -> dict[str, Any]:
    """Find the lowest probability from which on a share ``_RIGHT`` of the held-back questions get the right label.

    It holds for each source of yes/no questions by itself: people ask neither BoolQ's nor CondaQA's mixture. Questions
    are read in their own passages.

    :return: ``least``; over how many questions it was fitted, how many get a label, and how many of those are right.
    """
    held = [
        (source.file, one)
        for source in recipe.sources
        if source.yes_no and source.held_back
        for one in read_boolq(data / source.file)
        if is_held_back(one.article or one.passage[:200], source.held_back)
    ]
    found: dict[str, Any] = {"least": LEAST_CONFIDENCE, "questions": len(held), "said": 0, "right": 0}
    files = np.array([file for file, _ in held])
    kinds = [files == file for file in dict.fromkeys(files.tolist()) if (files == file).sum() >= _FEWEST]
    if not kinds:
        return found
    logits = np.array(list(verdicts(SplitPassageReader(reader), [one for _, one in held])))
    likely = 1 / (1 + np.exp(-np.abs(logits)))
    right = (logits > 0) == np.array([one.answer for _, one in held])
    for least in np.arange(0.5, 1, _STEP):
        said = likely >= least
        if any((said & kind).sum() < _FEWEST for kind in kinds):
            break
        if all(right[said & kind].mean() >= _RIGHT for kind in kinds):
            return {**found, "least": round(float(least), 2), "said": int(said.sum()), "right": int(right[said].sum())}
    return {**found, "least": 1.0}
