"""Fit and measure confidences, and find the threshold for answering at a stated risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.pipeline.errors import NothingToMeasure

N_BINS = 15
DELTA = 0.05
"""The probability that the risk of a threshold is higher than stated, over the draw of the questions for the fit."""
_CURVE_POINTS = 20
_FIRST_SHARES = (0.025, 0.05, 0.1, 0.2)
_SHARE_STEP = 0.01

Probabilities = NDArray[np.float64]
Rights = NDArray[np.bool_]


@dataclass(frozen=True)
class Calibration:
    """Predict the probability of being right by a logistic regression (Platt 1999) on standardised features."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    constant: float

    @classmethod
    def fit(cls, features: NDArray[np.float64], right: Rights) -> Calibration:
        """:param features: *Shape:* (questions, features). :param right: *Shape:* (questions,), with both values."""
        from sklearn.linear_model import LogisticRegression

        mean, scale = features.mean(0), np.maximum(features.std(0), 1e-9)
        model = LogisticRegression().fit((features - mean) / scale, right)
        return cls(mean, scale, model.coef_[0], float(model.intercept_[0]))

    def probabilities(self, features: NDArray[np.float64]) -> Probabilities:
        """Return the probability of being right, *Shape:* (questions,)."""
        logits = (features - self.mean) / self.scale @ self.weights + self.constant
        made: Probabilities = 1 / (1 + np.exp(-logits))
        return made


def expected_calibration_error(probabilities: Probabilities, right: Rights, n_bins: int = N_BINS) -> float:
    """Average over questions |share right - mean probability| of their bin; bins of equal width (Guo et al. 2017)."""
    bins = np.minimum((probabilities * n_bins).astype(int), n_bins - 1)
    gaps = [
        (bins == one).mean() * abs(right[bins == one].mean() - probabilities[bins == one].mean())
        for one in np.unique(bins)
    ]
    return float(sum(gaps))


def area_under_roc(probabilities: Probabilities, right: Rights) -> float | None:
    """The probability that a right answer is ranked above a wrong one; None if all are right or all wrong."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, probabilities)) if 0 < right.sum() < len(right) else None


def risk_coverage(probabilities: Probabilities, right: Rights, n_points: int = _CURVE_POINTS) -> list[dict[str, float]]:
    """Return the share of wrong answers for several shares of questions answered, the most confident first."""
    wrong = np.cumsum(~right[np.argsort(-probabilities, kind="stable")])
    counts = [max(1, round(len(right) * point / n_points)) for point in range(1, n_points + 1)]
    return [{"coverage": n / len(right), "risk": float(wrong[n - 1]) / n} for n in counts]


def threshold_at_risk(
    probabilities: Probabilities, right: Rights, risk: float, delta: float = DELTA
) -> tuple[float, float] | None:
    """Find the lowest confidence at which at most a share ``risk`` of the answers given is wrong.

    With probability 1 - ``delta`` over the draw of the questions given here, answers at or above the threshold to
    questions drawn like them are wrong at most that often. The method is Learn then Test (Angelopoulos et al. 2021)
    with fixed sequences. Each sequence starts at a share of the questions that is chosen without their labels. It
    lowers the threshold as long as the exact binomial bound on the share of wrong answers holds, at ``delta`` divided
    by the number of sequences.

    :return: the threshold and the bound on the risk there; None if no threshold satisfies the bound.
    """
    from scipy.stats import beta

    order = np.argsort(-probabilities, kind="stable")
    confidence, wrong = probabilities[order], np.cumsum(~right[order])
    found: tuple[float, float] | None = None
    for first in _FIRST_SHARES:
        for share in np.arange(first, 1 + _SHARE_STEP / 2, _SHARE_STEP):
            threshold = float(confidence[min(len(order), max(1, round(share * len(order)))) - 1])
            count = int(np.searchsorted(-confidence, -threshold, side="right"))  # equal confidences are all answered
            n_wrong = int(wrong[count - 1])
            level = delta / len(_FIRST_SHARES)
            bound = 1.0 if n_wrong == count else float(beta.ppf(1 - level, n_wrong + 1, count - n_wrong))
            if bound > risk:
                break
            if found is None or threshold < found[0]:
                found = threshold, bound
    return found


def measured(
    probabilities: Probabilities, right: Rights, thresholds: dict[float, float | None], delta: float = DELTA
) -> dict[str, Any]:
    """Compute all figures of confidences, on questions that nothing was fitted on.

    :param thresholds: the confidence to answer at, by risk; None if there is none.
    """
    return {
        "n": len(right),
        "right": 100 * float(right.mean()),
        "expected_calibration_error": expected_calibration_error(probabilities, right),
        "auroc": area_under_roc(probabilities, right),
        "max_risk": {f"{risk:g}": _at(probabilities, right, one, delta) for risk, one in thresholds.items()},
        "risk_coverage": risk_coverage(probabilities, right),
    }


def _at(probabilities: Probabilities, right: Rights, threshold: float | None, delta: float) -> dict[str, Any]:
    given = probabilities >= threshold if threshold is not None else np.zeros(len(right), bool)
    risk = float((~right[given]).mean()) if given.any() else None
    return {"threshold": threshold, "delta": delta, "coverage": float(given.mean()), "risk": risk}


def halves(groups: Sequence[str] | NDArray[np.str_], seed: int) -> NDArray[np.bool_]:
    """Tell which items belong to the fitting half: whole groups (articles), drawn by the seed."""
    names = sorted(set(groups))
    chosen = set(np.random.default_rng(seed).permutation(names)[: len(names) // 2].tolist())
    return np.array([one in chosen for one in groups])


_SEED = 7
_REPORTED_RISKS = (0.1, 0.2, 0.3)


def calibration_figures(signs: NDArray[np.float64], right: Rights, articles: NDArray[np.str_]) -> dict[str, Any]:
    """Fit confidences on half of the articles, and measure them on the other half.

    :param signs: inputs of the confidence, *Shape:* (answers, signs).
    :param articles: the article of each question, *Shape:* (answers,).
    :raises NothingToMeasure: if a part has no right or no wrong answer.
    """
    fitting = halves(articles, _SEED)
    # A threshold's bound needs questions that its probabilities were not fitted on, so that half is halved again.
    first = fitting & np.isin(articles, articles[fitting][halves(articles[fitting], _SEED)])
    second = fitting & ~first
    if len(set(right[first])) < 2 or not second.any() or fitting.all():
        raise NothingToMeasure("--calibrate: needs right and wrong answers in each part of four articles or more.")
    part = Calibration.fit(signs[first], right[first])
    found = {
        risk: threshold_at_risk(part.probabilities(signs[second]), right[second], risk) for risk in _REPORTED_RISKS
    }
    thresholds = {risk: one[0] if one else None for risk, one in found.items()}
    whole = Calibration.fit(signs[fitting], right[fitting])
    figures = measured(whole.probabilities(signs[~fitting]), right[~fitting], {})
    at_risk = measured(part.probabilities(signs[~fitting]), right[~fitting], thresholds)
    return {"n_fitted": int(fitting.sum()), **figures, "max_risk": at_risk["max_risk"]}
