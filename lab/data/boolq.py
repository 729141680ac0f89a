"""Read BoolQ files (a JSON list or lines, also .xz): yes/no questions, each with its passage (Clark et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deformer_qa.lab.data.json_files import is_text, read_json_records
from deformer_qa.reader.errors import BadTrainingData

_KINDS = {"question": str, "passage": str, "answer": bool}


@dataclass(frozen=True)
class BoolqQuestion:
    """A yes/no question on a passage; ``answer`` is true for yes, ``article`` is empty if the file names none."""

    question: str
    passage: str
    answer: bool
    article: str = ""

    @property
    def title(self) -> str:
        """The article's title in plain writing; files have "_" for a blank."""
        return self.article.replace("_", " ")


def read_boolq(path: Path) -> list[BoolqQuestion]:
    """Read the questions of a file.

    :raises BadTrainingData: if the file is missing, not BoolQ, or empty.
    """
    questions = []
    for number, record in enumerate(read_json_records(path), 1):
        if isinstance(record, dict) and "answer" in record and not isinstance(record["answer"], bool):
            continue  # a question of another kind, or one without a known answer
        if not isinstance(record, dict) or any(not isinstance(record.get(key), kind) for key, kind in _KINDS.items()):
            raise BadTrainingData(
                f'{path}: record {number}: expected "question" and "passage" (texts) and "answer" (true or false).'
            )
        if not is_text(record["question"]) or not is_text(record["passage"]):
            raise BadTrainingData(f"{path}: record {number}: its question or its passage is no Unicode text.")
        if not record["question"].strip() or not record["passage"].strip():
            raise BadTrainingData(f"{path}: record {number}: its question or its passage is empty.")
        questions.append(
            BoolqQuestion(record["question"], record["passage"], record["answer"], str(record.get("title") or ""))
        )
    if not questions:
        raise BadTrainingData(f"{path}: no question in it.")
    return questions
