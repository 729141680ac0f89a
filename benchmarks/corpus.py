"""What benchmarks of speed index and ask: the sample corpus, or paragraphs and questions of a SQuAD file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

SAMPLE = Path(__file__).resolve().parents[1] / "examples"


@dataclass(frozen=True)
class Asked:
    """A question with its known answers."""

    text: str
    answers: tuple[str, ...]


def corpus(squad: Path | None, n_paragraphs: int, folder: Path) -> tuple[Path, list[Asked]]:
    """A path to index and questions about it, as far as possible about different paragraphs one after another.

    :param squad: the SQuAD file; None for the sample corpus.
    :param folder: where its paragraphs are written.
    """
    if squad is None:
        content = json.loads((SAMPLE / "questions.json").read_text(encoding="utf-8"))["questions"]
        return SAMPLE / "corpus", [Asked(one["question"], tuple(one["answers"])) for one in content if one["answers"]]
    from deformer_qa.lab.data.squad import read_squad

    paragraphs = read_squad(squad).paragraphs[:n_paragraphs]
    source = folder / "paragraphs.jsonl"
    source.write_text("".join(json.dumps({"text": one.context}) + "\n" for one in paragraphs), encoding="utf-8")
    return source, [
        Asked(one.question, tuple(gold.text for gold in one.answers))
        for index in range(max(len(paragraph.questions) for paragraph in paragraphs))
        for paragraph in paragraphs
        for one in paragraph.questions[index : index + 1]
        if one.answers
    ]
