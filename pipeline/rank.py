"""Which of the spans of all candidates is the answer, and how sure is that? One conditional logit over spans.

Every span gets a utility, linear in what the reader, the retrieval and its words say for it; "no answer in these
documents" has utility 0. The softmax over all of them ranks, and says how likely no answer is (McFadden 1974). Its
shares are the confidences, unless the reader has ``ConfidenceWeights`` for its first answers. ``qa train ranking`` fits
both on what a recipe held back; reader.json has them.
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
from deformer_qa.reader.borders.units import Statement
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.spans import TokenSpan, signs

FEATURES = (
    *("margin", "score", "start", "end", "length", "in_sentence", "in_passage", "repeats", "fits", "misfits"),
    *("pointed_at", "row_pointed_at", "spells"),
    *("dense", "bm25_share", "fused", "rank", "constant"),
)
"""Of the span: its margin and score, log-probabilities of its start and end in its passage, the logarithm of its
length. Of its words: the share of the question's words in its sentence and in its passage, the share of its own that
the question has, whether it looks as the question asks, or does not, how much of the question points at its sentence
and not at others of the passage, the same if that is a row of a table, whether it spells the abbreviation asked about
(``clues``). Of its passage: the scores of the retrieval, and one over its place in their order."""
PRIOR = {"pointed_at": 0.0, "row_pointed_at": 0.0, "spells": 5.0}
"""Weights of features that a reader fitted before them has no number for; a fit is pulled to these. Of 190 questions of
SQuAD for an abbreviation that words of their paragraph spell, these words were right in 178, and rivals are mostly
within two: 5 is about log(178 / 12) and two. Questions for one are too rare among those that are fitted."""
PASSAGE_FEATURES = ("dense", "bm25_share", "fused", "rank", "constant")
"""Those that a passage has before it is read."""
_N_OF_SPAN = len(FEATURES) - len(PASSAGE_FEATURES)
GIVEN_FEATURES = tuple(name for name in FEATURES if name not in PASSAGE_FEATURES or name == "constant")
"""Those that there are without a retrieval; the others weigh nothing then."""


class SpanTexts(Protocol):
    """What ranking must know of the words of a span."""

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

    :ivar place: in the order of the retrieval, from 1; None where there was no retrieval
    """

    candidate: Candidate
    logits: NDArray[np.float32]
    place: int | None = None


def features(
    clues: Clues, passage: ReadPassage, span: TokenSpan, texts: SpanTexts, pointed: Sequence[tuple[Statement, float]]
) -> list[float]:
    """One value for each name in ``FEATURES``.

    :param pointed: of the passage's text, see ``Clues.pointed_at``.
    """
    id_ = passage.candidate.passage_id
    place, borders = texts.span(id_, span), texts.borders(id_)
    fits = clues.fits(place.text)
    start, end = int(borders.starts[span.first]), int(borders.ends[span.last])
    around = [(one, share) for one, share in pointed if one.end > start and one.start < end]
    share = max((share for _, share in around), default=0.0)
    values = [
        *signs(passage.logits, span),
        math.log(span.last - span.first + 1),
        clues.share_in(texts.context(place)[0]),
        clues.share_in(texts.whole(id_)),
        clues.share_of(place.text),
        float(fits is True),
        float(fits is False),
        share,
        share if any(one.is_row for one, _ in around) else 0.0,
        float(clues.spelled_by(place.text)),
    ]
    return values + _of_passage(passage.candidate, passage.place)


def passage_features(candidate: Candidate, place: int | None) -> list[float]:
    """One value for each name in ``FEATURES``, of a passage that was not read: 0 where a span is meant.

    :param place: as ``ReadPassage.place``.
    """
    return [0.0] * _N_OF_SPAN + _of_passage(candidate, place)


def moved_features(features: Sequence[float], candidate: Candidate, place: int) -> list[float]:
    """A span's features if its passage had other scores and another place."""
    return [*features[:_N_OF_SPAN], *_of_passage(candidate, place)]


def _of_passage(candidate: Candidate, place: int | None) -> list[float]:
    return [candidate.dense, candidate.bm25_share, candidate.fused, 1.0 / place if place else 0.0, 1.0]


@dataclass(frozen=True)
class RankingWeights:
    """One weight for each of ``FEATURES``."""

    values: tuple[float, ...]

    @classmethod
    def from_mapping(cls, weights: Mapping[str, float]) -> RankingWeights:
        """From reader.json; a reader without fitted weights is ranked by its margin alone."""
        if not weights:
            return cls((1.0, *[0.0] * (len(FEATURES) - 1)))
        weights = {**PRIOR, **weights}
        missing = [name for name in FEATURES if not isinstance(weights.get(name), (int, float))]
        if missing:
            raise UnsupportedModel(f"reader.json: ranking: no number for {', '.join(missing)}; run qa train ranking.")
        return cls(tuple(float(weights[name]) for name in FEATURES))

    def utilities(self, rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """*Shape:* (spans,): log-odds of each span against "no answer"."""
        utilities: NDArray[np.float64] = np.asarray(rows, np.float64).reshape(-1, len(FEATURES)) @ np.asarray(
            self.values
        )
        return utilities


def confidences(utilities: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The softmax over spans and "no answer": probabilities of the spans, and that of none being right."""
    top = max(0.0, float(utilities.max(initial=0.0)))
    weights = np.exp(utilities - top)
    total = float(weights.sum()) + float(np.exp(-top))
    return weights / total, float(np.exp(-top)) / total


FIRST_SIGNS = ("log_odds", "log_none", *FEATURES[:-1], "number", "date", "name", "long", "constant")
"""What the confidence of the first answer hangs on: the log-odds of its share of the softmax, the logarithm of that of
"no answer", the features of its best span, how the question says that answers look, and whether it wants a sentence."""
_LEAST = 1e-4


@dataclass(frozen=True)
class ConfidenceWeights:
    """How sure the first answer is: a logistic regression over ``FIRST_SIGNS``.

    The softmax compares spans. That the best of them is right is another question: its rivals are many where a passage
    has many numbers, and few in a table of two rows.
    """

    values: tuple[float, ...]

    @classmethod
    def from_mapping(cls, weights: Mapping[str, float]) -> ConfidenceWeights | None:
        """From reader.json; None for a reader without them, whose confidences are shares of the softmax."""
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


def first_signs(clues: Clues, is_long: bool, share: float, none: float, features: Sequence[float]) -> list[float]:
    """One value for each name in ``FIRST_SIGNS``.

    :param share: of the softmax, of all spans that say what the first answer says.
    :param none: that of "no answer".
    :param features: of the answer's best span.
    """
    share, none = min(max(share, _LEAST), 1 - _LEAST), max(none, _LEAST)
    looks = [float(clues.look == look) for look in ("number", "date", "name")]
    return [math.log(share / (1 - share)), math.log(none), *features[:-1], *looks, float(is_long), 1.0]
