"""How sure first answers are: fitted so that they are right as often as they say, without their own articles."""

from __future__ import annotations

import numpy as np

from deformer_qa.lab.fit.confidences import FirstAnswer, arrays, fit_confidence
from deformer_qa.lab.measure.confidence import expected_calibration_error
from deformer_qa.pipeline.rank import first_signs


def _answers(n: int, seed: int) -> list[FirstAnswer]:
    """Answers whose share says half of what there is to know; that of "no answer" says the rest."""
    chance = np.random.default_rng(seed)
    made = []
    for number in range(n):
        log_odds, none = chance.normal(), chance.random()
        signs = first_signs(float(1 / (1 + np.exp(-log_odds))), none)
        right = chance.random() < 1 / (1 + np.exp(-(log_odds - 2 * (none > 0.5))))
        share = float(1 / (1 + np.exp(-log_odds)))
        made.append(FirstAnswer("kind", f"article {number % 40}", signs, share, bool(right), True, 0.5))
    return made


def test_confidences_hold_on_answers_that_were_not_fitted() -> None:
    weights, _ = fit_confidence(_answers(2_000, seed=1))
    others = _answers(2_000, seed=2)
    right = arrays(others)[1]
    sure = np.array([weights.confidence(one.signs) for one in others])
    assert expected_calibration_error(sure, right) < 0.04
    assert expected_calibration_error(arrays(others)[0], right) > 0.1


def test_held_out_confidences_come_with_the_weights_and_an_answerless_question_keeps_none() -> None:
    answers = [*_answers(400, seed=3), FirstAnswer("kind", "article 1", (), 0.0, False, True, 0.1)]
    weights, judged = fit_confidence(answers)
    assert [one.signs for one in judged] == [one.signs for one in answers]
    assert judged[-1].confidence == 0.0
    held_out, right = arrays(judged[:-1])
    assert expected_calibration_error(held_out, right) < 0.08
    fitted = np.array([weights.confidence(one.signs) for one in judged[:-1]])
    assert not np.allclose(held_out, fitted, atol=1e-6)  # nobody's own article was fitted on


def test_answers_that_are_all_right_are_nearly_sure() -> None:
    weights, judged = fit_confidence([one for one in _answers(200, seed=4) if one.is_right])
    assert all(one.confidence > 0.9 for one in judged)
    assert weights.confidence(judged[0].signs) > 0.9
