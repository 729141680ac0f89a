"""Span decoding against trying every span."""

from __future__ import annotations

import numpy as np
import pytest

from deformer_qa.reader.borders.span_borders import SpanBorders
from deformer_qa.reader.spans import best_spans


def _by_trying_all(logits: np.ndarray, n_best: int, max_tokens: int) -> list[tuple[int, int]]:
    spans = [
        (float(logits[i, 0]) + float(logits[j, 1]), i, j)
        for i in range(1, len(logits) - 1)
        for j in range(i, min(i + max_tokens, len(logits) - 1))
    ]
    kept: list[tuple[int, int]] = []
    for _, i, j in sorted(spans, key=lambda one: -one[0]):
        if all(j < a or b < i for a, b in kept):
            kept.append((i, j))
        if len(kept) == n_best:
            break
    return kept


@pytest.mark.parametrize("seed", range(30))
def test_the_best_span_is_the_best_of_all(seed: int) -> None:
    chance = np.random.default_rng(seed)
    logits = chance.normal(size=(int(chance.integers(3, 60)), 2)).astype(np.float32)
    max_tokens = int(chance.integers(1, 35))
    found = best_spans(logits, 1, max_tokens)
    assert [(one.first, one.last) for one in found] == _by_trying_all(logits, 1, max_tokens)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("strength", [0, 20])
def test_of_spans_that_overlap_only_the_better_one_is_kept(seed: int, strength: int) -> None:
    chance = np.random.default_rng(seed)
    logits = chance.normal(size=(60, 2)).astype(np.float32)
    logits[10, 0] += strength
    logits[20, 1] += strength
    found = best_spans(logits, 3)
    assert [(one.first, one.last) for one in found] == _by_trying_all(logits, 3, 30)
    assert len(found) == 3


def test_no_span_goes_over_a_blank_line() -> None:
    text = "One two\n\nthree\n \n\n four five\nsix"
    words = ("One", "two", "three", "four", "five", "six")
    offsets = [(0, 0), *((text.index(word), text.index(word) + len(word)) for word in words), (0, 0)]
    borders = SpanBorders.of(text, offsets)
    assert borders.unit.tolist() == [-1, 0, 0, 1, 2, 2, 2, -1]
    logits = np.zeros((8, 2), np.float32)
    logits[2, 0] = logits[3, 1] = 9
    logits[2, 1] = 5
    (over,), (cut,) = best_spans(logits), best_spans(logits, borders=borders)
    assert (over.first, over.last, cut.first, cut.last) == (2, 3, 2, 2)
    assert (over.score, over.margin) == (cut.score, cut.margin)
    assert [one.score for one in best_spans(logits, 9)] == [one.score for one in best_spans(logits, 9, 30, borders)]
    every = best_spans(np.ones((8, 2), np.float32), 9, 6, borders)
    assert all(borders.unit[one.first] == borders.unit[one.last] for one in every)


def test_score_and_margin_are_the_sums_they_say() -> None:
    logits = np.array([[0.5, 0.25], [1, 0], [0, 2], [9, 9]], np.float32)
    (span,) = best_spans(logits)
    assert (span.first, span.last, span.score, span.margin) == (1, 2, 3.0, 2.25)


def test_special_tokens_are_never_an_answer() -> None:
    logits = np.array([[9, 9], [0, 0], [9, 9]], np.float32)
    assert [(one.first, one.last) for one in best_spans(logits, 5)] == [(1, 1)]


def test_a_passage_without_tokens_has_no_span() -> None:
    assert best_spans(np.zeros((2, 2), np.float32)) == []


def test_spans_can_be_sought_within_some_rows() -> None:
    chance = np.random.default_rng(3)
    logits = chance.normal(size=(60, 2)).astype(np.float32)
    found = best_spans(logits, 3, 10, within=(20, 31))
    assert all(20 <= one.first <= one.last <= 31 for one in found)
    alone = np.full_like(logits, -50)
    alone[20:32] = logits[20:32]
    assert [(one.first, one.last) for one in found] == _by_trying_all(alone, 3, 10)
