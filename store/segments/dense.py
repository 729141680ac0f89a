"""Finds the rows nearest to a question's vector: float32 and the vector indexes propose rows, float64 decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store.segments.block import Block
from deformer_qa.store.segments.vector_index import VectorIndex

SPARE_CANDIDATES = 16  # beyond those requested: sums in float32 are rounded, so close neighbours may swap
ROUNDING = 1e-5  # bound of that error, relative to the lengths of both vectors
GATHERED_ROWS = 65_536  # rows copied at once if only some may be returned


@dataclass(frozen=True)
class RowHit:
    """A row found: ``score`` is the inner product in float64 of the stored vector, checked, and the query."""

    score: float
    key: bytes


def nearest_rows(
    blocks: Sequence[Block], query: NDArray[np.float32], n: int, indexes: Sequence[VectorIndex] = ()
) -> list[RowHit]:
    """At least the n nearest live rows, with every row that ties with the last of them; best first.

    Of rows in an index only those that it proposes are compared, but at least n if there are n.

    ``query``: *Shape* (vector_width,), float32.
    """
    flat = [block for block in blocks if not any(index.covers(block) for index in indexes)]
    n_live = sum(block.entry.n_live_rows for block in blocks)
    n_asked = min(n + SPARE_CANDIDATES, n_live)
    while True:
        candidates = [candidate for block in flat for candidate in _search(block, query, n_asked)]
        candidates += [candidate for index in indexes for candidate in index.search(query, n_asked)]
        candidates.sort(key=lambda candidate: -candidate[0])
        hits = sorted(
            (_row_hit(block, row, query) for _, block, row in candidates[:n_asked]), key=lambda hit: -hit.score
        )
        if n_asked >= n_live or len(candidates) < n_asked:
            return hits
        worst_error = ROUNDING * float(np.linalg.norm(query)) * _longest(candidates[:n_asked])
        if candidates[n_asked - 1][0] + worst_error < hits[n - 1].score - worst_error:
            return hits
        n_asked = min(2 * n_asked, n_live)


def nearest_among(
    blocks: Sequence[Block], query: NDArray[np.float32], n: int, rows: Sequence[NDArray[np.int64]]
) -> list[RowHit]:
    """The nearest rows among some rows of each block, scored on the raw vectors."""
    hits: list[RowHit] = []
    for block, numbers in zip(blocks, rows, strict=True):
        for start in range(0, len(numbers), GATHERED_ROWS):
            piece = numbers[start : start + GATHERED_ROWS]
            scores = block.files.vectors[piece].astype(np.float64) @ query.astype(np.float64)
            if len(scores) > n:
                threshold = np.partition(scores, len(scores) - n)[len(scores) - n]
                piece = piece[scores >= threshold - ROUNDING * (abs(threshold) + float(np.linalg.norm(query)))]
            hits.extend(_row_hit(block, int(row), query) for row in piece)
    return sorted(hits, key=lambda hit: -hit.score)


def _row_hit(block: Block, row: int, query: NDArray[np.float32]) -> RowHit:
    """Score a row with the same arithmetic in every block."""
    vector = block.files.vector(row).astype(np.float64)
    return RowHit(float(np.dot(vector, query.astype(np.float64))), block.files.key(row))


def _longest(candidates: Sequence[tuple[float, Block, int]]) -> float:
    return max(float(np.linalg.norm(block.files.vectors[row])) for _, block, row in candidates)


def _search(block: Block, query: NDArray[np.float32], n: int) -> list[tuple[float, Block, int]]:
    """The n best live rows of one block, in any order: candidates with their float32 scores."""
    with np.errstate(over="ignore", invalid="ignore"):  # of damaged vectors
        scores = block.files.vectors @ query
    scores[block.dead_numbers] = np.nan  # which sorts last
    best = np.argpartition(-scores, n - 1)[:n] if n < len(scores) else np.arange(len(scores))
    best = best[~np.isnan(scores[best])]
    return [(score, block, row) for score, row in zip(scores[best].tolist(), best.tolist(), strict=True)]
