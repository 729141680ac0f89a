"""Which spans do the logits mean? The n best of a passage, none overlapping a better one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_ANSWER_TOKENS = 30
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


@dataclass(frozen=True)
class TokenSpan:
    """An answer inside one passage.

    :ivar first, last: token rows, inclusive; never those of [CLS], of the passage's lead, and of [SEP]
    :ivar score: start logit + end logit, of a span that was cut those it had before
    :ivar margin: score minus that of "no answer here"; comparable across passages
    """

    first: int
    last: int
    score: float
    margin: float


def paragraph_rows(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The token rows with which a paragraph begins, behind a blank line, ascending.

    :param offsets: of each row its start and end in the text, (0, 0) for special tokens.
    """
    rows, row = [], 1
    for border in _BLANK_LINE.finditer(text):
        while row < len(offsets) and offsets[row][1] <= border.end():
            row += 1
        rows.append(row)
    return rows


def best_spans(
    logits: NDArray[np.float32],
    n_best: int = 1,
    max_tokens: int = MAX_ANSWER_TOKENS,
    paragraphs: Sequence[int] = (),
    first_row: int = 1,
) -> list[TokenSpan]:
    """The best spans, best first; of two that overlap only the better one.

    :param logits: *Shape:* (tokens, 2): start and end logits, row 0 of [CLS] ("no answer here"), the last row of [SEP].
    :param max_tokens: longest span, in tokens.
    :param paragraphs: rows with which a paragraph begins. A span that goes from one into another is cut to the best one
        in it that does not, and keeps its score: it is known where the answer stands, only not where it ends.
    :param first_row: of the passage's text. No span has rows before it: those are [CLS] and the passage's lead, which
        does not stand at this place of the document.
    """
    n_rows = len(logits) - 1
    if n_rows <= first_row:
        return []
    start, end = (logits[first_row:n_rows, column].astype(np.float64) for column in (0, 1))
    n_tokens = len(start)
    width = min(max_tokens, n_tokens)
    # Row i, column j: the span of j + 1 tokens that starts at token i.
    ends = np.concatenate([end, np.full(width - 1, -np.inf)])
    scores = start[:, None] + np.lib.stride_tricks.sliding_window_view(ends, width)[:n_tokens]
    null = float(logits[0, 0]) + float(logits[0, 1])
    last_of = np.arange(n_tokens)[:, None] + np.arange(width)[None]
    first_of = np.arange(n_tokens)[:, None]
    crosses = np.zeros(scores.shape, dtype=bool)
    for begins in paragraphs:
        crosses |= (first_of < begins - first_row) & (last_of >= begins - first_row)
    spans: list[TokenSpan] = []
    while len(spans) < n_best:
        row, extra = divmod(int(scores.argmax()), width)
        score = float(scores[row, extra])
        if not np.isfinite(score):
            break
        first, last = row, row + extra
        if crosses[row, extra]:
            inside = (first_of >= row) & (last_of <= row + extra) & ~crosses
            first, more = divmod(int(np.where(inside, scores, -np.inf).argmax()), width)
            last = first + more
        spans.append(TokenSpan(first + first_row, last + first_row, score, score - null))
        scores[(first_of <= row + extra) & (last_of >= row)] = -np.inf
    return spans


def signs(logits: NDArray[np.float32], span: TokenSpan) -> tuple[float, float, float, float]:
    """What tells how sure a span is: its margin, its score, and the log-probabilities of its start and end.

    :param logits: *Shape:* (tokens, 2), as for ``best_spans``; the softmax is over all rows, those of "no answer here"
        and of the lead too.
    """
    start, end = logits[:, 0].astype(np.float64), logits[:, 1].astype(np.float64)
    return span.margin, span.score, _log_softmax(start, span.first), _log_softmax(end, span.last)


def _log_softmax(values: NDArray[np.float64], row: int) -> float:
    top = values.max()
    return float(values[row] - top - np.log(np.exp(values - top).sum()))
