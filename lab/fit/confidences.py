"""How sure asking's first answers are, what becomes of them, and from where on each outcome is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.lab.fit.ranking import Judged, kind_weight
from deformer_qa.lab.measure.confidence import area_under_roc, expected_calibration_error
from deformer_qa.lab.measure.open import is_right
from deformer_qa.pipeline.answers import first_answer
from deformer_qa.pipeline.outcomes import OutcomeRule
from deformer_qa.pipeline.rank import RankingWeights

_SCALES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
_OFFSETS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
_MOST_TOLD_NOTHING = 0.025
"""Share of the questions with an answer among the passages read that may be told that nothing was found."""
_WORTH_A_GUESS = 0.2
"""An answer likelier than this is shown as a guess, wherever it stands."""
_STEPS = 40
_LEAST = 0.005  # probability of what came true, for the log loss


@dataclass(frozen=True)
class FirstAnswer:
    """What asking says first.

    :ivar is_findable: whether a right answer was among what was read
    :ivar dense: similarity of the nearest passage
    """

    kind: str
    confidence: float
    is_right: bool
    is_findable: bool
    dense: float


def first_answers(questions: Sequence[Judged], weights: RankingWeights) -> list[FirstAnswer]:
    """The first answer of each question, as asking merges spans; its confidence is 0 where there is none."""
    return [_first(one, weights) for one in questions]


def calibrated(questions: Sequence[Judged], weights: RankingWeights) -> RankingWeights:
    """The weights times a number, another added to the constant, under which first answers are as sure as right.

    Likelihood over all spans leaves the first answer too unsure, as its rivals are many. A scale and an offset keep the
    order of spans, all but where spans that say the same are summed. Chosen by the log loss of whether the first answer
    is right, kinds weighed as the ranking's fit weighs them.
    """
    kinds = [one.asked.kind for one in questions]
    shares = np.array([kind_weight(kind) / kinds.count(kind) for kind in kinds])

    def loss(candidate: RankingWeights) -> float:
        confidence, right = arrays(first_answers(questions, candidate))
        likelihood = np.where(right, confidence, 1 - confidence)
        return float(-(shares * np.log(np.clip(likelihood, _LEAST, 1))).sum() / shares.sum())

    return min((_moved(weights, scale, offset) for scale in _SCALES for offset in _OFFSETS), key=loss)


def _moved(weights: RankingWeights, scale: float, offset: float) -> RankingWeights:
    values = [round(scale * value, 6) for value in weights.values]
    return RankingWeights((*values[:-1], round(values[-1] + offset, 6)))


def _first(one: Judged, weights: RankingWeights) -> FirstAnswer:
    spans = one.spans
    best, _ = first_answer(one.asked.question.question, spans, weights, one.read.places)
    in_gold = best is not None and best.place.document == one.read.question.gold_document
    right = best is not None and one.asked.is_answerable and is_right(best.place.text, one.read.golds, in_gold)
    dense = max((span.candidate.dense for span in spans), default=0.0)
    return FirstAnswer(one.asked.kind, best.confidence if best else 0.0, right, any(one.right), dense)


def figures(answers: Sequence[FirstAnswer]) -> dict[str, dict[str, Any]]:
    """By kind, and for all: how many are right first, how far confidences can be trusted."""
    kinds = dict.fromkeys(one.kind for one in answers)
    by_kind = {kind: [one for one in answers if one.kind == kind] for kind in kinds}
    return {name: _figures(some) for name, some in {**by_kind, "all": list(answers)}.items()}


def _figures(answers: Sequence[FirstAnswer]) -> dict[str, Any]:
    confidence, right = arrays(answers)
    findable = np.array([one.is_findable for one in answers])
    sure = confidence >= 0.8
    return {
        "n": len(answers),
        "findable": 100 * float(findable.mean()),
        "right_first": 100 * float(right.mean()),
        "right_of_findable": 100 * float(right[findable].mean()) if findable.any() else None,
        "expected_calibration_error": expected_calibration_error(confidence, right),
        "auroc": area_under_roc(confidence, right),
        "wrong_at_0.5": 100 * float(((confidence >= 0.5) & ~right).mean()),
        "wrong_of_0.8": 100 * float((~right[sure]).mean()) if sure.any() else None,
    }


def arrays(answers: Sequence[FirstAnswer]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences and whether each is right, *Shape:* (answers,) each."""
    return np.array([one.confidence for one in answers], np.float64), np.array([one.is_right for one in answers])


def fit_nothing_found(answers: Sequence[FirstAnswer]) -> dict[str, float]:
    """Confidence and similarity below which nothing is found, so that the most unanswerable questions are told so.

    Of the questions whose answer was read, at most a share ``_MOST_TOLD_NOTHING`` of any kind may be told the same.
    """
    confidence = np.array([one.confidence for one in answers])
    dense = np.array([one.dense for one in answers])
    findable = np.array([one.is_findable for one in answers])
    kinds = np.array([one.kind for one in answers])
    kinds_found = [kind for kind in dict.fromkeys(kinds.tolist()) if (findable & (kinds == kind)).sum() > 20]
    if not kinds_found:
        return {"confidence": OutcomeRule().nothing_confidence, "dense": OutcomeRule().nothing_dense}
    best = (0, 0, 0.0, 0.0)
    for a in np.linspace(0, 0.5, _STEPS + 1):
        for b in np.linspace(0, 1, _STEPS + 1):
            told = (confidence < a) & (dense < b)
            shares = [told[findable & (kinds == kind)].mean() for kind in kinds_found]
            if max(shares) <= _MOST_TOLD_NOTHING:  # of equal ones the mildest
                n_right, n_wrong = int(told[~findable].sum()), int(told[findable].sum())
                best = max(best, (n_right, -n_wrong, -round(float(a), 4), -round(float(b), 4)))
    return {"confidence": min(-best[2], _WORTH_A_GUESS), "dense": -best[3]}
