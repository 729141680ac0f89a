"""Fusion and ranking: the arithmetic, on values small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from deformer_qa.pipeline.answers import ReadSpan, as_if_alone
from deformer_qa.pipeline.clues import Clues
from deformer_qa.pipeline.rank import (
    FEATURES,
    FIRST_SIGNS,
    PRIOR,
    ConfidenceWeights,
    RankingWeights,
    ReadPassage,
    confidences,
    features,
    first_signs,
    passage_features,
)
from deformer_qa.pipeline.results import Place
from deformer_qa.pipeline.retrieve import Candidate
from deformer_qa.reader.borders.span_borders import SpanBorders
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.spans import TokenSpan


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


N_FEATURES = len(FEATURES)


def test_a_reader_without_fitted_weights_is_ranked_by_its_margin() -> None:
    assert RankingWeights.from_mapping({}).utilities([[3, *[9] * (N_FEATURES - 1)]]).tolist() == [3.0]


def test_weights_are_taken_by_name() -> None:
    weights = dict(zip(FEATURES, range(1, N_FEATURES + 1), strict=True))
    row = [1, *[0] * (N_FEATURES - 2), 1]
    assert RankingWeights.from_mapping(weights).utilities([row]).tolist() == [1 + N_FEATURES]


def test_a_reader_fitted_before_a_feature_has_its_prior() -> None:
    before = {name: 1.0 for name in FEATURES if name not in PRIOR}
    weights = dict(zip(FEATURES, RankingWeights.from_mapping(before).values, strict=True))
    assert weights == {**before, **PRIOR}
    del before["margin"]
    with pytest.raises(UnsupportedModel, match="margin"):
        RankingWeights.from_mapping(before)


class _Texts:
    """One passage with its lead; the span is its third word."""

    lead, text = "Ferries", "Mora sailed in 1931. Nobody knew why."

    def span(self, passage_id: int, span: TokenSpan) -> Place:
        return Place(passage_id, 1, "", "", "", "", {}, {}, 15, 19, "1931")

    def context(self, place: Place) -> tuple[str, int]:
        return "Mora sailed in 1931.", 0

    def whole(self, passage_id: int) -> str:
        return f"{self.lead}\n{self.text}"

    def borders(self, passage_id: int) -> SpanBorders:
        return SpanBorders.of(self.text, [(0, 0), (0, 4), (5, 11), (15, 19), (0, 0)])


def test_features_say_what_reader_retrieval_and_words_say_for_a_span() -> None:
    logits = np.array([[0, 0], [1, 0], [0, 1], [2, 3], [0, 0]], np.float32)
    candidate = Candidate(7, b"", dense=0.5, bm25=2.0, bm25_share=0.25, fused=0.75)
    span = TokenSpan(3, 3, 5.0, 4.0)
    clues = Clues("When did the ferry Mora sail?")
    texts, passage = _Texts(), ReadPassage(candidate, logits, 2)
    made = features(clues, passage, span, texts)
    found = dict(zip(FEATURES, made, strict=True))
    assert (found["margin"], found["score"], found["length"]) == (4.0, 5.0, 0.0)
    assert found["start"] == pytest.approx(2 - np.log(3 + np.e + np.e**2))
    assert found["end"] == pytest.approx(3 - np.log(3 + np.e + np.e**3))
    assert found["in_sentence"] == pytest.approx(2 / 3)  # Mora and sail, not the ferry, which is in the title
    assert found["in_passage"] == pytest.approx(1.0)
    assert (found["repeats"], found["fits"], found["misfits"]) == (0.0, 1.0, 0.0)
    assert found["spells"] == 0.0
    assert (found["dense"], found["bm25_share"], found["fused"]) == (0.5, 0.25, 0.75)
    assert (found["rank"], found["constant"]) == (0.5, 1.0)


def test_a_passage_that_is_not_read_has_what_its_retrieval_says() -> None:
    candidate = Candidate(7, b"", dense=0.5, bm25=None, bm25_share=0.0, fused=0.5)
    found = dict(zip(FEATURES, passage_features(candidate, None), strict=True))
    assert {name for name, value in found.items() if value} == {"dense", "fused", "constant"}


def test_without_the_best_passage_the_others_have_the_places_that_they_would_have() -> None:
    def read(passage_id: int, bm25: float, share: float, fused: float, place: int) -> ReadSpan:
        candidate = Candidate(passage_id, b"", dense=0.5, bm25=bm25, bm25_share=share, fused=fused)
        of_passage = passage_features(candidate, place)
        return ReadSpan(candidate, TokenSpan(1, 1, 2.0, 2.0), [2.0, *of_passage[1:]])

    best, second, third = read(1, 8.0, 1.0, 0.8, 1), read(2, 4.0, 0.5, 0.65, 2), read(3, 2.0, 0.25, 0.575, 3)
    assert as_if_alone([best, second, third], 0.3) == [best, second, third]
    left = as_if_alone([second, second, third], 0.3)
    rows = [dict(zip(FEATURES, one.features, strict=True)) for one in left]
    assert [row["rank"] for row in rows] == [1.0, 1.0, 0.5]
    assert [row["bm25_share"] for row in rows] == [1.0, 1.0, 0.5]
    assert [row["fused"] for row in rows] == pytest.approx([0.8, 0.8, 0.65])
    assert {row["margin"] for row in rows} == {2.0}
    assert as_if_alone([], 0.3) == []


def test_how_sure_the_first_answer_is_lies_between_none_and_all_and_needs_every_weight() -> None:
    assert ConfidenceWeights.from_mapping({}) is None
    weights = ConfidenceWeights.from_mapping(dict.fromkeys(FIRST_SIGNS, 100.0))
    assert weights is not None
    signs = first_signs(1.0, 0.0)
    assert len(signs) == len(FIRST_SIGNS)
    assert all(0 < weights.confidence([scale * one for one in signs]) < 1 for scale in (-1e6, 0.0, 1e6))
    with pytest.raises(UnsupportedModel, match="no number for log_none, constant"):
        ConfidenceWeights.from_mapping(dict.fromkeys(FIRST_SIGNS[:-2], 1.0))
