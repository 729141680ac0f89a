"""From which probability on a yes or no is said: known for each source of questions, or not said at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deformer_qa.lab.fit.labels import least_probability


def answers(n: int, known_from: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities between 0.5 and 1; labels from a probability on are right, of the others every second one."""
    likely = np.random.default_rng(seed).uniform(0.5, 1, n)
    return likely, (likely >= known_from) | (np.arange(n) % 2 == 0)


def test_labels_are_said_from_where_four_in_five_are_known_to_be_right() -> None:
    likely, right = answers(2_000, 0.8, 1)
    least = least_probability(likely, right, np.full(2_000, "one"))
    assert 0.55 < least < 0.8
    assert right[likely >= least].mean() > 0.8


def test_each_source_is_to_be_right_by_itself() -> None:
    easy, right_easy = answers(1_800, 0.6, 2)
    hard, right_hard = answers(200, 0.9, 3)
    likely, right = np.concatenate([easy, hard]), np.concatenate([right_easy, right_hard])
    alone = least_probability(likely, right, np.full(2_000, "one"))
    apart = least_probability(likely, right, np.array(["easy"] * 1_800 + ["hard"] * 200))
    assert alone < 0.65
    assert apart > 0.8


def test_a_source_whose_labels_are_guesses_forbids_them_unless_it_has_few() -> None:
    likely, right = answers(1_800, 0.8, 4)
    guessed = np.random.default_rng(5).uniform(0.5, 1, 200)
    sources = np.array(["known"] * 1_800 + ["guessed"] * 200)
    assert least_probability(np.append(likely, guessed), np.append(right, np.arange(200) % 2 == 0), sources) == 1.0
    unsure = 0.5 + (guessed - 0.5) / 100  # the same guesses, told as such
    assert least_probability(np.append(likely, unsure), np.append(right, np.arange(200) % 2 == 0), sources) < 0.8


def test_nothing_is_known_of_a_handful_or_of_guesses() -> None:
    likely, right = answers(10, 0.5, 6)
    assert least_probability(likely, right, np.full(10, "one")) == 1.0
    likely, _ = answers(2_000, 0.5, 7)
    assert least_probability(likely, np.arange(2_000) % 2 == 0, np.full(2_000, "one")) == 1.0
