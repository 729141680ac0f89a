"""Read from a question's words how its answer looks, and which words are likely to stand around it."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from deformer_qa.pipeline.query_words import FUNCTION_WORDS
from deformer_qa.reader.borders.units import Statement, statements

Look = Literal["number", "date", "name", "any"]

_WORD = re.compile(r"\w+(?:[.\-'’/]\w+)*")
_NUMBER = re.compile(
    r"\bhow (?:many|much|long|old|far|often|high|tall|deep|wide|big|large|heavy|fast|late|soon)\b"
    r"|\b(?:number|amount|percentage|percent|share|population|price|cost|size|length|height|weight|default port) of\b"
    r"|\bwhat (?:port|percentage|percent|number|age|version)\b|\bhow frequently\b"
)
_DATE = re.compile(
    r"\bwhen\b|\b(?:what|which|in what|in which|on what|on which) (?:year|date|day|month|century|decade|time)\b"
    r"|\bby when|\b(?:until|since) (?:when|what)\b|\bdate of\b|\byear of\b"
)
_NAME = re.compile(r"\bwho(?:m|se)?\b|\b(?:what|which) (?:person|company|organi[sz]ation|author|team)\b")
_IS_DATE = re.compile(
    r"\b(?:1\d|20)\d\d\b|\b(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday|century|years?|days?|hours?|today|midnight|noon)\b"
)
_IS_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|hundred"
    r"|thousand|million|billion|once|twice|half|dozen|none|zero|unlimited|no)\b"
)
_STANDS_FOR = re.compile(
    r"\b(?:do|does|did) (?:the (?:letters|abbreviation|acronym|initials|name) )?(?P<before>\S+) (?:stand|short) for\b"
    r"|\b(?:abbreviation|acronym|initials) (?:for |of )?(?P<behind>\S+)$"
    r"|^(?:what is )?(?P<last>\S+)(?: \w+){0,2} (?:abbreviation|acronym|stands for|is short for)$",
    re.IGNORECASE,
)
_LONGEST_ABBREVIATION = 10
_PARTS = re.compile(r"[^\W\d_]+")
_ENDINGS = ("ing", "es", "ed", "s")


@dataclass(frozen=True)
class Clues:
    """Clues that the words of a question give about its answer."""

    question: str

    @cached_property
    def look(self) -> Look:
        """How the answer looks; "any" if the words do not say."""
        asked = self.question.lower()
        if _NUMBER.search(asked):
            return "number"
        if _DATE.search(asked):
            return "date"
        return "name" if _NAME.search(asked) else "any"

    @cached_property
    def words(self) -> frozenset[str]:
        """Stems of the question's words, without function words."""
        return stems(self.question)

    def fits(self, answer: str) -> bool | None:
        """Whether an answer looks as the question asks; None if the question does not say how."""
        if self.look == "number":
            return _IS_NUMBER.search(answer.lower()) is not None
        if self.look == "date":
            return _IS_DATE.search(answer.lower()) is not None
        return answer[:1].isupper() if self.look == "name" else None

    @cached_property
    def abbreviation(self) -> str:
        """The abbreviation whose expansion the question asks for, in capitals; '' if it asks for none."""
        found = _STANDS_FOR.search(" ".join(self.question.split()).rstrip(" ?!."))
        term = "".join(filter(str.isalnum, found["before"] or found["behind"] or found["last"])) if found else ""
        return term.upper() if 2 <= len(term) <= _LONGEST_ABBREVIATION else ""

    def spelled_by(self, answer: str) -> bool:
        """Whether the initials of an answer's words, with or without "the" before, spell the abbreviation in order."""
        letters = self.abbreviation
        if not letters or letters in answer.upper():
            return False
        return spells(answer, letters) or spells(f"The {answer}", letters)

    def pointed_at(self, text: str) -> list[tuple[Statement, float]]:
        """Split a text into statements, each with its share of the question words that occur in the text.

        A word counts more if fewer statements have it: "height of the Norlet" points at the row of the Norlet.
        """
        found = statements(text)
        words = [self.words & stems(text[one.start : one.end]) for one in found]
        counts = Counter(word for some in words for word in some)
        rarity = {word: math.log(1 + len(found) / count) for word, count in counts.items()}
        total = sum(rarity.values())
        return [
            (one, sum(rarity[word] for word in some) / total if total else 0.0)
            for one, some in zip(found, words, strict=True)
        ]

    def share_in(self, text: str) -> float:
        """The share of the question's words that a text has."""
        return len(self.words & stems(text)) / max(1, len(self.words))

    def share_of(self, answer: str) -> float:
        """The share of an answer's words that the question has."""
        words = stems(answer)
        return len(self.words & words) / len(words) if words else 0.0


def spells(words: str, letters: str) -> bool:
    """Whether letters are the initials of words, in order; inner capitals count, small words may be skipped."""
    initials = "".join(
        letter
        for word in _PARTS.findall(words)
        for at, letter in enumerate(word)
        if at == 0 or (letter.isupper() and not word.isupper())
    )
    at = 0
    for letter in initials:
        if at < len(letters) and letter.upper() == letters[at]:
            at += 1
        elif letter.isupper():
            return False
    return at == len(letters)


@lru_cache(1_024)  # a passage is asked about once for each of its spans
def stems(text: str) -> frozenset[str]:
    """Return the words of a text in lower case, without common endings and without function words."""
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in FUNCTION_WORDS)


def _stem(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
