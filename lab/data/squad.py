"""Read SQuAD files (v1.1 and v2.0 JSON, also .xz) as checked records, and compute the official EM and F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deformer_qa.lab.data.json_files import is_text, read_json
from deformer_qa.pipeline.answers import normalized
from deformer_qa.reader.errors import BadTrainingData


@dataclass(frozen=True)
class GoldAnswer:
    """An annotated answer: ``context[start:start + len(text)] == text``."""

    text: str
    start: int


@dataclass(frozen=True)
class SquadQuestion:
    """A question on a paragraph; ``answers`` is empty if the paragraph has none."""

    id: str
    question: str
    answers: tuple[GoldAnswer, ...]


@dataclass(frozen=True)
class SquadParagraph:
    """A paragraph with its questions.

    :ivar article: the name of its article as in the file; many files write "_" for a blank
    """

    article: str
    context: str
    questions: tuple[SquadQuestion, ...]

    @property
    def title(self) -> str:
        """The article's title in plain writing."""
        return self.article.replace("_", " ")


@dataclass(frozen=True)
class SquadSet:
    """The paragraphs and questions of a whole file.

    :ivar has_impossible: whether the file marks unanswerable questions (v2.0); if not, every question has an answer
    """

    paragraphs: tuple[SquadParagraph, ...]
    has_impossible: bool

    def questions(self) -> Iterator[tuple[SquadParagraph, SquadQuestion]]:
        """Yield every question with its paragraph, in the file's order."""
        for paragraph in self.paragraphs:
            for question in paragraph.questions:
                yield paragraph, question


def read_squad(path: Path) -> SquadSet:
    """Read a SQuAD file, ``.json`` or ``.json.xz``.

    :raises BadTrainingData: if the file is missing, not SQuAD, or empty, or an answer is not at its ``answer_start``.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise BadTrainingData(f'{path}: expected SQuAD JSON with a list under "data", found none.')
    paragraphs, has_impossible, misplaced = [], False, []
    try:
        for article in content["data"]:
            title = str(article.get("title", ""))
            for paragraph in article["paragraphs"]:
                context = paragraph["context"]
                if not is_text(context):
                    raise ValueError(f"a context is no text: {ascii(context)[:40]}")
                questions = []
                for entry in paragraph["qas"]:
                    has_impossible |= "is_impossible" in entry
                    if not is_text(entry["question"]):
                        raise ValueError(f"a question is no text: {ascii(entry['question'])[:40]}")
                    gold = () if entry.get("is_impossible") else tuple(_gold(entry["answers"]))
                    misplaced += [
                        str(entry["id"]) for one in gold if context[one.start : one.start + len(one.text)] != one.text
                    ]
                    questions.append(SquadQuestion(str(entry["id"]), str(entry["question"]), gold))
                paragraphs.append(SquadParagraph(title, context, tuple(questions)))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadTrainingData(
            f"{path}: after {len(paragraphs):,} paragraphs: not SQuAD JSON ({type(error).__name__}: {error}); "
            'expected "paragraphs" with "context" and "qas" of "id", "question", "answers".'
        ) from error
    if misplaced:
        raise BadTrainingData(
            f"{path}: {len(misplaced):,} answers do not stand at their answer_start, first in question {misplaced[0]}."
        )
    if not any(paragraph.questions for paragraph in paragraphs):
        raise BadTrainingData(f"{path}: no question in it.")
    return SquadSet(tuple(paragraphs), has_impossible)


def _gold(entries: Sequence[dict[str, Any]]) -> Iterator[GoldAnswer]:
    for entry in entries:
        yield GoldAnswer(str(entry["text"]), int(entry["answer_start"]))


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 if the prediction equals a gold answer after normalisation; without gold answers "" is right."""
    return float(any(normalized(prediction) == normalized(gold) for gold in golds or [""]))


def f1(prediction: str, golds: Sequence[str]) -> float:
    """Compute the best token F1 against the gold answers (Rajpurkar et al. 2016); without gold answers "" is right.

    Each Chinese or Japanese character is a token, and counts wherever it stands, as words do (as in MLQA).
    """
    return max(_f1(normalized(prediction).split(), normalized(gold).split()) for gold in golds or [""])


def _f1(prediction: list[str], gold: list[str]) -> float:
    if not prediction or not gold:
        return float(prediction == gold)
    n_common = sum((Counter(prediction) & Counter(gold)).values())
    if not n_common:
        return 0.0
    precision, recall = n_common / len(prediction), n_common / len(gold)
    return 2 * precision * recall / (precision + recall)
