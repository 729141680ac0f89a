"""Fit everything that ranks and judges a reader's answers, in one run on questions that its training held back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from deformer_qa.lab.fit.confidences import arrays, figures, first_answers, fit_confidence, fit_nothing_found
from deformer_qa.lab.fit.labels import fit_label
from deformer_qa.lab.fit.mixture import held_back_mixture
from deformer_qa.lab.fit.ranking import fit_ranking, judged
from deformer_qa.lab.fit.risk import fit_risk
from deformer_qa.lab.measure.confidence import halves
from deformer_qa.lab.train.recipe import recipe_from
from deformer_qa.pipeline import N_CANDIDATES
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.outcomes import OutcomeRule
from deformer_qa.pipeline.rank import FEATURES, FIRST_SIGNS, RankingWeights
from deformer_qa.reader.description import set_fitted
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.reading import EngineName, SplitReader
from deformer_qa.reader.spans import MAX_ANSWER_TOKENS


def fit_reader(
    folder: Path,
    data: Path,
    *,
    n_each: int,
    n_others: int,
    store: Path | None = None,
    engine: EngineName | None = None,
    only_risk: bool = False,
    on_event: Callable[[str], None] = lambda line: None,
    on_question: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Fit the ranking, the confidences, the outcomes, the labels and the --max-risk thresholds into reader.json.

    The ranking is fitted on the questions of one half of the articles and tables, confidences and outcomes on the other
    half. The returned figures and the thresholds of --max-risk come from the second half too; there each fifth has
    confidences that were fitted on the other four.

    :param data: the folder with the files that the reader's recipe names.
    :param n_each: the most questions of each kind.
    :param n_others: how many other documents of each source to search among.
    :param store: where to keep the store for another run, which then encodes nothing again; a temporary one by default.
    :param only_risk: keep the ranking and the confidences as they are, and fit only the thresholds of --max-risk.
    :raises BadTrainingData: if nothing was held back, or one half has no question.
    """
    reader = SplitReader.load(folder)
    reader.use(engine)
    assert reader.about is not None
    training = reader.about.training
    recipe = recipe_from(training["recipe"], f"{folder}: recipe")
    mixture = held_back_mixture(recipe, training["held_back_articles"], data, n_others)
    with ExitStack() as stack:
        place = store or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "store"
        on_event(f"indexing {len(mixture.titles):,} documents")
        mixture.index(place, reader.encoder)
        pipeline = stack.enter_context(Pipeline.open(place, reader))
        asked = mixture.sampled(n_each, recipe.seed)
        questions = asked.questions(pipeline.snapshot)
        on_event(f"reading {len(questions):,} questions")
        read = judged(pipeline, questions, seed=recipe.seed, on_question=on_question)
        is_first = halves([one.asked.group for one in read], recipe.seed).tolist()
        first = [one for one, of_first in zip(read, is_first, strict=True) if of_first]
        second = [one for one, of_first in zip(read, is_first, strict=True) if not of_first]
        if not any(one.spans for one in first) or not second:
            raise BadTrainingData(f"{data}: too few articles and tables are held back to fit on one half of them.")
        if only_risk:
            answers = first_answers(second, pipeline.weights, pipeline.confidence_weights)
            risk = fit_risk(*arrays(answers), n_candidates=N_CANDIDATES, max_tokens=MAX_ANSWER_TOKENS)
            set_fitted(folder, risk=risk)
            return {"risk": risk, "figures": figures(answers)}
        ranking = fit_ranking(first)
        weights = RankingWeights.from_mapping(ranking.weights)
        sure, answers = fit_confidence(first_answers(second, weights))
    labels = fit_label(recipe, data, reader)
    outcomes = {"sure": OutcomeRule().sure, "nothing": fit_nothing_found(answers)}
    risk = fit_risk(*arrays(answers), n_candidates=N_CANDIDATES, max_tokens=MAX_ANSWER_TOKENS)
    set_fitted(
        folder,
        ranking=dict(zip(FEATURES, weights.values, strict=True)),
        ranking_given=ranking.given,
        ranking_passages=ranking.passages,
        ranking_fit={"questions": ranking.n_questions},
        confidence=dict(zip(FIRST_SIGNS, sure.values, strict=True)),
        outcomes=outcomes,
        risk=risk,
        yes_no={"label": labels["least"]},
    )
    return {
        "ranking": ranking.json(),
        "outcomes": outcomes,
        "risk": risk,
        "labels": labels,
        "figures": figures(answers),
    }
