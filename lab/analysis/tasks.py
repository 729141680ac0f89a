"""Measure the accuracy columns of Table 1: each task's whole and split reader on the same questions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from deformer_qa.lab.analysis.trained import Through
from deformer_qa.lab.data.boolq import read_boolq
from deformer_qa.lab.data.race import read_race
from deformer_qa.lab.data.squad import read_squad
from deformer_qa.lab.measure.reading import SplitPassageReader, choices, figures, predictions, verdicts
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.reading import EngineName, SplitReader

Question = Callable[[], None]


def _squad(file: Path, limit: int) -> Callable[[SplitPassageReader, Question], tuple[str, float, int]]:
    questions = read_squad(file)

    def measure(reader: SplitPassageReader, on_question: Question) -> tuple[str, float, int]:
        made = []
        for one in predictions(reader, questions, limit=limit):
            made.append(one)
            on_question()
        return "F1", figures(made, forced=not questions.has_impossible).f1, len(made)

    return measure


def _boolq(file: Path, limit: int) -> Callable[[SplitPassageReader, Question], tuple[str, float, int]]:
    questions = read_boolq(file)[: limit or None]

    def measure(reader: SplitPassageReader, on_question: Question) -> tuple[str, float, int]:
        right = []
        for one, yes in zip(questions, verdicts(reader, questions), strict=True):
            right.append((yes > 0) == one.answer)
            on_question()
        return "accuracy", 100 * sum(right) / len(right), len(right)

    return measure


def _race(file: Path, limit: int) -> Callable[[SplitPassageReader, Question], tuple[str, float, int]]:
    articles = read_race(file)[: limit or None]
    questions = [question for article in articles for question in article.questions]

    def measure(reader: SplitPassageReader, on_question: Question) -> tuple[str, float, int]:
        right = []
        for question, chosen in zip(questions, choices(reader, articles), strict=True):
            right.append(chosen == question.answer)
            on_question()
        return "accuracy", 100 * sum(right) / len(right), len(right)

    return measure


TASKS = {"squad": _squad, "boolq": _boolq, "race": _race}
_KINDS = {"squad": "span", "boolq": "yes/no", "race": "multiple-choice"}


def measure_task(
    task: str,
    file: Path,
    readers: dict[str, Path],
    through: Through,
    *,
    limit: int = 0,
    engine: EngineName | None = None,
    device: str = "cpu",
    on_question: Question = lambda: None,
) -> dict[str, Any]:
    """Measure each reader on a task, in percent; all files are read before anything is computed.

    :param readers: folders of readers, by their names in the row.
    :param limit: the most questions (for RACE, articles) to use; 0 uses all.
    :param through: passes a split reader's states through the store's encoding and back.
    :raises BadTrainingData: if a file is not of the task, or a reader was not trained for it.
    """
    measure = TASKS[task](file, limit)
    loaded = {name: SplitReader.load(folder).to(device) for name, folder in readers.items()}
    for name, reader in loaded.items():
        joint = reader.joint
        knows_spans = reader.about is None or reader.about.knows_spans
        if not {"squad": knows_spans, "boolq": joint.knows_yes_and_no, "race": joint.knows_choices}[task]:
            raise BadTrainingData(f"{readers[name]}: this reader was not trained on {_KINDS[task]} questions.")
    row: dict[str, Any] = {}
    for name, reader in loaded.items():
        reader.use(engine)
        passages = SplitPassageReader(reader, through if reader.encoder.k else None)
        row["measure"], row[name], row["n"] = measure(passages, on_question)
    return row
