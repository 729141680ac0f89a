"""Extends an answer to the whole enumeration when a question asks for several things."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from deformer_qa.reader.borders.span_borders import SpanBorders
from deformer_qa.reader.borders.units import ITEM

_PLURAL = (
    r"(?:(?!\w*(?:ss|us|is|ws|ics)\b)(?!(?:series|species|means|does|has|was|lens)\b)[a-z-]{2,}s\b"
    r"|people\b|children\b|men\b|women\b)"
)
_OF_SEVERAL = r"(?:are|were|do|does|did|have|had|can|could|will|would|should|may|might|must|of)"
_SEVERAL = re.compile(
    rf"which\s+{_PLURAL}\s+(?!(?:is|was|has)\b)"
    rf"|what\s+{_PLURAL}\s+{_OF_SEVERAL}\b"
    rf"|(?:which|what)\s+(?!(?:is|was|does|has|did|do|of)\b)[\w-]+\s+{_PLURAL}\s+{_OF_SEVERAL}\b"
    rf"|(?:which|what|who)\s+(?:are|were)\s+(?:the|all|some)\s+(?:[\w-]+\s+){{0,2}}?{_PLURAL}"
    r"|(?:please\s+)?(?:list|name|give|tell\s+me)\s+(?:me\s+)?(?:the|all|some|two|three|four|five)\s+"
    rf"(?:[\w-]+\s+){{0,2}}?{_PLURAL}"
    r"|list\s+(?:of\s+)?all\b"
)
_SEPARATOR = re.compile(r"\s*[,;]\s+(?:and|or)\s+|\s*[,;]\s+|\s+(?:and|or|&)\s+")
_WORD = re.compile(r"\S+")
_LEAD = re.compile(r".*(?::|\b(?:including|includes?|included|such as|are|were|namely|called|named))\s+", re.DOTALL)
_MOST_WORDS = 5  # in an item in a sentence
_MOST_WORDS_OF_LINE = 10  # in an item on a line
_SMALL_WORDS = frozenset(("of", "the", "de", "la", "van", "von", "der", "di", "du", "del", "and", "&"))
_ARTICLES = frozenset(("a", "an", "the"))
_EDGES = " \t\n.,;:!?\"'()"


def asks_for_several(question: str) -> bool:
    """Whether an English question asks for more than one thing: "Which rivers ...", "Name the three ...".

    If that is unclear, it asks for one.
    """
    return _SEVERAL.match(" ".join(question.lower().split())) is not None


def whole_enumeration(borders: SpanBorders, first: int, last: int, *, several: bool = True) -> tuple[int, int]:
    """The rows of the enumeration with rows ``first`` to ``last`` as one item; the same rows if there is none.

    An enumeration is "a, b and c" in one sentence, or consecutive lines with item marks. If its start or end is
    unclear, the item stays alone.

    :param several: whether the question asks for several things; if not, the span is returned unchanged.
    """
    if not several:
        return first, last
    start, end = int(borders.starts[first]), int(borders.ends[last])
    found = _items_on_lines(borders.text, start, end)
    if found is None:
        in_unit = np.flatnonzero(borders.unit == borders.unit[first])
        begin, stop = int(borders.starts[in_unit[0]]), int(borders.ends[in_unit[-1]])
        inside = _items_in_sentence(borders.text[begin:stop], start - begin, end - begin)
        found = (begin + inside[0], begin + inside[1]) if inside else None
    if found is None:
        return first, last
    rows = np.flatnonzero(
        (borders.starts >= found[0]) & (borders.ends <= found[1]) & (borders.ends > borders.starts) & borders.is_word
    )
    if not len(rows) or rows[0] > first or rows[-1] < last:
        return first, last
    return int(rows[0]), int(rows[-1])


def _items_on_lines(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Start of the first item's text and end of the last one's, if the span is a whole item of a list of lines."""
    line_start = text.rfind("\n", 0, start) + 1
    mark = ITEM.match(text, line_start)
    if mark is None or mark.end() > start or text[mark.end() : start].strip(_EDGES):
        return None
    rest = text[end : _line_end(text, end)]
    if rest.strip(_EDGES):
        return None
    kind = _kind(mark.group())
    places = [(mark.end(), _line_end(text, end))]
    below = _line_end(text, end) + 1
    while (place := _item_at(text, below, kind)) is not None:
        places.append(place)
        below = place[1] + 1
    above = line_start - 1
    while above > 0 and (place := _item_at(text, text.rfind("\n", 0, above) + 1, kind)) is not None:
        places.insert(0, place)
        above = text.rfind("\n", 0, above)
    is_short = all(len(text[first:last].split()) <= _MOST_WORDS_OF_LINE for first, last in places)
    return (places[0][0], places[-1][1]) if len(places) > 1 and is_short else None


def _item_at(text: str, at: int, kind: str) -> tuple[int, int] | None:
    """Start and end of the text of an item that begins on the line at ``at``, with a mark of this kind."""
    if at >= len(text) or text[at] == "\n":
        return None
    mark = ITEM.match(text, at)
    return (mark.end(), _line_end(text, at)) if mark and _kind(mark.group()) == kind else None


def _kind(mark: str) -> str:
    return re.sub(r"[^\W_]+", "1", mark.strip())


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _items_in_sentence(sentence: str, start: int, end: int) -> tuple[int, int] | None:
    """Start of the first item and end of the last of "a, b and c", if the span is one of at least three items."""
    marks = [match for match in _SEPARATOR.finditer(sentence) if _depth(sentence, match.start()) == 0]
    starts, ends = [0, *(one.end() for one in marks)], [*(one.start() for one in marks), len(sentence)]
    parts = list(zip(starts, ends, strict=True))
    joins = [re.search(r"\w|&", one.group()) is not None for one in marks]
    own = next((at for at, (first, last) in enumerate(parts) if first <= start and end <= last), None)
    if own is None:
        return None
    join = own - 1 if own and joins[own - 1] else next((at for at in range(own, len(joins)) if joins[at]), None)
    if join is None:
        return None
    begin = join
    while begin > 0 and not joins[begin - 1] and _is_short(sentence[slice(*parts[begin])]):
        begin -= 1
    middle = [sentence[slice(*part)] for part in parts[begin + 1 : join + 1]]
    if own < begin or not middle or not all(map(_is_short, middle)):
        return None
    if begin < own <= join and not _is_item(sentence[slice(*parts[own])], sentence[start:end]):
        return None
    is_proper = _is_proper(sentence[start:end])
    if any(_is_proper(one) != is_proper for one in middle):
        return None
    first = start if own == begin else _begin_of_first(sentence, parts[begin], middle)
    stop = end if own == join + 1 else _end_of_last(sentence, parts[join + 1], middle)
    return (first, stop) if first is not None and stop is not None else None


def _depth(sentence: str, at: int) -> int:
    return sentence.count("(", 0, at) - sentence.count(")", 0, at)


def _is_short(part: str) -> bool:
    return 0 < len(part.split()) <= _MOST_WORDS


def _is_item(part: str, span: str) -> bool:
    """Whether the span is the whole part except for an article."""
    return [one for one in part.lower().strip(_EDGES).split() if one not in _ARTICLES] == [
        one for one in span.lower().strip(_EDGES).split() if one not in _ARTICLES
    ]


def _begin_of_first(sentence: str, part: tuple[int, int], middle: Sequence[str]) -> int | None:
    """The start of the first item: after a word that announces it, else guessed from the form of the next items."""
    lead = _LEAD.match(sentence, *part)
    if lead and _is_short(sentence[lead.end() : part[1]]):
        return lead.end()
    words = list(_WORD.finditer(sentence, *part))
    if not words:
        return None
    if all(map(_is_proper, middle)):
        begin = len(words)
        while begin > 0 and (_is_proper(words[begin - 1].group()) or words[begin - 1].group() in _SMALL_WORDS):
            begin -= 1
        while begin < len(words) and words[begin].group() in _SMALL_WORDS:
            begin += 1
        return words[begin].start() if begin < len(words) and len(words) - begin <= _MOST_WORDS else None
    return words[-1].start() if all(len(one.split()) == 1 for one in middle) else None


def _end_of_last(sentence: str, part: tuple[int, int], middle: Sequence[str]) -> int | None:
    """The end of the last item: that of the sentence or clause if short, else guessed from the items before."""
    words = list(_WORD.finditer(sentence, *part))
    if not words:
        return None
    if all(map(_is_proper, middle)):
        end = 0
        while end < len(words) and (_is_proper(words[end].group()) or (end and words[end].group() in _SMALL_WORDS)):
            end += 1
            if words[end - 1].group()[-1] in ".;:":
                break
        while end and words[end - 1].group() in _SMALL_WORDS:
            end -= 1
        return words[end - 1].end() if 0 < end <= _MOST_WORDS else None
    longest = max(len(one.split()) for one in middle)
    return words[-1].end() if part[1] == len(sentence) and len(words) <= max(longest, 2) else None


def _is_proper(words: str) -> bool:
    """Whether the words, without an article, begin like a name."""
    named = [one for one in words.split() if one.lower() not in _ARTICLES]
    return bool(named) and named[0].lstrip("\"'“‘(")[:1].isupper()
