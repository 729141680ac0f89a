"""Finds the n best spans of a passage by their logits, none overlapping a better one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deformer_qa.reader.borders.enumerations import whole_enumeration
from deformer_qa.reader.borders.span_borders import SpanBorders

MAX_ANSWER_TOKENS = 30


@dataclass(frozen=True)
class TokenSpan:
    """An answer inside one passage.

    :ivar first, last: token rows, inclusive; never those of [CLS], of the passage's lead, and of [SEP]
    :ivar score: start logit + end logit; a span that was cut keeps its earlier score
    :ivar margin: score minus that of "no answer here"; comparable across passages
    """

    first: int
    last: int
    score: float
    margin: float


def best_spans(
    logits: NDArray[np.float32],
    n_best: int = 1,
    max_tokens: int = MAX_ANSWER_TOKENS,
    borders: SpanBorders | None = None,
    *,
    several: bool = False,
    within: tuple[int, int] | None = None,
) -> list[TokenSpan]:
    """Find the best spans, best first; of two that overlap only the better one.

    :param logits: *Shape:* (tokens, 2): start and end logits, row 0 of [CLS] ("no answer here"), the last row of [SEP].
    :param max_tokens: longest span, in tokens; the number or name that a span is widened to may be longer.
    :param borders: where answers may begin and end. A span that they do not allow becomes the best allowed one inside,
        and keeps its score, because the answer's place is known, only not its ends. It is dropped if there is none.
    :param several: whether the question asks for several things. A best span that is one item of an enumeration then
        becomes the whole enumeration.
    :param within: the first and last row that spans may have; None allows all.
    """
    n_rows = len(logits) - 1
    if n_rows <= 1:
        return []
    start, end = (logits[1:n_rows, column].astype(np.float64) for column in (0, 1))
    n_tokens = len(start)
    width = min(max_tokens, n_tokens)
    # Row i, column j: the span of j + 1 tokens that starts at token i.
    ends = np.concatenate([end, np.full(width - 1, -np.inf)])
    scores = start[:, None] + np.lib.stride_tricks.sliding_window_view(ends, width)[:n_tokens]
    if borders is not None:
        scores[_says_nothing(borders, n_tokens, width)] = -np.inf
        scores[: borders.first_row - 1] = -np.inf  # the lead is not part of the passage
    if within is not None:
        begins = np.arange(n_tokens)[:, None] + 1
        scores[np.broadcast_to(begins < within[0], scores.shape) | (begins + np.arange(width) > within[1])] = -np.inf
    null = float(logits[0, 0]) + float(logits[0, 1])
    spans: list[TokenSpan] = []
    while len(spans) < n_best:
        row, extra = divmod(int(scores.argmax()), width)
        score = float(scores[row, extra])
        if not np.isfinite(score):
            break
        first, last = row + 1, row + 1 + extra
        if borders is not None:
            allowed = borders.fitted(first, last, max_tokens) or _best_inside(logits, first, last, max_tokens, borders)
            if allowed is None:  # nor is any span inside it
                inside = np.arange(row, last)[:, None] + np.arange(width)[None] < last
                scores[row:last][inside] = -np.inf
                continue
            if any(one.first <= allowed[1] and allowed[0] <= one.last for one in spans):
                scores[row, extra] = -np.inf
                continue
            if several and not spans:
                whole = whole_enumeration(borders, *allowed)
                allowed = whole if whole[1] - whole[0] < max_tokens else allowed
            spans.append(TokenSpan(*allowed, score, score - null))
            first, last = min(first, allowed[0]), max(last, allowed[1])
        else:
            spans.append(TokenSpan(first, last, score, score - null))
        # Overlapping spans begin no later than its last row, and end no earlier than its first.
        begin = max(0, first - width)
        ends_of = np.arange(begin, last)[:, None] + np.arange(width)[None]
        scores[begin:last][ends_of >= first - 1] = -np.inf
    return spans


def _says_nothing(borders: SpanBorders, n_tokens: int, width: int) -> NDArray[np.bool_]:
    """Whether each span, widened to wholes, contains no whole with content. *Shape:* (tokens, width)."""
    says = borders.says & (borders.unit >= 0)
    is_first = borders.first_of_whole == np.arange(len(says))
    before = np.concatenate([[0], np.cumsum(says & is_first)])
    until = before[borders.last_of_whole + 1][1 : n_tokens + 1]
    until = np.concatenate([until, np.full(width - 1, until[-1])])
    windows = np.lib.stride_tricks.sliding_window_view(until, width)[:n_tokens]
    nothing: NDArray[np.bool_] = windows <= before[borders.first_of_whole][1 : n_tokens + 1, None]
    return nothing


def _best_inside(
    logits: NDArray[np.float32], first: int, last: int, max_tokens: int, borders: SpanBorders
) -> tuple[int, int] | None:
    """The best span inside rows ``first`` to ``last`` that the borders allow; a whole scores like its best row."""
    first, last = int(borders.first_of_whole[first]), int(borders.last_of_whole[last])
    rows = np.arange(first, last + 1)
    unit, says = borders.unit[rows], np.concatenate([[0], np.cumsum(borders.says[rows])])
    begins = np.flatnonzero(borders.first_of_whole[rows] == rows)
    start, end = (np.maximum.reduceat(logits[rows, column].astype(np.float64), begins) for column in (0, 1))
    last_rows = borders.last_of_whole[rows[begins]] - first
    fits = (unit[begins][:, None] == unit[last_rows][None]) & (unit[begins][:, None] >= 0)
    fits &= borders.is_word[rows[begins]][:, None] & borders.is_last[rows[last_rows]][None]
    fits &= says[last_rows + 1][None] > says[begins][:, None]
    scores = np.where(fits, start[:, None] + end[None], -np.inf)
    scores[np.tri(len(begins), k=-1, dtype=bool)] = -np.inf
    while np.isfinite(scores.max()):
        row, column = divmod(int(scores.argmax()), len(begins))
        allowed = borders.fitted(int(rows[begins[row]]), int(rows[last_rows[column]]), max_tokens)
        if allowed is not None:
            return allowed
        scores[row, column] = -np.inf
    return None


def signs(logits: NDArray[np.float32], span: TokenSpan) -> tuple[float, float, float, float]:
    """Signs of a span's certainty: its margin, its score, and the log-probabilities of its start and end.

    :param logits: *Shape:* (tokens, 2), as for ``best_spans``; the softmax is over all rows, including "no answer here"
        and the lead.
    """
    start, end = logits[:, 0].astype(np.float64), logits[:, 1].astype(np.float64)
    return span.margin, span.score, _log_softmax(start, span.first), _log_softmax(end, span.last)


def _log_softmax(values: NDArray[np.float64], row: int) -> float:
    top = values.max()
    return float(values[row] - top - np.log(np.exp(values - top).sum()))
