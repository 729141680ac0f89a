"""A store of a SQuAD file's paragraphs, one document each; what the open figures are measured over."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deformer_qa.pipeline.asking import Pipeline
    from deformer_qa.pipeline.open_evaluation import OpenQuestion
    from deformer_qa.reader.encoder import Encoder
    from deformer_qa.reader.reading import Precision
    from deformer_qa.reader.squad import SquadParagraph


def index_paragraphs(
    paragraphs: Sequence[SquadParagraph], store: Path, encoder: Encoder, encoding: str | None = None
) -> None:
    """Index the texts below their articles' titles, equal texts once, into a store; what it has is not encoded again.

    They are kept as ``<store>.paragraphs.jsonl`` beside the store, so that its root stays there.
    """
    from deformer_qa.indexer.syncing import sync

    file = store.parent / f"{store.name}.paragraphs.jsonl"
    titles: dict[str, str] = {}
    for one in paragraphs:
        titles.setdefault(one.context, one.title)
    lines = "".join(json.dumps({"title": title, "text": text}) + "\n" for text, title in titles.items())
    if not file.is_file() or file.read_text(encoding="utf-8") != lines:
        file.write_text(lines, encoding="utf-8")
    sync(store, encoder, [file], encoding=encoding)


@dataclass(frozen=True)
class HeldBack:
    """A reader over a store of its held-back articles among others, and the questions asked of it.

    :ivar first: a seeded draw of the answerable ones; ``others`` are the rest
    """

    pipeline: Pipeline
    first: list[OpenQuestion]
    others: list[OpenQuestion]
    seed: int


@contextmanager
def held_back(
    data: Path, reader_folder: Path, n_first: int | None, n_distractors: int, precision: Precision = "fp32"
) -> Iterator[HeldBack]:
    """What a reader's confidences are fitted on.

    :param data: the SQuAD file the reader was trained on.
    :param n_first: questions that the ranking is fitted on; None are those that it was fitted on.
    :raises BadTrainingData: where it has none of the articles held back, or no ranking was fitted.
    """
    from deformer_qa.pipeline.asking import Pipeline
    from deformer_qa.pipeline.open_evaluation import open_questions, sampled
    from deformer_qa.reader.errors import BadTrainingData
    from deformer_qa.reader.reading import SplitReader
    from deformer_qa.reader.squad import SquadSet, read_squad

    reader = SplitReader.load(reader_folder)
    reader.precision = precision
    assert reader.about is not None
    seed = int(reader.about.training["recipe"]["seed"])
    if n_first is None:
        n_first = reader.about.ranking_fit.get("questions")
        if n_first is None:
            raise BadTrainingData(f"{reader_folder}: its ranking is not fitted; first run qa train ranking.")
    squad = read_squad(data)
    held = set(reader.about.training["held_back_articles"])
    asked = SquadSet(tuple(one for one in squad.paragraphs if one.article in held), squad.has_impossible)
    if not asked.paragraphs:
        raise BadTrainingData(f"{data}: none of the {len(held)} articles held back in {reader_folder} is in it.")
    elsewhere = [one for one in squad.paragraphs if one.article not in held]
    distractors = random.Random(seed).sample(elsewhere, min(n_distractors, len(elsewhere)))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        index_paragraphs([*asked.paragraphs, *distractors], store, reader.encoder)
        with Pipeline.open(store, reader) as pipeline:
            questions = open_questions(pipeline.snapshot, asked)
            first = sampled(questions, n_first, seed)
            taken = {id(one) for one in first}
            yield HeldBack(pipeline, first, [one for one in questions if id(one) not in taken], seed)


def fit_ranking_of(
    reader_folder: Path, held: HeldBack, on_question: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Fit a reader's ranking on the first questions and write it into its reader.json; what was found."""
    from deformer_qa.pipeline.ranking_fit import fit_ranking
    from deformer_qa.reader.description import set_fitted

    fitted = fit_ranking(held.pipeline, held.first, on_question=on_question)
    set_fitted(
        reader_folder,
        ranking=fitted.weights,
        ranking_given=fitted.given,
        ranking_passages=fitted.passages,
        ranking_fit={"questions": len(held.first)},
        risk={},
    )
    return {
        "weights": fitted.weights,
        "given": fitted.given,
        "passages": fitted.passages,
        "questions": fitted.n_questions,
        "without_answer": fitted.n_without_answer,
        "loss_before": fitted.loss_before,
        "loss_after": fitted.loss_after,
    }


def fit_risk_of(reader_folder: Path, held: HeldBack, on_question: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Fit on the other questions at what confidence a risk holds, and write it into reader.json; what was found."""
    from deformer_qa.pipeline.asking import N_CANDIDATES
    from deformer_qa.pipeline.open_evaluation import WITHOUT_ANSWER, judged_confidences
    from deformer_qa.pipeline.risk import fit_risk
    from deformer_qa.reader.description import set_fitted
    from deformer_qa.reader.errors import BadTrainingData
    from deformer_qa.reader.spans import MAX_ANSWER_TOKENS

    if not held.others:
        raise BadTrainingData("no question is left beside those that the ranking was fitted on; give fewer of those.")
    judged = judged_confidences(
        held.pipeline, held.others, without_answer=WITHOUT_ANSWER, seed=held.seed, on_question=on_question
    )
    found = fit_risk(*judged, n_candidates=N_CANDIDATES, max_tokens=MAX_ANSWER_TOKENS)
    set_fitted(reader_folder, risk=found)
    return found
