"""Divides texts into passages. Borders depend only on the text around them, so that an edit moves few.

A border is a sentence or paragraph end that beats every other within ``spacing`` tokens on both sides, by kind
(paragraph before line before sentence) and then by a hash of the characters around it: the local-maximum chunking of
Bjørner, Blass and Gurevich (2010), on sentences instead of bytes. A part still longer than the budget is divided
further inside its own borders.

A passage says "it" for the thing that its title names. Read together with a lead of title and heading, both the vector
and the states know what it is about.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, pairwise

from deformer_qa.reader.scripts import SENTENCE_END, divides, ends_clause, is_mark, is_without_blanks, parts_letters
from deformer_qa.reader.tokens import TextTokenizer

BORDERS_VERSION = 1
"""Part of the encoder id, because passages divided by other rules would not find their stored states.

Texts of Latin, Greek and Cyrillic letters are divided as in the first version 1 (decision 14).
"""

_PARAGRAPH, _LINE, _SENTENCE, _FORCED = 3, 2, 1, 0
_BREAK = re.compile(
    r"(?P<paragraph>\n[^\S\n]*\n\s*)"
    r"|(?P<line>\n\s*(?=[-*•#|]|\d+[.)]))"
    r"|(?P<sentence>(?<![.!?…])[.!?…]++[\"'”’»)\]]*\s+(?=[\"'“‘«(\[]*[^\Wa-z_])|[。！？]+[」』”’）]*\s*"
    rf"|{SENTENCE_END})"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'“‘])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Ft|Sr|Jr|Gen|Col|Capt|Lt|Sgt|Rev|Hon|Gov|Sen|Rep|Pres"
    r"|No|Nos|Vol|Fig|Figs|Eq|Ch|pp|p|vs|v|cf|ca|c|etc|e\.g|i\.e|viz|al|approx|Inc|Ltd|Co|Corp|U\.S|U\.K"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.$"
)
_ALSO_ABBREVIATION = re.compile(
    r"(?:^|(?<=[\s(\[\"'“‘]))(?:(?:[A-Z]\.)+[A-Z]|Fr|Br|Sgt|Cpl|Maj|Adm|Bros|Mss?|est|fl|b|d|r|ed|eds|op|cit|art|sec)\.$"
)
_BEGINS_SENTENCE = re.compile(r"(?:A|An|As|At|But|By|For|He|Her|His|In|It|Its|On|She|The|There|They|This|When)\b")
_BEFORE_IDENTIFIER = re.compile(r"(?<=[\w)\]])[.!?]\s+(?=[a-z]\w*_\w|[a-z]\w+\(\))")
_CONTEXT = 40
_LONG = 16  # letters of a token; one for more letters of a script without blanks is most likely an unknown token


@dataclass(frozen=True)
class Span:
    """A range of code points of a text: ``text[start:end]``."""

    start: int
    end: int


@dataclass(frozen=True)
class _Cut:
    """A place where a passage may end: before token ``token``, which starts at or after code point ``at``."""

    at: int
    token: int
    rank: tuple[int, bytes]


@dataclass(frozen=True)
class PassageBorders:
    """The rule by which texts are divided; fixed for an encoder, as its readers are trained on the same passages.

    :ivar budget: most tokens of a passage, without special tokens
    :ivar spacing: least tokens between two chosen borders (less only if the budget forces it)
    :ivar overlap: most tokens of previous sentences repeated at the start of a passage that begins inside a paragraph
    """

    budget: int = 254
    spacing: int = 80
    overlap: int = 32

    def split(self, text: str, tokenizer: TextTokenizer) -> list[Span]:
        """Divide a text into passages, in order: every token is in at least one, none is longer than the budget.

        A text within the budget is one passage; one without tokens has none.
        """
        offsets = _with_long_tokens_divided(text, tokenizer.offsets(text))
        if not offsets:
            return []
        if len(offsets) <= self.budget:
            return [Span(offsets[0][0], offsets[-1][1])]
        starts = [start for start, _ in offsets]
        cuts = _cuts(text, starts)
        borders = self._divide(text, cuts, starts, offsets)
        places, spans = [cut.token for cut in cuts], []
        for index, cut in enumerate(borders[:-1]):
            end = borders[index + 1].token
            first = self._with_overlap(text, cut, end, places, offsets) if index else cut.token
            spans.extend(self._within_budget(text, offsets, first, end, tokenizer))
        return spans

    def _divide(
        self, text: str, cuts: Sequence[_Cut], starts: Sequence[int], offsets: Sequence[tuple[int, int]]
    ) -> list[_Cut]:
        n_tokens = len(starts)
        chosen = [_Cut(0, 0, (_PARAGRAPH, b"")), *self._local_maxima(cuts, n_tokens)]
        chosen.append(_Cut(offsets[-1][1], n_tokens, (_PARAGRAPH, b"")))
        places = [cut.token for cut in cuts]
        borders = chosen[:1]
        for left, right in pairwise(chosen):
            inside = cuts[bisect_left(places, left.token + 1) : bisect_left(places, right.token)]
            borders += self._divide_gap(text, left, right, inside, starts, offsets)
            borders.append(right)
        return borders

    def _local_maxima(self, cuts: Sequence[_Cut], n_tokens: int) -> list[_Cut]:
        places = [cut.token for cut in cuts]
        chosen = []
        for index, cut in enumerate(cuts):
            if not self.spacing // 2 <= cut.token <= n_tokens - self.spacing // 2:
                continue
            near = range(
                bisect_left(places, cut.token - self.spacing), bisect_left(places, cut.token + self.spacing + 1)
            )
            if all(cuts[other].rank < cut.rank for other in near if other != index):
                chosen.append(cut)
        return chosen

    def _divide_gap(
        self,
        text: str,
        left: _Cut,
        right: _Cut,
        inside: Sequence[_Cut],
        starts: Sequence[int],
        offsets: Sequence[tuple[int, int]],
    ) -> list[_Cut]:
        """Add borders between two chosen ones, so that no passage exceeds the budget."""
        borders: list[_Cut] = []
        gaps = [(left, right, inside)]  # a stack, the leftmost gap on top: texts can need thousands of borders
        while gaps:
            left, right, inside = gaps.pop()
            length = right.token - left.token
            if length <= self.budget:
                borders.append(right)
                continue
            margin = min(self.budget // 4, length // 4)
            middle = [cut for cut in inside if left.token + margin <= cut.token <= right.token - margin] or inside
            if middle:
                centre = (left.token + right.token) / 2
                best = max(middle, key=lambda cut: (cut.rank, -abs(cut.token - centre)))
            else:
                token = _forced(text, left.token + self.budget, left.token, offsets)
                best = _Cut(starts[token], token, (_FORCED, b""))
            gaps.append((best, right, [cut for cut in inside if cut.token > best.token]))
            gaps.append((left, best, [cut for cut in inside if cut.token < best.token]))
        return borders[:-1]

    def _with_overlap(
        self, text: str, border: _Cut, end: int, places: Sequence[int], offsets: Sequence[tuple[int, int]]
    ) -> int:
        """The token a passage starts with: inside a paragraph it includes as many whole previous sentences as fit."""
        if border.rank[0] in (_PARAGRAPH, _LINE):
            return border.token
        room = min(self.overlap, self.budget - (end - border.token))
        if border.rank[0] == _FORCED:
            return _whole(text, border.token - max(room, 0), border.token, offsets)
        earlier = bisect_left(places, border.token - room)
        return places[earlier] if earlier < len(places) and places[earlier] < border.token else border.token

    def _within_budget(
        self, text: str, offsets: Sequence[tuple[int, int]], first: int, end: int, tokenizer: TextTokenizer
    ) -> list[Span]:
        """The span of tokens ``first`` to ``end``; two spans if it has more tokens alone than inside the whole text.

        That happens only if a border falls inside a word, as in one endless line of letters.
        """
        span = Span(offsets[first][0], offsets[end - 1][1])
        if end - first < 2 or tokenizer.count(text[span.start : span.end]) <= self.budget:
            return [span]
        middle = _whole(text, (first + end) // 2, end - 1, offsets)
        return [
            *self._within_budget(text, offsets, first, middle, tokenizer),
            *self._within_budget(text, offsets, middle, end, tokenizer),
        ]


def _cuts(text: str, starts: Sequence[int]) -> list[_Cut]:
    """Sentence and paragraph ends, ascending, at most one per token (the stronger kind if two coincide)."""
    by_token: dict[int, _Cut] = {}
    for match in _BREAK.finditer(text):
        at = match.end()
        if _is_abbreviation(text, match):
            continue
        kind = _PARAGRAPH if match.lastgroup == "paragraph" else _LINE if "\n" in match.group() else _SENTENCE
        token = bisect_left(starts, at)
        if 0 < token < len(starts):
            around = text[max(0, at - _CONTEXT) : at + _CONTEXT]
            cut = _Cut(at, token, (kind, blake2b(around.encode("utf-8", "surrogatepass"), digest_size=8).digest()))
            if token not in by_token or by_token[token].rank < cut.rank:
                by_token[token] = cut
    return [by_token[token] for token in sorted(by_token)]


def sentence_around(text: str, start: int, end: int) -> Span:
    """The sentence or sentences of a passage's text that contain ``text[start:end]``."""
    first, last = 0, len(text)
    for match in _BREAK.finditer(text):
        if _is_abbreviation(text, match):
            continue
        if match.end() <= start:
            first = match.end()
        elif match.start() + 1 >= end:
            last = match.end()
            break
    sentence = text[first:last]
    return Span(first + len(sentence) - len(sentence.lstrip()), first + len(sentence.rstrip()))


def sentences(text: str) -> list[Span]:
    """The sentences of a text, in order, without the blanks around them; lines and paragraphs end sentences too."""
    ends = [match.end() for match in _BREAK.finditer(text) if not _is_abbreviation(text, match)]
    spans = []
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        sentence = text[start:end]
        if sentence.strip():
            spans.append(Span(start + len(sentence) - len(sentence.lstrip()), start + len(sentence.rstrip())))
    return spans


def sentence_ends(text: str) -> list[int]:
    """Ends of sentences by their marks, ascending: the first character after each mark and its blanks.

    Line ends do not count, because the meaning of a line depends on the lines around it. This rule knows more
    abbreviations than that for passages, whose borders must not move, and a sentence may begin with a name of software.
    """
    ends = []
    for match in _BREAK.finditer(text):
        if match.lastgroup != "sentence" or _is_abbreviation(text, match):
            continue
        end = match.start() + 1
        may_go_on = text[end - 1] == "." and _ALSO_ABBREVIATION.search(text, max(0, end - 12), end)
        if not may_go_on or _BEGINS_SENTENCE.match(text, match.end()):
            ends.append(match.end())
    for match in _BEFORE_IDENTIFIER.finditer(text):
        if not _ABBREVIATION.search(text[max(0, match.start() - 11) : match.start() + 1]):
            ends.append(match.end())
    return sorted(ends)


def _is_abbreviation(text: str, match: re.Match[str]) -> bool:
    end = match.start() + 1
    is_point = match.lastgroup == "sentence" and text[match.start()] == "."
    return is_point and _ABBREVIATION.search(text[max(0, end - 12) : end]) is not None


def _with_long_tokens_divided(text: str, offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The tokens' offsets, but letter by letter if a vocabulary has one token for many letters without a blank.

    Otherwise a page of Thai would be one unknown word for an English encoder, and no border could fall inside.
    """
    if all(end - start <= _LONG for start, end in offsets):
        return offsets
    divided: list[tuple[int, int]] = []
    for start, end in offsets:
        inside = range(start + 1, end) if end - start > _LONG and is_without_blanks(text[start:end]) else ()
        places = [start, *(at for at in inside if not parts_letters(text, at)), end]
        divided.extend(pairwise(places))
    return divided


def _forced(text: str, token: int, left: int, offsets: Sequence[tuple[int, int]]) -> int:
    """The token, from ``token`` back half way to ``left``, to begin a passage with if there is no sentence end.

    It is the last one after a clause of a script without blanks; else the last one that does not continue a word; else,
    in such a script, one between two syllables; else ``token``, or the letter whose mark it is.
    """
    back = range(token, left + (token - left) // 2, -1)
    apart = [one for one in back if offsets[one][0] >= offsets[one - 1][1]]  # several tokens may share a character
    after_clauses = (one for one in apart if ends_clause(text, offsets[one - 1][1]))
    after_blanks = (one for one in apart if offsets[one][0] > offsets[one - 1][1])
    between_letters = (one for one in apart if divides(text, offsets[one][0]))
    letters = (one for one in back if not is_mark(text[offsets[one][0]]))
    return next(chain(after_clauses, after_blanks, between_letters, letters), token)


def _whole(text: str, token: int, last: int, offsets: Sequence[tuple[int, int]]) -> int:
    """The first token from ``token`` to ``last`` that begins with a whole letter; ``token`` if none does."""
    return next((one for one in range(token, last + 1) if not parts_letters(text, offsets[one][0])), token)


LEAD_VERSION = 1
"""Part of the encoder id, because the states of passages with other leads differ."""

_BETWEEN = " › "


@dataclass(frozen=True)
class LeadRule:
    """The rule that makes a lead from names; fixed for an encoder, because its readers are trained on the same leads.

    :ivar budget: most tokens of a lead, including the mark between two names and the line end
    """

    budget: int = 32

    def lead(self, title: str, heading: str, tokenizer: TextTokenizer) -> str:
        """ "Title › Heading" on one line; without a missing name, and without a heading that the title
        contains.

        If both do not fit, each is cut at a blank to half of the budget, or to the rest that the other leaves.
        """
        names = [" ".join(name.split()) for name in (title, heading)]
        names = [name for name in names if name]
        if len(names) == 2 and names[1].casefold() in names[0].casefold():
            names.pop()
        most = self.budget - tokenizer.count("\n")
        if len(names) < 2:
            return _cut(names[0], most, tokenizer) if names else ""
        room = most - tokenizer.count(_BETWEEN)
        for_heading = max(room // 2, room - tokenizer.count(names[0]))
        for_title = room - min(tokenizer.count(names[1]), for_heading)
        cut = (_cut(name, n_tokens, tokenizer) for name, n_tokens in zip(names, (for_title, for_heading), strict=True))
        # Some vocabularies have other tokens for a word after a blank, so the whole is counted once more.
        return _cut(_BETWEEN.join(name for name in cut if name), most, tokenizer)


def with_lead(lead: str, text: str) -> str:
    """The encoder input: the lead on a line of its own before the text."""
    return f"{lead}\n{text}" if lead else text


def _cut(name: str, most: int, tokenizer: TextTokenizer) -> str:
    """The first words of a name, at most ``most`` tokens; only letters if its first word has more."""
    most = max(0, most)
    offsets = tokenizer.offsets(name)
    if len(offsets) <= most:
        return name
    end = offsets[most - 1][1] if most else 0
    if end < len(name) and not name[end].isspace():
        blank = name.rfind(" ", 0, end)
        end = blank if blank > 0 else end
    while tokenizer.count(name[:end]) > most:  # part of a word may have more tokens than the whole word
        end -= 1
    return name[:end].rstrip()
