"""Confidences: fitted, measured, and answered at a stated risk."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from deformer_qa.lab.measure.confidence import (
    Calibration,
    area_under_roc,
    expected_calibration_error,
    halves,
    measured,
    risk_coverage,
    threshold_at_risk,
)


def _drawn(chance: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and whether each came true: as often as it says."""
    probabilities = chance.beta(2, 1, n)
    return probabilities, chance.random(n) < probabilities


def test_a_fitted_confidence_says_how_often_it_is_right() -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(size=(8000, 2)) * [1, 30] + [5, 0]
    truth = 1 / (1 + np.exp(-(1.5 * (features[:, 0] - 5) - 0.02 * features[:, 1])))
    right = chance.random(8000) < truth
    fitted = Calibration.fit(features[:4000], right[:4000]).probabilities(features[4000:])
    assert expected_calibration_error(fitted, right[4000:]) < 0.03
    assert abs(fitted - truth[4000:]).mean() < 0.02
    overconfident = np.clip(fitted * 1.5, 0, 1)
    assert expected_calibration_error(overconfident, right[4000:]) > 0.1


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    probabilities, right = _drawn(np.random.default_rng(1), 5000)
    bent = probabilities**2
    share, mean = calibration_curve(right, bent, n_bins=15)
    counts = np.histogram(bent, bins=np.linspace(0, 1, 16))[0]
    expected = (abs(share - mean) * counts[counts > 0]).sum() / 5000
    assert expected_calibration_error(bent, right) == pytest.approx(expected, abs=1e-9)
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0


def test_risk_and_coverage_count_the_most_confident_first() -> None:
    curve = risk_coverage(np.array([0.9, 0.1, 0.8, 0.3]), np.array([True, False, False, True]), n_points=4)
    assert curve == [
        {"coverage": 0.25, "risk": 0.0},
        {"coverage": 0.5, "risk": 0.5},
        {"coverage": 0.75, "risk": pytest.approx(1 / 3)},
        {"coverage": 1.0, "risk": 0.5},
    ]
    assert area_under_roc(np.array([0.9, 0.1]), np.array([True, True])) is None


@pytest.mark.parametrize("risk", [0.05, 0.1, 0.2])
def test_a_threshold_holds_its_risk_but_for_its_delta(risk: float) -> None:
    """The true risk at the threshold, over many draws of the questions it is fitted on."""
    delta, n_broken, coverages = 0.1, 0, []
    chance = np.random.default_rng(2)
    many, came_true = _drawn(chance, 200_000)
    for _ in range(200):
        found = threshold_at_risk(*_drawn(chance, 600), risk, delta)
        if found is None:
            continue
        threshold, bound = found
        assert bound <= risk
        given = many >= threshold
        coverages.append(given.mean())
        n_broken += (~came_true[given]).mean() > risk
    assert n_broken <= 200 * delta
    assert np.mean(coverages) > {0.05: 0.05, 0.1: 0.15, 0.2: 0.4}[risk]  # and it is no idle promise


def test_no_threshold_is_named_where_none_is_known_to_hold() -> None:
    chance = np.random.default_rng(3)
    probabilities, right = _drawn(chance, 1000)
    assert threshold_at_risk(probabilities, chance.random(1000) < 0.5, 0.1) is None
    assert threshold_at_risk(probabilities[:5], np.ones(5, bool), 0.1) is None  # five right answers prove little
    assert threshold_at_risk(np.full(1000, 0.5), chance.random(1000) < 0.95, 0.1) == (
        0.5,
        pytest.approx(0.07, abs=0.03),
    )  # all of equal confidence are answered together
    found = measured(probabilities, right, {0.1: None, 0.5: 0.0})
    assert found["max_risk"]["0.1"]["coverage"] == 0
    assert found["max_risk"]["0.1"]["risk"] is None
    assert found["max_risk"]["0.5"]["coverage"] == 1


def test_halves_part_whole_articles() -> None:
    groups = [f"article {number % 10}" for number in range(100)]
    fitting = halves(groups, 7)
    assert len({one for one, is_in in zip(groups, fitting, strict=True) if is_in}) == 5
    assert fitting.sum() == 50
    assert (halves(groups, 7) == fitting).all()
    assert (halves(groups, 8) != fitting).any()
