"""Fit how sure first answers are, and the thresholds of the outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from deformer_qa.lab.fit.ranking import Judged, kind_weight
from deformer_qa.lab.measure.confidence import area_under_roc, expected_calibration_error
from deformer_qa.lab.measure.open import is_right
from deformer_qa.pipeline.answers import answered
from deformer_qa.pipeline.ask import part_around
from deformer_qa.pipeline.outcomes import OutcomeRule
from deformer_qa.pipeline.questions import wanted_by
from deformer_qa.pipeline.rank import ConfidenceWeights, RankingWeights, first_signs

_MOST_TOLD_NOTHING = 0.025
"""Of questions whose answer is in the passages read, the share that may get the outcome "nothing"."""
_WORTH_A_GUESS = 0.2
"""An answer likelier than this is shown as a guess, however dissimilar its passage is."""
_STEPS = 40
_FOLDS = 5
_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse penalties of the logistic regression, among which cross-validation chooses."""
_LEAST = 0.005  # floor of the probability of the true outcome, in the log loss


@dataclass(frozen=True)
class FirstAnswer:
    """The first answer to a question, and whether it is right.

    :ivar group: the question's article or table
    :ivar signs: the inputs of its confidence, see ``rank.FIRST_SIGNS``; empty if there is no answer
    :ivar is_findable: whether a right answer was among the spans read
    :ivar dense: similarity of the nearest passage
    """

    kind: str
    group: str
    signs: tuple[float, ...]
    confidence: float
    is_right: bool
    is_findable: bool
    dense: float


def first_answers(
    questions: Sequence[Judged], weights: RankingWeights, sure: ConfidenceWeights | None = None
) -> list[FirstAnswer]:
    """Return the first answer to each question, as asking merges spans.

    :param sure: gives its confidence, which is its share of the softmax if None, and 0 if there is no answer.
    """
    return [_first(one, weights, sure) for one in questions]


def _first(one: Judged, weights: RankingWeights, sure: ConfidenceWeights | None) -> FirstAnswer:
    question, spans, places = one.asked.question.question, one.spans, one.read.places
    wanted = wanted_by(question)
    found, none = answered(question, wanted, spans, weights, places, 1, whole=part_around(wanted, places))
    dense = max((span.candidate.dense for span in spans), default=0.0)
    if not found:
        return FirstAnswer(one.asked.kind, one.asked.group, (), 0.0, False, any(one.right), dense)
    best = found[0]
    in_gold = best.place.document == one.read.question.gold_document
    right = one.asked.is_answerable and (
        is_right(best.place.text, one.read.golds, in_gold)
        or (best.long is not None and in_gold and any(gold in best.long.text for gold in one.read.golds))
    )
    signs = first_signs(best.confidence, none)
    confidence = sure.confidence(signs) if sure else best.confidence
    return FirstAnswer(one.asked.kind, one.asked.group, signs, confidence, right, any(one.right), dense)


def fit_confidence(answers: Sequence[FirstAnswer]) -> tuple[ConfidenceWeights, list[FirstAnswer]]:
    """Fit the confidence of first answers by penalised likelihood; kinds have the weights of the ranking's fit.

    :return: the weights, and the answers with cross-fitted confidences: five folds by article and table, so that no
        figure or threshold comes from a question that its weights were fitted on.
    """
    there = [one for one in answers if one.signs]
    signs, right = np.array([one.signs[:-1] for one in there]), np.array([one.is_right for one in there])
    kinds = [one.kind for one in there]
    shares = np.array([kind_weight(kind) / kinds.count(kind) for kind in kinds])
    groups = np.array([one.group for one in there])
    n_folds = min(_FOLDS, len(set(groups)))
    if n_folds < 2:
        return ConfidenceWeights(tuple(_logistic(signs, right, shares, _STRENGTHS[0]).tolist())), list(answers)
    folds = [test for _, test in GroupKFold(n_folds).split(signs, right, groups)]
    _, strength, held = min(
        (_cross_fitted(signs, right, shares, folds, strength) for strength in _STRENGTHS), key=lambda one: one[0]
    )
    weights = _logistic(signs, right, shares, strength)
    sure = iter(held.tolist())
    judged = [replace(one, confidence=next(sure)) if one.signs else one for one in answers]
    return ConfidenceWeights(tuple(round(float(value), 6) for value in weights)), judged


def _cross_fitted(
    signs: NDArray[np.float64],
    right: NDArray[np.bool_],
    shares: NDArray[np.float64],
    folds: Sequence[NDArray[np.int64]],
    strength: float,
) -> tuple[float, float, NDArray[np.float64]]:
    """Return the log loss, the strength, and each answer's confidence by the weights of the other folds."""
    found = np.zeros(len(right))
    for test in folds:
        train = np.setdiff1d(np.arange(len(right)), test)
        weights = ConfidenceWeights(tuple(_logistic(signs[train], right[train], shares[train], strength)))
        found[test] = [weights.confidence([*row, 1.0]) for row in signs[test]]
    likelihood = np.clip(np.where(right, found, 1 - found), _LEAST, 1)
    return float(-(shares * np.log(likelihood)).sum() / shares.sum()), strength, found


def _logistic(
    signs: NDArray[np.float64], right: NDArray[np.bool_], shares: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Fit weights of signs and constant, *Shape:* (signs + 1,). The penalty applies to signs scaled to variance 1."""
    if len(set(right.tolist())) < 2:  # one class only
        return np.array([*[0.0] * signs.shape[1], 3.0 if right.any() else -3.0])
    mean, spread = signs.mean(axis=0), signs.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    model = LogisticRegression(C=strength, max_iter=1_000)
    model.fit((signs - mean) / spread, right, sample_weight=shares * len(right) / shares.sum())
    slopes = model.coef_[0] / spread
    return np.array([*slopes, model.intercept_[0] - float(slopes @ mean)])


def figures(answers: Sequence[FirstAnswer]) -> dict[str, dict[str, Any]]:
    """Compute figures by kind and for all: how many first answers are right, and how well calibrated they are."""
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
    """Return the confidences and whether each answer is right, *Shape:* (answers,) each."""
    return np.array([one.confidence for one in answers], np.float64), np.array([one.is_right for one in answers])


def fit_nothing_found(answers: Sequence[FirstAnswer]) -> dict[str, float]:
    """Fit the confidence and similarity below which the outcome is "nothing", to catch most unanswerable questions.

    Of the questions whose answer was read, at most a share ``_MOST_TOLD_NOTHING`` of any kind may get that outcome.
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
            if max(shares) <= _MOST_TOLD_NOTHING:  # of equal pairs the lowest
                n_right, n_wrong = int(told[~findable].sum()), int(told[findable].sum())
                best = max(best, (n_right, -n_wrong, -round(float(a), 4), -round(float(b), 4)))
    return {"confidence": min(-best[2], _WORTH_A_GUESS), "dense": -best[3]}
