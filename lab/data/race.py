"""Read RACE files (JSON lines, also .xz): articles with multiple-choice questions (Lai et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deformer_qa.lab.data.json_files import is_text, read_json_records
from deformer_qa.reader.errors import BadTrainingData

_LISTS = ("questions", "options", "answers")
_GAP = "_"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The names of options, in their order."""


@dataclass(frozen=True)
class RaceQuestion:
    """A question with its options; ``answer`` is the index of the right one, counted from 0."""

    question: str
    options: tuple[str, ...]
    answer: int

    def asked(self) -> tuple[str, ...]:
        """Return one text for each option: it fills the question's gap, or follows the question if there is none."""
        before, gap, after = self.question.partition(_GAP)
        after = after.lstrip(_GAP)
        return tuple(
            f"{before.rstrip()} {option.strip()} {after.lstrip()}".strip()
            if gap
            else f"{self.question.strip()} {option.strip()}"
            for option in self.options
        )


@dataclass(frozen=True)
class RaceArticle:
    """A text and its questions; ``level`` is "middle" or "high", empty if the file does not say."""

    id: str
    level: str
    text: str
    questions: tuple[RaceQuestion, ...]


def read_race(path: Path) -> list[RaceArticle]:
    """Read the articles of a file.

    :raises BadTrainingData: if the file is missing, not RACE, or empty; a malformed record is named by its number.
    """
    articles = [_article(record, f"{path}: record {n}") for n, record in enumerate(read_json_records(path), 1)]
    if not any(article.questions for article in articles):
        raise BadTrainingData(f"{path}: no question in it.")
    return articles


def _article(record: Any, where: str) -> RaceArticle:
    is_one = isinstance(record, dict) and is_text(record.get("article"))
    if not is_one or not all(isinstance(record.get(key), list) for key in _LISTS):
        raise BadTrainingData(f'{where}: expected "article" (a text) and "questions", "options", "answers" (lists).')
    if not record["article"].strip():
        raise BadTrainingData(f"{where}: its article is empty.")
    if len({len(record[key]) for key in _LISTS}) > 1:
        counts = ", ".join(f"{len(record[key])} {key}" for key in _LISTS)
        raise BadTrainingData(f"{where}: expected as many of each, found {counts}.")
    entries = zip(record["questions"], record["options"], record["answers"], strict=True)
    questions = tuple(
        _question(question, options, answer, f"{where}: question {n}")
        for n, (question, options, answer) in enumerate(entries, 1)
    )
    return RaceArticle(str(record.get("id") or ""), str(record.get("level") or ""), record["article"], questions)


def _question(question: Any, options: Any, answer: Any, where: str) -> RaceQuestion:
    if not is_text(question) or not isinstance(options, list) or not all(map(is_text, options)):
        raise BadTrainingData(f"{where}: expected a text and a list of texts.")
    letters = LETTERS[: len(options)]
    if not 2 <= len(options) <= len(LETTERS) or answer not in tuple(letters):
        raise BadTrainingData(
            f"{where}: expected 2 to {len(LETTERS)} options and the letter of one of them, found {len(options)} and "
            f"{answer!r}."
        )
    return RaceQuestion(question, tuple(options), letters.index(answer))
