"""Questions for yes or no, and answers at a stated risk, on the real default model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deformer_qa.indexer.sync import sync
from deformer_qa.lab.fit.risk import fit_risk
from deformer_qa.lab.measure.confidence import measured
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.errors import RiskNotKnown
from deformer_qa.pipeline.questions import wanted_by
from deformer_qa.pipeline.rank import RankingWeights, confidences, passage_features
from deformer_qa.pipeline.results import RiskLimit
from deformer_qa.pipeline.retrieve import candidates, retrieve
from deformer_qa.pipeline.risk import known_thresholds, risk_limit
from deformer_qa.reader.passages import sentences
from deformer_qa.reader.reading import SplitReader

TEXTS = {
    "bridge.txt": "The Karsund bridge was opened in 1932. It is built of steel. About four thousand people cross it "
    "on a summer's day. Cars have not been allowed on it since 1987.",
    "baker.txt": "Ada Holm is a baker in Karsund. She never learned to swim. Her bread is sold on the market square.",
}
ASKED = {
    "Is the Karsund bridge built of steel?": ("yes", "It is built of steel."),
    "Are cars allowed on the Karsund bridge?": ("no", "Cars have not been allowed on it since 1987."),
    "Is Ada Holm a baker?": ("yes", "Ada Holm is a baker in Karsund."),
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, shipped_reader: SplitReader) -> Pipeline:
    folder = tmp_path_factory.mktemp("yes-no")
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    sync(folder / "store", shipped_reader.encoder, [folder / name for name in TEXTS])
    return Pipeline.open(folder / "store", shipped_reader)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Is Titan a moon of Saturn?", True),
        ("can penguins fly", True),
        ("Didn't it rain?", True),
        ("Won\u2019t they come?", True),
        ("Is it Paris or Rome?", False),
        ("What is Titan?", False),
        ("Titan is a moon?", False),
        ("Is", False),
        ("In which year was it?", False),
        ("Will power?", True),
        ("Do you know who coined the expression blood bank?", False),
        ("Can you tell me when Magellan was killed?", False),
        ("Could you name the person who coined it?", False),
        ("Have a guess: was it he?", False),
        ("May 1521 saw what battle?", False),
        ("May 1521?", False),
        ("Was ist Magellan?", False),
    ],
)
def test_questions_for_yes_or_no_are_known_by_their_verb(question: str, expected: bool) -> None:
    assert (wanted_by(question).kind == "yes_no") is expected


@pytest.mark.parametrize("question", ASKED)
def test_a_yes_no_question_gets_a_label_and_the_sentence_it_rests_on(pipeline: Pipeline, question: str) -> None:
    label, sentence = ASKED[question]
    made = pipeline.ask(question)
    (answer,) = made.answers
    assert (answer.kind, answer.label, answer.place.text) == ("yes_no", label, sentence)
    text = pipeline.snapshot.document(answer.place.document).text
    assert text[answer.place.start : answer.place.end] == sentence
    assert 0.5 < answer.confidence <= 1 - made.no_answer_confidence
    shown = made.json()["answers"][0]
    assert (shown["kind"], shown["label"], shown["text"]) == ("yes_no", label, sentence)


def test_the_labels_confidence_is_what_passages_say_by_how_likely_each_is_the_one_to_ask(pipeline: Pipeline) -> None:
    question = "Is the Karsund bridge built of steel?"
    asked = pipeline.reader.encoder.encode_question(question)
    chosen = candidates(found := retrieve(pipeline.snapshot, question, asked.vector), found.fused)
    assert len(chosen) == 2
    assert pipeline.passage_weights is not None
    passages, none = confidences(
        pipeline.passage_weights.utilities([passage_features(one, place) for place, one in enumerate(chosen, start=1)])
    )
    made = pipeline.reader.read(asked.states, pipeline.snapshot.states([one.key for one in chosen]))
    yes = np.array([np.exp(one.yes_no[1]) / np.exp(one.yes_no).sum() for one in made])
    answers = pipeline.ask(question)
    assert answers.answers[0].confidence == pytest.approx(float((passages * yes).sum()), rel=1e-5)
    assert answers.no_answer_confidence == pytest.approx(none)


def test_sentences_are_the_text_without_the_blanks_between() -> None:
    text = "One. Two, by Mr. Smith!  Three?\n\nFour\n"
    assert [text[one.start : one.end] for one in sentences(text)] == ["One.", "Two, by Mr. Smith!", "Three?", "Four"]
    assert sentences(" \n ") == []


def test_a_risk_is_fitted_and_the_lowest_one_known_is_taken() -> None:
    chance = np.random.default_rng(0)
    confidence = chance.beta(3, 1, 3000)
    right = chance.random(3000) < confidence
    fitted = fit_risk(confidence, right, n_candidates=20, max_tokens=30)
    assert fitted["questions"] == 3000
    thresholds = [fitted["thresholds"][risk] for risk in sorted(fitted["thresholds"], key=float)]
    assert thresholds == sorted(thresholds, reverse=True)
    limit = risk_limit(fitted, 0.1234)
    assert limit == RiskLimit(0.1234, 0.05, fitted["thresholds"]["0.12"])
    others = chance.beta(3, 1, 3000)
    found = measured(others, chance.random(3000) < others, known_thresholds(fitted, [0.12, 0.001]))["max_risk"]
    assert found["0.12"]["risk"] <= 0.12
    assert found["0.12"]["coverage"] > 0.3
    assert found["0.001"]["threshold"] is None
    with pytest.raises(RiskNotKnown, match=r"max risk 0\.001: this reader cannot guarantee it; the lowest .* is 0\."):
        risk_limit(fitted, 0.001)
    with pytest.raises(RiskNotKnown, match="fit them with qa train ranking"):
        risk_limit({}, 0.1)
    assert risk_limit(fitted, 0.2, n_candidates=20, max_tokens=30) == risk_limit(fitted, 0.2)
    with pytest.raises(RiskNotKnown, match="known for candidates 20 alone, found 5"):
        risk_limit(fitted, 0.2, n_candidates=5)


def test_asking_abstains_where_the_best_answer_is_not_sure_enough(pipeline: Pipeline, tmp_path: Path) -> None:
    about = pipeline.reader.about
    assert about is not None
    sure = Pipeline(pipeline.snapshot, pipeline.reader)
    question = "When was the Karsund bridge opened?"
    best = pipeline.ask(question).answers[0]
    assert best.place.text == "1932"
    for threshold, abstains in ((best.confidence - 0.01, False), (best.confidence + 0.01, True)):
        risk = {"delta": 0.05, "questions": 1, "thresholds": {"0.2": threshold}}
        sure.reader = SplitReader(pipeline.reader.encoder, pipeline.reader.weights, replace(about, risk=risk))
        made = sure.ask(question, max_risk=0.2)
        assert made.abstains is abstains
        assert made.is_given is not abstains
        assert made.json()["risk"] == {"max_risk": 0.2, "delta": 0.05, "threshold": threshold, "abstains": abstains}
    assert sure.ask("Is the Karsund bridge built of steel?", max_risk=0.2).abstains  # of yes and no no risk is known
    assert pipeline.ask(question).json()["risk"] is None
    assert RankingWeights.from_mapping(about.ranking_passages).values[:2] == (0.0, 0.0)
