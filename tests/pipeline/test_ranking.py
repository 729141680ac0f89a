"""Fusion and ranking: the arithmetic, on values small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from deformer_qa.pipeline.ranking import FEATURES, RankingWeights, confidences


def test_confidences_are_the_softmax_over_spans_and_no_answer() -> None:
    probabilities, none = confidences(np.array([1.0, 2.0]))
    total = np.e + np.e**2 + 1
    assert probabilities == pytest.approx([np.e / total, np.e**2 / total])
    assert none == pytest.approx(1 / total)


def test_without_spans_no_answer_is_certain() -> None:
    probabilities, none = confidences(np.array([]))
    assert (len(probabilities), none) == (0, 1.0)


def test_large_utilities_do_not_overflow() -> None:
    probabilities, none = confidences(np.array([1000.0, -1000.0]))
    assert probabilities.tolist() == [1.0, 0.0]
    assert none == 0.0


def test_a_reader_without_fitted_weights_is_ranked_by_its_margin() -> None:
    assert RankingWeights.from_mapping({}).utilities([[3, 9, 9, 9, 9, 1]]).tolist() == [3.0]


def test_weights_are_taken_by_name() -> None:
    weights = dict(zip(FEATURES, [1, 2, 3, 4, 5, 6], strict=True))
    assert RankingWeights.from_mapping(weights).utilities([[1, 0, 0, 0, 0, 1]]).tolist() == [7.0]
