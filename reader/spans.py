"""Which spans do the logits mean? The n best of a passage, none overlapping a better one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_ANSWER_TOKENS = 30
_CANDIDATES_PER_SPAN = 12


@dataclass(frozen=True)
class TokenSpan:
    """An answer inside one passage.

    :ivar first, last: token rows, inclusive; never those of [CLS] and [SEP]
    :ivar score: start logit + end logit
    :ivar margin: score minus that of "no answer here"; comparable across passages
    """

    first: int
    last: int
    score: float
    margin: float


def best_spans(
    logits: NDArray[np.float32], n_best: int = 1, max_tokens: int = MAX_ANSWER_TOKENS, min_row: int = 1
) -> list[TokenSpan]:
    """The best spans, best first; of two that overlap only the better one.

    :param logits: *Shape:* (tokens, 2): start and end logits, row 0 of [CLS] ("no answer here"), the last row of [SEP].
    :param max_tokens: longest span, in tokens.
    :param min_row: first row a span may start at.
    """
    n_rows = len(logits) - 1
    if n_rows <= min_row:
        return []
    start, end = logits[min_row:n_rows, 0].astype(np.float64), logits[min_row:n_rows, 1].astype(np.float64)
    n_tokens = len(start)
    width = min(max_tokens, n_tokens)
    # Row i, column j: the span of j + 1 tokens that starts at token i.
    ends = np.concatenate([end, np.full(width - 1, -np.inf)])
    scores = start[:, None] + np.lib.stride_tricks.sliding_window_view(ends, width)[:n_tokens]
    flat = scores.ravel()
    n_kept = min(len(flat), n_best * _CANDIDATES_PER_SPAN if n_best > 1 else 1)
    if n_best == 1:
        order = np.array([int(flat.argmax())])
    else:
        order = np.argpartition(-flat, n_kept - 1)[:n_kept]
        order = order[np.lexsort((order, -flat[order]))]
    null = float(logits[0, 0]) + float(logits[0, 1])
    spans: list[TokenSpan] = []
    for place in order:
        row, extra = divmod(int(place), width)
        first, last = row + min_row, row + min_row + extra
        score = float(flat[place])
        if not np.isfinite(score) or any(first <= span.last and span.first <= last for span in spans):
            continue
        spans.append(TokenSpan(first, last, score, score - null))
        if len(spans) == n_best:
            break
    return spans
