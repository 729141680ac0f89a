"""Which of the spans of all candidates is the answer, and how sure is that? One conditional logit over spans.

Every span gets a utility, linear in the reader's margin and the retrieval's scores; "no answer in these documents" has
utility 0. The softmax over all of them is the confidence, so ranking, confidence and no-answer are one fitted model
(McFadden 1974). The weights are fitted by ``qa train ranking`` on held-back training articles; reader.json has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deformer_qa.pipeline.retrieval import Candidate
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.spans import TokenSpan

FEATURES = ("margin", "score", "dense", "bm25_share", "fused", "constant")
GIVEN_FEATURES = ("margin", "score", "constant")
"""Those that there are without a retrieval; the others weigh nothing then."""
PASSAGE_FEATURES = ("dense", "bm25_share", "fused", "constant")
"""Those that a passage has before it is read."""


def features(span: TokenSpan, candidate: Candidate) -> list[float]:
    """One value for each name in ``FEATURES``."""
    return [span.margin, span.score, *passage_features(candidate)[2:]]


def passage_features(candidate: Candidate) -> list[float]:
    """One value for each name in ``FEATURES``, of a passage that was not read: 0 where a span is meant."""
    return [0.0, 0.0, candidate.dense, candidate.bm25_share, candidate.fused, 1.0]


@dataclass(frozen=True)
class RankingWeights:
    """One weight for each of ``FEATURES``."""

    values: tuple[float, ...]

    @classmethod
    def from_mapping(cls, weights: Mapping[str, float]) -> RankingWeights:
        """From reader.json; a reader without fitted weights is ranked by its margin alone."""
        if not weights:
            return cls((1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
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
