"""Turn read spans into answers: merge spans that say the same thing and keep the others as evidence."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deformer_qa.pipeline.clues import Clues
from deformer_qa.pipeline.outcomes import LEAST_SHOWN
from deformer_qa.pipeline.questions import Wanted, wanted_by
from deformer_qa.pipeline.rank import (
    ConfidenceWeights,
    RankingWeights,
    ReadPassage,
    SpanTexts,
    confidences,
    features,
    first_signs,
    moved_features,
)
from deformer_qa.pipeline.results import Answer, Place
from deformer_qa.pipeline.retrieve import Candidate
from deformer_qa.reader.borders.enumerations import asks_for_several
from deformer_qa.reader.spans import TokenSpan, best_spans

_WORD = re.compile(r"\w+(?:[-.'’/]\w+)*")  # "max_connections" and "build-essential" are one word each
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the this that these those it its he him his she her they them their we our you your me my and"
        " but nor so if then than as of in at by to from with for about into onto within without through"
        " during until is are was were be been being do does did has have had can could would shall should"
        " must who whom whose which what when where why how there",
    )
)
"""English words that are no answer by themselves. "On", "off", "or", "no", "may" and "will" are left out: each can be a
value, a month or a name."""


class EmptySpans:
    """Recognise spans that cannot answer one question, such as function words or the question's own words."""

    def __init__(self, question: str, wanted: Wanted | None = None) -> None:
        """:param wanted: the kind of answer wanted, if already known."""
        wanted = wanted or wanted_by(question)
        # A choice names its answers, and a sentence that confirms a yes/no question repeats its words.
        repeats = wanted.kind == "yes_no" or wanted.is_choice or "between" in question.lower()
        self._words = _FUNCTION_WORDS if repeats else _FUNCTION_WORDS.union(map(_plain, _WORD.findall(question)))

    def __contains__(self, text: str) -> bool:
        """Whether a span with this text cannot be an answer."""
        if not any(character.isalnum() for character in text):
            return True
        return all(self._is_empty(word) for word in _WORD.findall(text))

    def _is_empty(self, word: str) -> bool:
        if _plain(word) not in self._words:
            return False
        is_acronym = word.isupper() and _plain(word) in _FUNCTION_WORDS  # "US", "IT", "WHO", blood group "A"
        return not is_acronym


def _plain(word: str) -> str:
    return word.casefold().replace("’", "'").removesuffix("'s")


_EVIDENCE_KEPT = 5
_SPANS_POINTED_AT = 2


class SpanPlaces(Protocol):
    """Look up where spans stand, for merging."""

    def span(self, passage_id: int, span: TokenSpan) -> Place:
        """The place of a span of token rows of a candidate."""

    def context(self, place: Place) -> tuple[str, int]:
        """The sentence, item or table row around a place, and where it starts in the document."""


@dataclass(frozen=True)
class ReadSpan:
    """A span of a candidate with its ranking features."""

    candidate: Candidate
    span: TokenSpan
    features: list[float]


def read_spans(
    question: str, passages: Sequence[ReadPassage], texts: SpanTexts, per_passage: int, max_tokens: int
) -> list[ReadSpan]:
    """Find the best spans of each passage, and those of the statement that the question's words point at most."""
    clues, several = Clues(question), asks_for_several(question)
    found = []
    for passage in passages:
        id_, logits = passage.candidate.passage_id, passage.logits
        borders = texts.borders(id_)
        spans = best_spans(logits, per_passage, max_tokens, borders, several=several)
        most = max(clues.pointed_at(borders.text), key=lambda one: one[1], default=None)
        if most is not None and most[1]:
            rows = np.flatnonzero((borders.starts >= most[0].start) & (borders.starts < most[0].end)).tolist()
            if rows and not any(rows[0] <= one.first and one.last <= rows[-1] for one in spans):
                spans += best_spans(logits, _SPANS_POINTED_AT, max_tokens, borders, within=(rows[0], rows[-1]))
        found += [ReadSpan(passage.candidate, one, features(clues, passage, one, texts)) for one in spans]
    return found


def as_if_alone(spans: Sequence[ReadSpan], bm25_weight: float) -> list[ReadSpan]:
    """Rescore some of the spans that were read, as if only their passages had been retrieved.

    Places are counted anew and BM25 scores are shares of the best one left, since asking always has a first passage.

    :param bm25_weight: weight of the BM25 share in the fused score, see ``retrieve.RetrievalWeights``.
    """
    found = {span.candidate.passage_id: span.candidate for span in spans}
    best = max((one.bm25 or 0.0 for one in found.values()), default=0.0)
    alone = {}
    for id_, one in found.items():
        share = (one.bm25 or 0.0) / best if best > 0 else 0.0
        fused = one.fused + bm25_weight * (share - one.bm25_share)
        alone[id_] = replace(one, bm25_share=share, fused=fused)
    order = sorted(alone.values(), key=lambda one: (-one.fused, one.passage_id))
    places = {one.passage_id: place for place, one in enumerate(order, start=1)}
    return [
        replace(
            span,
            candidate=alone[span.candidate.passage_id],
            features=moved_features(span.features, alone[span.candidate.passage_id], places[span.candidate.passage_id]),
        )
        for span in spans
    ]


def answered(
    question: str,
    wanted: Wanted,
    spans: Sequence[ReadSpan],
    weights: RankingWeights,
    places: SpanPlaces,
    n_answers: int | None,
    *,
    sure: ConfidenceWeights | None = None,
    overlap: float = 0.0,
    whole: Callable[[Place], Place] | None = None,
) -> tuple[list[Answer], float]:
    """Return the best answers from these spans with their confidences, and the probability that none is right.

    :param sure: gives the confidence of the first answer; the others share the rest in proportion, capped at it.
    :param n_answers, overlap, whole: as in ``merged``.
    """
    shares, none = confidences(weights.utilities([span.features for span in spans]))
    found = merged(spans, shares, weights, places, n_answers, overlap, empty=EmptySpans(question, wanted), whole=whole)
    if sure is None or not found:
        return found, none
    share = min(found[0].confidence, 1 - 1e-9)
    confidence = sure.confidence(first_signs(share, none))
    left = (1 - confidence) / (1 - share)
    others = [replace(one, confidence=min(one.confidence * left, confidence)) for one in found[1:]]
    return [replace(found[0], confidence=confidence), *others], none * left


def merged(
    spans: Sequence[ReadSpan],
    probabilities: NDArray[np.float64],
    weights: RankingWeights,
    places: SpanPlaces,
    n_answers: int | None,
    overlap: float = 0.0,
    *,
    empty: EmptySpans,
    whole: Callable[[Place], Place] | None = None,
) -> list[Answer]:
    """Merge spans that say the same, and return the ``n_answers`` best answers (all if None).

    Spans form one answer if they overlap its best span in the same document (passages share sentences), or if their
    texts differ only in case, punctuation and articles. The best span stands for all, with the sum of their
    confidences. Only the best answer of a sentence is kept. The first answer stays however unlikely it is.

    Where the sentence, step or list around a span is the answer, that part is compared instead: its confidence is the
    sum over all spans in it, and equal words elsewhere say something else.

    :param empty: spans that answer nothing; such a span adds to an answer that it overlaps, but is none itself.
    :param overlap: spans overlap if they share more than this fraction of the shorter one.
    :param whole: returns the part around a span that is the answer, ``Answer.long``; None if the span is the answer.
    """
    utilities = weights.utilities([one.features for one in spans])
    order = sorted(range(len(spans)), key=lambda index: (-utilities[index], spans[index].candidate.passage_id, index))
    found = {index: places.span(spans[index].candidate.passage_id, spans[index].span) for index in order}
    order.sort(key=lambda index: found[index].text in empty)  # stable: an empty span never stands for a group
    groups: list[_Group] = []
    for index in order:
        place = found[index]
        part = whole(place) if whole else place
        group = next((group for group in groups if group.says(part)), None)
        if group is None:
            if place.text in empty:
                continue
            group = _Group(place, part, float(utilities[index]), overlap)
            groups.append(group)
        group.add(place, float(probabilities[index]))
    groups.sort(key=lambda group: -group.confidence)  # stable: equal ones keep the order of their best spans
    answers = _of_different_sentences(groups, places, n_answers)
    return answers if whole is None else [replace(one, long=whole(one.place)) for one in answers]


def _of_different_sentences(groups: Sequence[_Group], places: SpanPlaces, n_answers: int | None) -> list[Answer]:
    answers: list[Answer] = []
    sentences: list[tuple[int, int, int]] = []
    for group in groups:
        if len(answers) == n_answers or (answers and group.confidence < LEAST_SHOWN):
            break
        answer = group.answer(places)
        start, end = answer.context_start, answer.context_start + len(answer.context)
        document = answer.place.document
        if any(document == other and start < last and end > first for other, first, last in sentences):
            continue
        sentences.append((document, start, end))
        answers.append(answer)
    return answers


class _Group:
    """Collect places that say the same; the first added is the best."""

    def __init__(self, best: Place, part: Place, score: float, overlap: float) -> None:
        self.best, self.score, self.confidence = best, score, 0.0
        self.places: list[Place] = []
        self._part, self._overlap, self._meaning = part, overlap, normalized(part.text)

    def says(self, part: Place) -> bool:
        if self._meaning and normalized(part.text) == self._meaning:
            return True
        # Compared with the best alone: overlaps with the others would chain different answers together.
        return _overlap(part, self._part, self._overlap)

    def add(self, place: Place, probability: float) -> None:
        self.confidence = min(1.0, self.confidence + probability)
        if not any(
            (place.document, place.start, place.end) == (one.document, one.start, one.end) for one in self.places
        ):
            self.places.append(place)

    def answer(self, places: SpanPlaces) -> Answer:
        context, context_start = places.context(self.best)
        evidence = [place for place in self.places[1:] if not _overlap(place, self._part)]
        return Answer(self.best, self.score, self.confidence, context, context_start, tuple(evidence[:_EVIDENCE_KEPT]))


def _overlap(one: Place, other: Place, more_than: float = 0.0) -> bool:
    shared = min(one.end, other.end) - max(one.start, other.start)
    shorter = min(one.end - one.start, other.end - other.start)
    return one.document == other.document and shared > 0 and shared > more_than * shorter


# Normalisation, which decides whether two answers say the same.

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CHARACTERS = re.compile(  # Han and Kana are written without blanks, so each character is a token
    r"[\u3005-\u3007\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003fffd]"
)


def normalized(answer: str) -> str:
    """Lower-case a text and drop punctuation, articles and extra blanks, as the official SQuAD script compares.

    In a text with Chinese or Japanese characters each of these stands alone and all punctuation is dropped, as in CMRC
    2018 (Cui et al. 2019): the parts between blanks are such characters, or words and numbers of other scripts.
    """
    answer = answer.lower().translate(_NO_PUNCTUATION)
    if not answer.isascii() and _CHARACTERS.search(answer):
        answer = "".join(one for one in answer if unicodedata.category(one)[0] != "P" and one != "\uff5e")
        answer = _CHARACTERS.sub(r" \g<0> ", answer)
    return " ".join(_ARTICLES.sub(" ", answer).split())
