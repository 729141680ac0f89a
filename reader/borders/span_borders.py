"""Decides which spans of a passage may be answers, and adjusts spans that may not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deformer_qa.reader.borders.units import units
from deformer_qa.reader.borders.wholes import wholes

_NEAR = 12  # rows: a span takes in the other half of a bracket or quote within this distance
_ROUNDS = 8  # of trimming and widening; each round closes one bracket
_CLOSING_OF = {"(": ")", "[": "]", "{": "}", "“": "”", "«": "»", "„": "“", "‹": "›", "「": "」", "『": "』", "《": "》"}
_CLOSING = frozenset(_CLOSING_OF.values())
_MARK = re.compile("[" + re.escape("".join({*_CLOSING_OF, *_CLOSING, '"'})) + "]")
_ALSO_PUNCTUATION = frozenset("|`")
_NOT_LAST = frozenset(("a", "an", "the", "of", "and", "or"))
_PREPOSITIONS = (
    *("about", "after", "as", "at", "before", "between", "but", "by", "during", "for", "from", "in", "into", "nor"),
    *("on", "onto", "over", "since", "than", "that", "to", "under", "until", "upon", "with", "within", "without"),
)
_FUNCTION_WORDS = _NOT_LAST.union(_PREPOSITIONS)
"""Words without content of their own, except at the end of a unit ("the default is on")."""


@dataclass(frozen=True)
class SpanBorders:
    """Where answers may begin and end in one passage.

    A span is allowed if it lies in one unit, splits no indivisible string (a "whole"), begins and ends with a word or
    with a bracket or quote whose other half it holds, and has content. All arrays: *Shape:* (tokens,), by row.

    :ivar text: the passage's text, without its lead
    :ivar starts, ends: offsets of the rows in the text, int64; rows outside the text have no end beyond their start
    :ivar unit: number of the row's unit, int64; -1 for none: such rows are in no answer
    :ivar first_of_whole, last_of_whole: first and last row of the whole that the row belongs to, int64
    :ivar is_word: whether the row's whole is more than punctuation, or all of its unit is punctuation; bool
    :ivar says: whether a span that holds this row's whole has content; bool
    :ivar is_last: whether a span may end with the row's whole; bool
    :ivar partner: for a bracket or quote, the row of its other half in the unit, -1 if none; -2 for other rows
    """

    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    unit: NDArray[np.int64]
    first_of_whole: NDArray[np.int64]
    last_of_whole: NDArray[np.int64]
    is_word: NDArray[np.bool_]
    says: NDArray[np.bool_]
    is_last: NDArray[np.bool_]
    partner: NDArray[np.int64]

    @classmethod
    def of(cls, text: str, offsets: Sequence[tuple[int, int]], text_start: int = 0) -> SpanBorders:
        """The borders of a passage's text.

        :param offsets: start and end of each row, (0, 0) for special tokens.
        :param text_start: offset of the text's first character; rows before it are a lead.
        """
        placed = np.asarray(offsets, np.int64).reshape(-1, 2)
        is_special = placed[:, 1] <= placed[:, 0]
        starts, ends = placed[:, 0] - text_start, placed[:, 1] - text_start
        outside = is_special | (starts < 0)
        unit = np.where(outside, -1, _numbers(starts, [(one.start, one.end) for one in units(text)]))
        whole = _numbers(starts, wholes(text))
        changes = (np.diff(unit) != 0) | (np.diff(whole) != 0) | (whole[1:] < 0)
        begins = np.flatnonzero(np.concatenate([[True], changes]))
        number = np.concatenate([[0], np.cumsum(changes)])
        rows_in = np.diff(np.append(begins, len(placed)))
        texts = [
            text[start:end] if inside else ""
            for start, end, inside in zip(starts.tolist(), ends.tolist(), (unit >= 0).tolist(), strict=True)
        ]
        is_word = np.logical_or.reduceat(np.array([_has_word(one) for one in texts]), begins)[number]
        # A cell that is only punctuation ("||", "...") has content.
        word_units = np.bincount(unit + 1, weights=is_word, minlength=1) > 0
        is_word = (is_word | ~word_units[unit + 1]) & (unit >= 0)
        partner = _partners(text, texts, starts.tolist(), unit.tolist())
        says, is_last = is_word & (partner == -2), is_word.copy()  # a bracket alone has no content
        single = rows_in[number] == 1
        for row in np.flatnonzero(single & is_word).tolist():
            word = texts[row]
            if len(word) > 7 or word.lower() not in _FUNCTION_WORDS:
                continue
            is_followed = row + 1 < len(texts) and unit[row + 1] == unit[row] and is_word[row + 1]
            says[row] = not is_followed
            is_last[row] = not (is_followed and word in _NOT_LAST)
        return cls(
            text=text,
            starts=starts,
            ends=ends,
            unit=unit,
            first_of_whole=begins[number],
            last_of_whole=(begins + rows_in - 1)[number],
            is_word=is_word,
            says=says,
            is_last=is_last,
            partner=partner,
        )

    @property
    def first_row(self) -> int:
        """The first row of the text, after [CLS] and the lead; the last row if there is none."""
        inside = (self.starts >= 0) & (self.ends > self.starts)
        return int(inside.argmax()) if inside.any() else len(self.starts) - 1

    def allows(self, first: int, last: int) -> bool:
        """Whether rows ``first`` to ``last``, inclusive, may be an answer unchanged."""
        return first <= last and self.fitted(first, last, last - first + 1) == (first, last)

    def fitted(self, first: int, last: int, max_tokens: int) -> tuple[int, int] | None:
        """The span widened to whole strings, then trimmed, with brackets closed; None if nothing is left.

        :param max_tokens: beyond this many rows, no other half of a bracket is taken in.
        """
        first, last = int(self.first_of_whole[first]), int(self.last_of_whole[last])
        if self.unit[first] < 0 or self.unit[first] != self.unit[last]:
            return None
        for _ in range(_ROUNDS):
            first, last = self._trimmed(first, last)
            if first > last or not self.says[first : last + 1].any():
                return None
            marks = first + np.flatnonzero(self.partner[first : last + 1] > -2)
            open_ended = next((row for row in marks.tolist() if not first <= self.partner[row] <= last), -1)
            if open_ended < 0:
                return first, last
            other = int(self.partner[open_ended])
            wider = min(first, other), max(last, other)
            if other >= 0 and wider[1] - wider[0] < max_tokens and min(abs(other - first), abs(other - last)) <= _NEAR:
                first, last = wider
            elif open_ended - first >= last - open_ended:
                last = open_ended - 1
            else:
                first = open_ended + 1
        return None

    def _trimmed(self, first: int, last: int) -> tuple[int, int]:
        while first <= last:
            if self.partner[first] == last and first < last:  # one pair around all of it
                first, last = first + 1, last - 1
            elif not self._is_edge(first, first, last):
                first += 1
            elif not (self.is_last[last] or (self._is_edge(last, first, last) and not self.is_word[last])):
                last = int(self.first_of_whole[last]) - 1
            else:
                break
        return first, last

    def _is_edge(self, row: int, first: int, last: int) -> bool:
        """Whether a span may begin or end with this row: a word, or a bracket whose other half it holds."""
        return bool(self.is_word[row] and self.partner[row] == -2) or first <= self.partner[row] <= last


def _numbers(starts: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """The number of the span that holds each start, -1 for none; spans ascend."""
    if not spans:
        return np.full(len(starts), -1, np.int64)
    bounds = np.asarray(spans, np.int64)
    number = np.searchsorted(bounds[:, 0], starts, side="right") - 1
    return np.where((number >= 0) & (starts < bounds[number, 1]), number, -1)


def _has_word(token: str) -> bool:
    if token.isalnum():
        return True
    return any(one not in _ALSO_PUNCTUATION and unicodedata.category(one)[0] not in "PZC" for one in token)


def _partners(text: str, texts: Sequence[str], starts: Sequence[int], unit: Sequence[int]) -> NDArray[np.int64]:
    """The other half of each bracket and quote, with nesting, within the same unit only."""
    partner = np.full(len(texts), -2, np.int64)
    if not _MARK.search(text):
        return partner
    waiting: list[tuple[int, str]] = []
    number = -1
    for row, token in enumerate(texts):
        if len(token) != 1 or (token.isalnum() and token.isascii()):
            continue
        closing = _CLOSING_OF.get(token, "")
        if token != '"' and not closing and token not in _CLOSING:
            continue
        if unit[row] != number:
            number, waiting = unit[row], []
        partner[row] = -1
        at = next((index for index in range(len(waiting) - 1, -1, -1) if waiting[index][1] == token), -1)
        if token == '"' and not _opens(text, starts[row], at >= 0):
            closing = ""
        elif token == '"':
            closing, at = '"', -1
        if at >= 0:
            other = waiting[at][0]
            partner[row], partner[other] = other, row
            del waiting[at:]
        elif closing:
            waiting.append((row, closing))
    return partner


def _opens(text: str, at: int, is_waiting: bool) -> bool:
    """Whether a straight quote opens, by the blanks around it; if they do not tell, by whether one is open."""
    after_blank = at == 0 or text[at - 1].isspace() or text[at - 1] in "([{—–-/"
    before_blank = at + 1 == len(text) or text[at + 1].isspace() or text[at + 1] in ")]}.,;:!?"
    return not is_waiting if after_blank == before_blank else after_blank
