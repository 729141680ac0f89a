"""A store of a SQuAD file's paragraphs, one document each; what the open figures are measured over."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deformer_qa.reader.encoder import Encoder


def index_paragraphs(contexts: Sequence[str], store: Path, encoder: Encoder) -> None:
    """Index the texts, equal ones once, into a store; one that already has them encodes nothing.

    They are kept as ``<store>.paragraphs.jsonl`` beside the store, so that its root stays there.
    """
    from deformer_qa.indexer.sync import sync

    file = store.parent / f"{store.name}.paragraphs.jsonl"
    lines = "".join(json.dumps({"text": context}) + "\n" for context in dict.fromkeys(contexts))
    if not file.is_file() or file.read_text(encoding="utf-8") != lines:
        file.write_text(lines, encoding="utf-8")
    sync(store, encoder, [file])


def fit_on_held_back(
    data: Path,
    reader_folder: Path,
    n_questions: int,
    n_distractors: int,
    on_question: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Fit a reader's ranking on its held-back articles, then on other questions of them what confidence holds a risk.

    Both are written into its reader.json.
    """
    import random

    from deformer_qa.pipeline.asking import Pipeline
    from deformer_qa.pipeline.open_evaluation import judged_confidences, open_questions, sampled
    from deformer_qa.pipeline.ranking import RankingWeights
    from deformer_qa.pipeline.ranking_fit import WITHOUT_ANSWER, fit_ranking
    from deformer_qa.pipeline.risk import fit_risk
    from deformer_qa.reader.description import set_fitted
    from deformer_qa.reader.errors import BadTrainingData
    from deformer_qa.reader.reading import SplitReader
    from deformer_qa.reader.squad import SquadSet, read_squad

    reader = SplitReader.load(reader_folder)
    assert reader.about is not None
    recipe = reader.about.training["recipe"]
    squad = read_squad(data)
    held = set(reader.about.training["held_back_articles"])
    asked = SquadSet(tuple(one for one in squad.paragraphs if one.article in held), squad.has_impossible)
    if not asked.paragraphs:
        raise BadTrainingData(f"{data}: none of the {len(held)} articles held back in {reader_folder} is in it.")
    elsewhere = [one.context for one in squad.paragraphs if one.article not in held]
    distractors = random.Random(recipe["seed"]).sample(elsewhere, min(n_distractors, len(elsewhere)))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        index_paragraphs([one.context for one in asked.paragraphs] + distractors, store, reader.encoder)
        with Pipeline.open(store, reader) as pipeline:
            questions = open_questions(pipeline.snapshot, asked)
            for_weights = sampled(questions, n_questions, recipe["seed"])
            fitted = fit_ranking(pipeline, for_weights, on_question=on_question)
            pipeline.weights = RankingWeights.from_mapping(fitted.weights)
            taken = {id(one) for one in for_weights}
            others = sampled([one for one in questions if id(one) not in taken], n_questions, recipe["seed"])
            confidences, right = judged_confidences(
                pipeline, others, without_answer=WITHOUT_ANSWER, seed=recipe["seed"], on_question=on_question
            )
    risk = fit_risk(confidences, right)
    set_fitted(
        reader_folder,
        ranking=fitted.weights,
        ranking_given=fitted.given,
        ranking_passages=fitted.passages,
        risk=risk,
    )
    return {
        "weights": fitted.weights,
        "given": fitted.given,
        "passages": fitted.passages,
        "questions": fitted.n_questions,
        "without_answer": fitted.n_without_answer,
        "loss_before": fitted.loss_before,
        "loss_after": fitted.loss_after,
        "risk": risk,
    }
