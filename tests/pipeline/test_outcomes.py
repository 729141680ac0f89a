"""What came of a question: an answer, a guess or nothing, on the real default model with rules of a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack.utils import ComponentDevice

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.answers import EmptySpans, ReadSpan, merged
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.haystack.pipelines import question_answering
from deformer_qa.pipeline.outcomes import OutcomeRule
from deformer_qa.pipeline.places import Places
from deformer_qa.pipeline.rank import FEATURES, RankingWeights
from deformer_qa.pipeline.retrieve import Candidate
from deformer_qa.pipeline.yes_no import least_confidence
from deformer_qa.reader.description import describe_reader, set_fitted
from deformer_qa.reader.errors import ModelNotFound, UnsupportedModel
from deformer_qa.reader.reading import SplitReader
from deformer_qa.reader.spans import TokenSpan

TEXTS = {
    "bridge.txt": "The Karsund bridge was opened in 1932. It is built of steel. About four thousand people cross it "
    "on a summer's day. Cars have not been allowed on it since 1987, because its deck is too weak.",
    "sluice.md": "# The sluice of Karsund\n\nThe sluice has one gate. To open the sluice, run this command:\n\n"
    "    sluice --open north\n\nThe sluice may be in three states:\n\n- open\n- closed\n- under repair by the town\n",
}
OPENED = "When was the Karsund bridge opened?"


@pytest.mark.parametrize(("confidence", "outcome"), [(None, "nothing"), (0.0049, "nothing"), (0.005, "guess")])
def test_an_answer_that_would_be_printed_as_0_percent_is_nothing_however_near_its_passage_is(
    confidence: float | None, outcome: str
) -> None:
    assert OutcomeRule(0.5, 0.2, 0.4).outcome(confidence, 0.9) == outcome


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, shipped_reader: SplitReader) -> Path:
    folder = tmp_path_factory.mktemp("outcomes")
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    sync(folder / "store", shipped_reader.encoder, [folder / name for name in TEXTS])
    return folder / "store"


@pytest.fixture(scope="module")
def pipeline(store: Path, shipped_reader: SplitReader) -> Iterator[Pipeline]:
    with Pipeline.open(store, shipped_reader) as pipeline:
        yield pipeline


def _with(pipeline: Pipeline, **described: Any) -> Pipeline:
    """The same with another description of its reader."""
    assert pipeline.reader.about is not None
    about = replace(pipeline.reader.about, **described)
    return Pipeline(pipeline.snapshot, SplitReader(pipeline.reader.encoder, pipeline.reader.weights, about))


def _rule(sure: float, confidence: float, dense: float) -> dict[str, Any]:
    return {"sure": sure, "nothing": {"confidence": confidence, "dense": dense}}


# The rule


@pytest.mark.parametrize(
    ("confidence", "nearest", "expected"),
    [
        (0.5, 0.1, "answer"),
        (0.49, 0.9, "guess"),
        (0.04, 0.31, "guess"),  # the retrieval found something near
        (0.06, 0.1, "guess"),  # the reader found something likely
        (0.04, 0.29, "nothing"),
        (0.04, None, "guess"),
        (None, 0.9, "nothing"),
        (None, None, "nothing"),
    ],
)
def test_nothing_is_found_only_where_reader_and_retrieval_agree(
    confidence: float | None, nearest: float | None, expected: str
) -> None:
    assert OutcomeRule().outcome(confidence, nearest) == expected


def test_the_rule_is_data_of_the_reader() -> None:
    assert OutcomeRule.from_mapping({}) == OutcomeRule(0.5, 0.05, 0.3)
    assert OutcomeRule.from_mapping(_rule(0.6, 0.1, 0.2)) == OutcomeRule(0.6, 0.1, 0.2)
    assert least_confidence({}) == 0.8
    assert least_confidence({"label": 0.7}) == 0.7
    for wrong, named in (
        ({"nothing": {"confidence": 0.1, "dense": 0.2}}, "sure"),
        ({"sure": 0.5}, "nothing.confidence, nothing.dense"),
        ({"sure": True, "nothing": {"confidence": 0.1, "dense": 0.2}}, "sure"),
        ({"sure": 0.5, "nothing": {"confidence": "0.1", "dense": 0.2}}, "nothing.confidence"),
        ({"sure": 0.5, "nothing": 3}, "nothing.confidence, nothing.dense"),
    ):
        with pytest.raises(UnsupportedModel, match=f"outcomes: no number for {named}; expected"):
            OutcomeRule.from_mapping(wrong)
    for label in ("yes", None, True):
        with pytest.raises(UnsupportedModel, match="yes_no: expected"):
            least_confidence({"label": label})


def test_a_readers_description_tells_its_rules(tiny_reader: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    description = json.loads((tiny_reader / "reader.json").read_text(encoding="utf-8"))
    (folder / "reader.json").write_text(json.dumps(description), encoding="utf-8")
    assert (describe_reader(folder).outcomes, describe_reader(folder).yes_no) == ({}, {})
    set_fitted(folder, outcomes=_rule(0.4, 0.1, 0.2), yes_no={"label": 0.9})
    assert describe_reader(folder).outcomes == _rule(0.4, 0.1, 0.2)
    assert describe_reader(folder).yes_no == {"label": 0.9}
    set_fitted(folder, yes_no=[0.9])  # type: ignore[arg-type]
    with pytest.raises(ModelNotFound, match="yes_no: expected dict"):
        describe_reader(folder)


# What came of it


def test_a_sure_answer_a_guess_and_nothing(pipeline: Pipeline) -> None:
    best = pipeline.ask(OPENED).answers[0]
    assert best.place.text == "1932"
    rows = [one.json() for one in pipeline.ask(OPENED).answers]
    for rule, outcome in (
        (_rule(best.confidence - 0.01, 0, 0), "answer"),
        (_rule(best.confidence + 0.01, 0, 0), "guess"),
        (_rule(0, best.confidence + 0.01, 2), "nothing"),
    ):
        made = _with(pipeline, outcomes=rule).ask(OPENED)
        assert (made.outcome, made.sure, made.is_given) == (outcome, outcome == "answer", outcome == "answer")
        shown = made.json()
        assert (shown["sure"], shown["no_answer"]["is_best"]) == (outcome == "answer", outcome == "nothing")
        assert shown["answers"] == rows
        assert bool(made.nearest) == (outcome == "nothing")
    assert made.nearest[0].path == "bridge.txt"


def test_a_risk_decides_what_is_given_but_never_nothing(pipeline: Pipeline) -> None:
    confidence = pipeline.ask(OPENED).answers[0].confidence
    risk = {"delta": 0.05, "questions": 1, "thresholds": {"0.2": confidence - 0.01}}
    guess = _with(pipeline, outcomes=_rule(confidence + 0.01, 0, 0), risk=risk).ask(OPENED, max_risk=0.2)
    assert (guess.outcome, guess.abstains, guess.is_given) == ("guess", False, True)
    nothing = _with(pipeline, outcomes=_rule(0, 1.1, 2), risk=risk).ask(OPENED, max_risk=0.2)
    assert (nothing.outcome, nothing.abstains, nothing.is_given) == ("nothing", True, False)


# What is no answer


def _spans(places: Places, passage_id: int, texts: list[str]) -> list[ReadSpan]:
    candidate = Candidate(passage_id, b"", 0.0, None, 0.0, 0.0)
    found = []
    for number, text in enumerate(texts):
        start = places.text(passage_id).index(text)
        rows = places.rows(passage_id, start, start + len(text))
        span = TokenSpan(rows[0], rows[-1], 9.0 - number, 9.0 - number)
        found.append(ReadSpan(candidate, span, [span.margin, *[0.0] * (len(FEATURES) - 1)]))
    return found


def _merged(pipeline: Pipeline, question: str, texts: list[str], probabilities: list[float]) -> list[tuple[str, float]]:
    (document,) = [one for one in pipeline.snapshot.iter_documents() if one.path == "bridge.txt"]
    (passage,) = pipeline.snapshot.document_passages(document.id)
    places = Places(pipeline.snapshot, pipeline.reader.encoder.tokenizer)
    spans, weights = _spans(places, passage.id, texts), RankingWeights.from_mapping({})
    made = merged(spans, np.array(probabilities), weights, places, None, empty=EmptySpans(question))
    return [(one.place.text, round(one.confidence, 6)) for one in made]


def test_junk_is_no_answer_even_where_it_is_the_likeliest(pipeline: Pipeline) -> None:
    texts = ["The Karsund bridge was", ".", "1932", "steel"]
    found = _merged(pipeline, OPENED, texts, [0.4, 0.3, 0.1, 0.05])
    assert found == [("1932", 0.1), ("steel", 0.05)]
    assert _merged(pipeline, OPENED, texts[:2], [0.6, 0.3]) == []


def test_a_likely_part_that_is_junk_counts_for_the_answer_around_it(pipeline: Pipeline) -> None:
    assert _merged(pipeline, OPENED, ["opened", "opened in 1932"], [0.4, 0.3]) == [("opened in 1932", 0.7)]


def test_of_one_sentence_only_the_best_and_of_the_unlikely_only_the_first(pipeline: Pipeline) -> None:
    texts = ["1932", "four thousand", "steel", "summer's day", "1987"]
    found = _merged(pipeline, "How many?", texts, [0.5, 0.2, 0.0049, 0.1, 0.005])
    assert found == [("1932", 0.5), ("four thousand", 0.2), ("1987", 0.005)]
    assert _merged(pipeline, "How many?", ["steel"], [0.0001]) == [("steel", 0.0001)]


# Long answers


def test_a_long_answer_is_the_text_at_its_place_with_the_span_inside(pipeline: Pipeline) -> None:
    for question, path, long in (
        (
            "Why are cars not allowed on the Karsund bridge?",
            "bridge.txt",
            "Cars have not been allowed on it since 1987, because its deck is too weak.",
        ),
        ("How do I open the sluice?", "sluice.md", "To open the sluice, run this command:\n\n    sluice --open north"),
        (
            "What are the states of the sluice?",
            "sluice.md",
            "The sluice may be in three states:\n\n- open\n- closed\n- under repair by the town",
        ),
    ):
        made = pipeline.ask(question)
        first = made.answers[0]
        assert first.kind == "passage"
        assert first.long is not None
        assert (first.long.path, first.long.text) == (path, long)
        for one in made.answers:
            assert one.long is not None
            text = pipeline.snapshot.document(one.long.document).text
            assert text[one.long.start : one.long.end] == one.long.text
            assert one.long.start <= one.place.start < one.place.end <= one.long.end
            shown = one.json()
            part = {"text": one.long.text, "start": one.long.start, "end": one.long.end}
            assert (shown["kind"], shown["long"], shown["text"]) == ("passage", part, one.place.text)
        parts = [(one.long.document, one.long.start, one.long.end) for one in made.answers if one.long]
        for number, (document, start, end) in enumerate(parts):
            assert not any(document == other and start < last and end > at for other, at, last in parts[:number])
    short = pipeline.ask(OPENED).json()["answers"][0]
    assert (short["kind"], short["long"]) == ("span", None)


def test_a_haystack_answer_has_outcome_and_long_part_in_its_meta(store: Path, pipeline: Pipeline) -> None:
    asking = question_answering(store, device=ComponentDevice.from_str("cpu"))
    for question in (OPENED, "Why are cars not allowed on the Karsund bridge?"):
        expected = pipeline.ask(question)
        made = asking.run({"retriever": {"query": question}, "reader": {"query": question}})["reader"]["answers"]
        found = [one for one in made if one.data is not None]
        assert [one.data for one in found] == [one.place.text for one in expected.answers]
        for one, answer in zip(found, expected.answers, strict=True):
            assert (one.meta["sure"], one.meta["outcome"]) == (expected.sure, expected.outcome)
            assert ("long" in one.meta) == (answer.long is not None)
            if answer.long:
                long = one.meta["long"]
                assert one.document.content[long["start"] : long["end"]] == long["text"] == answer.long.text


# Yes and no


def test_a_label_that_is_not_sure_enough_is_not_said(pipeline: Pipeline) -> None:
    question = "Is the Karsund bridge built of steel?"
    (said,) = _with(pipeline, yes_no={"label": 0.5}).ask(question).answers
    assert (said.kind, said.label, said.long) == ("yes_no", "yes", None)
    unsaid = _with(pipeline, yes_no={"label": 1.0}).ask(question)
    assert unsaid.asked == "yes_no"
    for answer in unsaid.answers:
        assert (answer.kind, answer.label) == ("passage", None)
        assert answer.long == answer.place
        assert answer.place.text[0].isupper()
        assert answer.place.text[-1] in ".:"
    assert unsaid.answers[0].place.text == said.place.text == "It is built of steel."


def test_the_sentence_of_a_label_is_no_heading(tmp_path: Path, shipped_reader: SplitReader) -> None:
    (tmp_path / "a.md").write_text("# Bakers of Karsund, and Ada Holm\n\nAda Holm is a baker. She lives there.\n")
    sync(tmp_path / "store", shipped_reader.encoder, [tmp_path / "a.md"])
    with Pipeline.open(tmp_path / "store", shipped_reader) as pipeline:
        for label in (0.0, 1.1):
            made = _with(pipeline, yes_no={"label": label}).ask("Is Ada Holm a baker?")
            assert made.answers[0].place.text == "Ada Holm is a baker."
