"""Fit how likely a yes or no must be to be given, so that most labels given are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.lab.data.boolq import read_boolq
from deformer_qa.lab.measure.confidence import Probabilities, Rights, threshold_at_risk
from deformer_qa.lab.measure.reading import SplitPassageReader, verdicts
from deformer_qa.lab.train.examples import is_held_back
from deformer_qa.lab.train.recipe import Recipe
from deformer_qa.pipeline.yes_no import LEAST_CONFIDENCE
from deformer_qa.reader.reading import SplitReader

_RISK = 0.2
"""The share of the given labels that may be wrong."""
_FEWEST = 40


def fit_label(recipe: Recipe, data: Path, reader: SplitReader) -> dict[str, Any]:
    """Find the lowest probability of a label that may be given; held-back questions are read in their own passages.

    :return: ``least``, the number of questions it was fitted on, how many get a label, and how many labels are right.
    """
    held = [
        (source.file, one)
        for source in recipe.sources
        if source.yes_no and source.held_back
        for one in read_boolq(data / source.file)
        if is_held_back(one.article or one.passage[:200], source.held_back)
    ]
    if len(held) < _FEWEST:
        return {"least": LEAST_CONFIDENCE, "questions": len(held), "said": 0, "right": 0}
    logits = np.array(list(verdicts(SplitPassageReader(reader), [one for _, one in held])))
    likely = 1 / (1 + np.exp(-np.abs(logits)))
    right = (logits > 0) == np.array([one.answer for _, one in held])
    least = least_probability(likely, right, np.array([file for file, _ in held]))
    said = likely >= least
    return {"least": least, "questions": len(held), "said": int(said.sum()), "right": int(right[said].sum())}


def least_probability(likely: Probabilities, right: Rights, sources: NDArray[np.str_]) -> float:
    """Find the lowest probability from which on at most a share ``_RISK`` of the labels is wrong.

    The exact bound of ``threshold_at_risk`` must hold for all questions together and for each source by itself, since
    users ask neither BoolQ's nor CondaQA's mixture. A source without a bound must have fewer than ``_FEWEST`` labels.

    :param likely: the probability of each question's label. *Shape:* (questions,), like the others.
    :return: the probability; 1 if no bound holds, so that no label is given.
    """
    together = threshold_at_risk(likely, right, _RISK)
    if together is None:
        return 1.0
    least, unknown = together[0], []
    for source in dict.fromkeys(sources.tolist()):
        own = sources == source
        if known := threshold_at_risk(likely[own], right[own], _RISK):
            least = max(least, known[0])
        else:
            unknown.append(own)
    if any((likely[own] >= least).sum() >= _FEWEST for own in unknown):
        return 1.0
    return round(least, 4)
