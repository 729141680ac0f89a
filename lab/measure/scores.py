"""Judge whether answers to a user's own questions are right, and compute figures over many; nothing is asked here.

A span is right if it equals a gold answer after normalisation. It is also right if their words agree (token F1 of 0.6
or more) and it has all numbers of the gold: "at least five years" must not pass for "at least three years".
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deformer_qa.lab.measure.confidence import expected_calibration_error
from deformer_qa.lab.measure.questions import GoldQuestion, file_of_record

F1_ENOUGH = 0.6
HALF_SURE = 0.5
VERY_SURE = 0.8
N_FIRST = 3

_MARKS = re.escape(string.punctuation + "“”‘’„…–—−·•¶→≤≥«»´")
_WORD = re.compile(rf"(?:[^\s{_MARKS}]|(?<=\w)['’](?=\w)|(?<=\d)\.(?=\d)|(?<=\d),(?=\d\d\d\b))+")
"""A run without blanks and punctuation. Some marks inside stay: the apostrophe of "don't", the point of 2.5, the comma
of 1,600."""
_LEFT_OUT = str.maketrans("", "", ",'’")
_ARTICLES = frozenset(("a", "an", "the"))
_NUMBER_WORDS = frozenset(
    (
        *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        *(
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
            "thirty",
            "forty",
        ),
        *("fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand", "million", "billion"),
    )
)


@dataclass(frozen=True)
class ReplyAnswer:
    """One of the answers to a question.

    :ivar text: the exact span
    :ivar file: its path, relative to the indexed folder
    :ivar label: "yes" or "no" if the answer is one of them, else None
    :ivar long: the sentences or the list around the span; None if the span is shown alone
    """

    text: str
    file: str
    confidence: float
    label: str | None = None
    long: str | None = None


@dataclass(frozen=True)
class Reply:
    """The answers to a question.

    :ivar answers: best first; the first counts as the answer, even if it was not asserted
    :ivar is_given: whether the first was asserted as sure
    :ivar found_nothing: whether the user was told that nothing was found
    """

    id: str
    answers: tuple[ReplyAnswer, ...]
    is_given: bool
    found_nothing: bool

    @property
    def confidence(self) -> float:
        """Confidence of the first answer; 0 if there is none."""
        return self.answers[0].confidence if self.answers else 0.0


def words_of(text: str) -> list[str]:
    """Split a text into lower-case words without punctuation and articles; "1,600" is 1600, "don't" dont, 2.5 stays."""
    words = (word.translate(_LEFT_OUT) for word in _WORD.findall(text.lower()))
    return [word for word in words if word and word not in _ARTICLES]


def span_is_right(span: str, golds: Iterable[str]) -> bool:
    """Whether a span says the same as one of the gold answers, by the rule of this module.

    A span that differs only in blanks and case is right too: a path, code or command of punctuation alone has no words.
    """
    found, letters = words_of(span), _letters(span)
    return any(_says(found, words_of(gold)) or letters == _letters(gold) != "" for gold in golds)


def _says(found: Sequence[str], gold: Sequence[str]) -> bool:
    if not found or not gold:
        return False
    return found == gold or (_word_f1(found, gold) >= F1_ENOUGH and _numbers(gold) <= _numbers(found))


def _word_f1(one: Sequence[str], other: Sequence[str]) -> float:
    return 2 * (Counter(one) & Counter(other)).total() / (len(one) + len(other))


def _numbers(words: Iterable[str]) -> set[str]:
    return {word for word in words if word in _NUMBER_WORDS or any(letter.isdigit() for letter in word)}


def _letters(text: str) -> str:
    return "".join(text.lower().split())


def answer_is_right(question: GoldQuestion, answer: ReplyAnswer) -> bool:
    """Judge an answer by its label if question and answer have one, else by its span or the long text around it."""
    if question.unanswerable:
        return False
    if question.yes_no is not None and answer.label is not None:
        return answer.label == ("yes" if question.yes_no else "no")
    texts = [answer.text] if answer.long is None else [answer.text, answer.long]
    return any(span_is_right(text, question.golds) for text in texts)


def file_is_right(question: GoldQuestion, file: str) -> bool:
    """Whether a file is one of the right ones; a gold "a.jsonl" means any of its records, "a.jsonl#3" only that one."""
    below = f"{question.collection}/" if question.collection else ""
    right = {*question.files, *(below + one for one in question.files), *question.also}
    return any(one in right for one in (file, file_of_record(file)))


@dataclass(frozen=True)
class Judged:
    """A question and its reply, judged.

    :ivar right: whether the first answer is right
    :ivar right_in_first: whether one of the first ``N_FIRST`` answers is right
    :ivar right_file: whether the first answer is in a right file
    :ivar half_right: whether the first answer is not right, but one half of a two-part answer
    """

    question: GoldQuestion
    reply: Reply
    right: bool
    right_in_first: bool
    right_file: bool
    half_right: bool


def judged(question: GoldQuestion, reply: Reply) -> Judged:
    """Judge a reply."""
    first = reply.answers[0] if reply.answers else None
    right = first is not None and answer_is_right(question, first)
    return Judged(
        question,
        reply,
        right=right,
        right_in_first=any(answer_is_right(question, one) for one in reply.answers[:N_FIRST]),
        right_file=first is not None and file_is_right(question, first.file),
        half_right=first is not None and not right and span_is_right(first.text, question.partial),
    )


@dataclass(frozen=True)
class Share:
    """A share: ``n`` out of ``of``."""

    n: int
    of: int

    @property
    def percent(self) -> float | None:
        """The share in percent; None if ``of`` is 0."""
        return 100 * self.n / self.of if self.of else None

    def json(self) -> dict[str, Any]:
        return {"n": self.n, "of": self.of, "percent": self.percent}


@dataclass(frozen=True)
class Figures:
    """Figures of some questions. "Asserted or not" counts first answers even if they were not asserted.

    :ivar right_first: of the answerable, the first answer is right, asserted or not
    :ivar right_in_first_3: of the answerable, one of the first three answers is right
    :ivar right_and_given: of the answerable, the first answer was asserted and is right
    :ivar right_of_given: of the asserted, the first answer is right
    :ivar wrongly_given: of all, the first answer was asserted and is not right
    :ivar not_given: of the answerable, no answer was asserted
    :ivar found_nothing: of the answerable, the user was told that nothing was found
    :ivar unanswerable_not_given: of the unanswerable, no answer was asserted
    :ivar right_file: of the answerable that name a file, the first answer is in a right one, asserted or not
    :ivar right_and_file: of the same, the first answer is right as well
    :ivar half_right: of those with a two-part answer, the first answer is one half
    :ivar wrong_at_half: of those asserted at a confidence of 0.5 or more, the first answer is not right
    :ivar wrong_above_0_8: of those whose first answer has a confidence above 0.8, it is not right, asserted or not
    :ivar expected_calibration_error: of the first answer's confidence, over all questions
    """

    n: int
    right_first: Share
    right_in_first_3: Share
    right_and_given: Share
    right_of_given: Share
    wrongly_given: Share
    not_given: Share
    found_nothing: Share
    unanswerable_not_given: Share
    right_file: Share
    right_and_file: Share
    half_right: Share
    wrong_at_half: Share
    wrong_above_0_8: Share
    expected_calibration_error: float

    def json(self) -> dict[str, Any]:
        """The figures as JSON; a share has ``n``, ``of`` and ``percent``."""
        return {
            name: value.json() if isinstance(value, Share) else value
            for name in self.__dataclass_fields__
            for value in (getattr(self, name),)
        }


def figures(judged: Sequence[Judged]) -> Figures:
    """Compute the figures of at least one question."""
    answerable = [one for one in judged if not one.question.unanswerable]
    unanswerable = [one for one in judged if one.question.unanswerable]
    given = [one for one in judged if one.reply.is_given]
    placed = [one for one in answerable if one.question.files or one.question.also]
    two_part = [one for one in answerable if one.question.partial]
    confidence = np.array([one.reply.confidence for one in judged], np.float64)
    right = np.array([one.right for one in judged], bool)
    return Figures(
        n=len(judged),
        right_first=_share(answerable, lambda one: one.right),
        right_in_first_3=_share(answerable, lambda one: one.right_in_first),
        right_and_given=_share(answerable, lambda one: one.right and one.reply.is_given),
        right_of_given=_share(given, lambda one: one.right),
        wrongly_given=_share(judged, lambda one: one.reply.is_given and not one.right),
        not_given=_share(answerable, lambda one: not one.reply.is_given),
        found_nothing=_share(answerable, lambda one: one.reply.found_nothing),
        unanswerable_not_given=_share(unanswerable, lambda one: not one.reply.is_given),
        right_file=_share(placed, lambda one: one.right_file),
        right_and_file=_share(placed, lambda one: one.right and one.right_file),
        half_right=_share(two_part, lambda one: one.half_right),
        wrong_at_half=_share([one for one in given if one.reply.confidence >= HALF_SURE], lambda one: not one.right),
        wrong_above_0_8=_share([one for one in judged if one.reply.confidence > VERY_SURE], lambda one: not one.right),
        expected_calibration_error=expected_calibration_error(confidence, right),
    )


def _share(among: Sequence[Judged], holds: Callable[[Judged], bool]) -> Share:
    return Share(sum(map(holds, among)), len(among))


@dataclass(frozen=True)
class Report:
    """The figures of all questions, of each type and of each collection, in the order of the file."""

    all: Figures
    by_type: Mapping[str, Figures]
    by_collection: Mapping[str, Figures]

    def json(self) -> dict[str, Any]:
        """All figures as JSON."""
        return {
            "all": self.all.json(),
            "type": {name: one.json() for name, one in self.by_type.items()},
            "collection": {name: one.json() for name, one in self.by_collection.items()},
        }


def report(judged: Sequence[Judged]) -> Report:
    """Compute the report of at least one question; questions without a collection are in no collection's row."""
    return Report(
        figures(judged),
        _grouped(judged, lambda one: one.question.type),
        _grouped([one for one in judged if one.question.collection], lambda one: one.question.collection),
    )


def _grouped(judged: Sequence[Judged], name: Callable[[Judged], str]) -> dict[str, Figures]:
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(name(one), []).append(one)
    return {name: figures(group) for name, group in groups.items()}


def worst(judged: Sequence[Judged], n: int) -> list[Judged]:
    """Return the ``n`` most confident replies that are not right; to unanswerable questions only if asserted."""
    wrong = [one for one in judged if not one.right and (one.reply.is_given or not one.question.unanswerable)]
    return sorted(wrong, key=lambda one: -one.reply.confidence)[:n]
