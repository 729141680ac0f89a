"""Rank the spans of all candidates with one conditional logit, and tell how sure the first one is.

Every span has a utility that is linear in features of the reader, the retrieval and the span's words; "no answer in
these documents" has utility 0. The softmax over all utilities ranks the spans and gives the probability of no answer
(McFadden 1974). Its shares are the confidences, unless the reader has ``ConfidenceWeights`` for its first answers.
``qa train ranking`` fits both on questions that a recipe held back, and writes them to reader.json.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deformer_qa.pipeline.clues import Clues
from deformer_qa.pipeline.results import Place
from deformer_qa.pipeline.retrieve import Candidate
from deformer_qa.reader.borders.span_borders import SpanBorders
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.spans import TokenSpan, signs

FEATURES = (
    *("margin", "score", "start", "end", "length", "in_sentence", "in_passage", "repeats", "fits", "misfits"),
    *("spells", "dense", "bm25_share", "fused", "rank", "constant"),
)
"""Features of the span: its margin and score, the log-probabilities of its start and end in its passage, and the
logarithm of its length. Features of its words (``clues``): the share of the question's words in its sentence and in its
passage; the share of its own words that are in the question; whether it looks as the question asks, or does not;
whether it spells the abbreviation asked about. Features of its passage: the scores of the retrieval, and one over its
rank."""
PRIOR = {"spells": 5.0}
"""Weights of newer features, for readers fitted without them; a fit is regularised towards these. 190 SQuAD questions
ask for an abbreviation that words of their paragraph spell: these words were right in 178, and rivals are mostly within
two, so 5 is about log(178 / 12) plus two. The fitted questions have too few of this kind."""
PASSAGE_FEATURES = ("dense", "bm25_share", "fused", "rank", "constant")
"""The features that a passage has before it is read."""
_N_OF_SPAN = len(FEATURES) - len(PASSAGE_FEATURES)
GIVEN_FEATURES = tuple(name for name in FEATURES if name not in PASSAGE_FEATURES or name == "constant")
"""The features that exist without a retrieval; the others then have weight 0."""


class SpanTexts(Protocol):
    """Look up the words of spans and passages, for ranking."""

    def span(self, passage_id: int, span: TokenSpan) -> Place:
        """The place of a span of token rows of a candidate."""

    def context(self, place: Place) -> tuple[str, int]:
        """The sentence, item or table row around a place, and where it starts in the document."""

    def whole(self, passage_id: int) -> str:
        """The passage's lead and text."""

    def borders(self, passage_id: int) -> SpanBorders:
        """Where answers may begin and end in the passage's text."""


@dataclass(frozen=True)
class ReadPassage:
    """A candidate that was read.

    :ivar place: its rank in the retrieval, from 1; None if there was no retrieval
    """

    candidate: Candidate
    logits: NDArray[np.float32]
    place: int | None = None


def features(clues: Clues, passage: ReadPassage, span: TokenSpan, texts: SpanTexts) -> list[float]:
    """Compute a span's features, one value for each name in ``FEATURES``."""
    id_ = passage.candidate.passage_id
    place = texts.span(id_, span)
    fits = clues.fits(place.text)
    values = [
        *signs(passage.logits, span),
        math.log(span.last - span.first + 1),
        clues.share_in(texts.context(place)[0]),
        clues.share_in(texts.whole(id_)),
        clues.share_of(place.text),
        float(fits is True),
        float(fits is False),
        float(clues.spelled_by(place.text)),
    ]
    return values + _of_passage(passage.candidate, passage.place)


def passage_features(candidate: Candidate, place: int | None) -> list[float]:
    """Compute the features of a passage that was not read; those of spans are 0.

    :param place: as ``ReadPassage.place``.
    :return: one value for each name in ``FEATURES``.
    """
    return [0.0] * _N_OF_SPAN + _of_passage(candidate, place)


def moved_features(features: Sequence[float], candidate: Candidate, place: int) -> list[float]:
    """Return a span's features with the scores and the place of its passage exchanged."""
    return [*features[:_N_OF_SPAN], *_of_passage(candidate, place)]


def _of_passage(candidate: Candidate, place: int | None) -> list[float]:
    return [candidate.dense, candidate.bm25_share, candidate.fused, 1.0 / place if place else 0.0, 1.0]


@dataclass(frozen=True)
class RankingWeights:
    """One weight for each of ``FEATURES``."""

    values: tuple[float, ...]

    @classmethod
    def from_mapping(cls, weights: Mapping[str, float]) -> RankingWeights:
        """Read ranking weights of reader.json; a reader without fitted ones ranks by the margin alone."""
        if not weights:
            return cls((1.0, *[0.0] * (len(FEATURES) - 1)))
        weights = {**PRIOR, **weights}
        missing = [name for name in FEATURES if not isinstance(weights.get(name), (int, float))]
        if missing:
            raise UnsupportedModel(f"reader.json: ranking: no number for {', '.join(missing)}; run qa train ranking.")
        return cls(tuple(float(weights[name]) for name in FEATURES))

    def utilities(self, rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Compute the log-odds of each span against "no answer"; *Shape:* (spans,)."""
        utilities: NDArray[np.float64] = np.asarray(rows, np.float64).reshape(-1, len(FEATURES)) @ np.asarray(
            self.values
        )
        return utilities


def confidences(utilities: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Softmax over spans and "no answer": the probability of each span, and that of none being right."""
    top = max(0.0, float(utilities.max(initial=0.0)))
    weights = np.exp(utilities - top)
    total = float(weights.sum()) + float(np.exp(-top))
    return weights / total, float(np.exp(-top)) / total


FIRST_SIGNS = ("log_odds", "log_none", "constant")
"""Inputs of the first answer's confidence: the log-odds of its share of the softmax, and the logarithm of the share of
"no answer". The features of its best span and the looks that the question asks for do not predict it better."""
_LEAST = 1e-4


@dataclass(frozen=True)
class ConfidenceWeights:
    """Tell how sure the first answer is, by a logistic regression over ``FIRST_SIGNS``.

    The softmax compares spans with each other; this says how often the best of them is right.
    """

    values: tuple[float, ...]

    @classmethod
    def from_mapping(cls, weights: Mapping[str, float]) -> ConfidenceWeights | None:
        """Read ``confidence`` of reader.json; None for a reader without it, which uses the softmax's shares."""
        if not weights:
            return None
        missing = [name for name in FIRST_SIGNS if not isinstance(weights.get(name), (int, float))]
        if missing:
            raise UnsupportedModel(
                f"reader.json: confidence: no number for {', '.join(missing)}; run qa train ranking."
            )
        return cls(tuple(float(weights[name]) for name in FIRST_SIGNS))

    def confidence(self, signs: Sequence[float]) -> float:
        """The probability that the first answer is right; strictly between 0 and 1."""
        odds = float(np.dot(self.values, signs))
        return min(max(1 / (1 + math.exp(-max(-30.0, min(30.0, odds)))), _LEAST), 1 - _LEAST)


def first_signs(share: float, none: float) -> tuple[float, ...]:
    """Compute one value for each name in ``FIRST_SIGNS``.

    :param share: the softmax's share of all spans that say what the first answer says.
    :param none: the softmax's share of "no answer".
    """
    share, none = min(max(share, _LEAST), 1 - _LEAST), max(none, _LEAST)
    return math.log(share / (1 - share)), math.log(none), 1.0
