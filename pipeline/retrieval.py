"""Which passages are worth reading? Dense and BM25 rankings of the whole store, fused by reciprocal rank."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import Snapshot

RRF_CONSTANT = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""
DEPTH = 100
"""Passages of each ranking that are fused; more where more candidates are asked for."""

Method = Literal["fused", "dense", "bm25"]


@dataclass(frozen=True)
class Candidate:
    """A retrieved passage.

    :ivar dense: inner product of the question's and the passage's vectors, 0 where the question was not encoded
    :ivar bm25: BM25 score; None where it is not among the first of that ranking
    :ivar bm25_share: BM25 score over that of the best passage, 0 where there is none
    :ivar fused: sum of 1 / (60 + rank) over the rankings that have it
    """

    passage_id: int
    key: bytes
    dense: float
    bm25: float | None
    bm25_share: float
    fused: float


@dataclass(frozen=True)
class Retrieved:
    """Passage ids by each ranking, best first."""

    dense: tuple[int, ...]
    bm25: tuple[int, ...]
    fused: tuple[int, ...]
    bm25_scores: dict[int, float]
    fused_scores: dict[int, float]

    def by(self, method: Method) -> tuple[int, ...]:
        """One of the rankings."""
        return {"dense": self.dense, "bm25": self.bm25, "fused": self.fused}[method]


def retrieve(
    snapshot: Snapshot,
    question: str,
    vector: NDArray[np.float32] | None,
    depth: int = DEPTH,
    among: Collection[int] | None = None,
) -> Retrieved:
    """The first ``depth`` passages by dense and by BM25 score, and all of them fused.

    Ties go to the lower passage id, so the same question on the same store gives the same order.

    :param question: its text; a blank one is in no BM25 ranking.
    :param vector: None where the question was not encoded; then there is no dense ranking.
    :param among: only these passage ids are looked at; None is all.
    """
    dense = snapshot.nearest(vector, depth, among) if vector is not None else []
    bm25 = snapshot.bm25(question, depth, among)
    fused: dict[int, float] = {}
    for ranking in (dense, bm25):
        for rank, hit in enumerate(ranking, start=1):
            fused[hit.passage_id] = fused.get(hit.passage_id, 0.0) + 1.0 / (RRF_CONSTANT + rank)
    order = sorted(fused, key=lambda passage_id: (-fused[passage_id], passage_id))
    return Retrieved(
        dense=tuple(hit.passage_id for hit in dense),
        bm25=tuple(hit.passage_id for hit in bm25),
        fused=tuple(order),
        bm25_scores={hit.passage_id: hit.score for hit in bm25},
        fused_scores=fused,
    )


def candidates(
    snapshot: Snapshot, vector: NDArray[np.float32] | None, retrieved: Retrieved, passage_ids: Sequence[int]
) -> list[Candidate]:
    """The given passages with all their scores; the dense one computed for those that only BM25 found."""
    records = snapshot.passages(passage_ids)
    if not records:
        return []
    dense = np.zeros(len(records))
    if vector is not None:
        dense = snapshot.vectors([record.key for record in records]).astype(np.float64) @ vector.astype(np.float64)
    best = max(retrieved.bm25_scores.values(), default=0.0)
    return [
        Candidate(
            passage_id=record.id,
            key=record.key,
            dense=float(similarity),
            bm25=retrieved.bm25_scores.get(record.id),
            bm25_share=retrieved.bm25_scores.get(record.id, 0.0) / best if best > 0 else 0.0,
            fused=retrieved.fused_scores.get(record.id, 0.0),
        )
        for record, similarity in zip(records, dense, strict=True)
    ]
