"""From a question to answers on the real default model: exact places, one encoder pass, the same every time."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deformer_qa.indexer.sync import sync
from deformer_qa.lab.data.squad import f1
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.errors import BadQuestion
from deformer_qa.pipeline.results import Answers
from deformer_qa.reader.errors import TextTooLong
from deformer_qa.reader.reading import SplitReader
from deformer_qa.store import Codebook, open_snapshot
from deformer_qa.store.segments.catalogue import connect_read_only

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
QUESTIONS: list[dict[str, Any]] = json.loads((EXAMPLES / "questions.json").read_text(encoding="utf-8"))["questions"]


@pytest.fixture(scope="module")
def asked(example_store: Path, shipped_reader: SplitReader) -> dict[str, Answers]:
    """Every example question, answered."""
    with Pipeline.open(example_store, shipped_reader) as pipeline:
        return {one["id"]: pipeline.ask(one["question"], n_answers=3) for one in QUESTIONS}


def test_every_answer_is_the_text_at_its_place(asked: dict[str, Answers], example_pipeline: Pipeline) -> None:
    for answers in asked.values():
        for answer in answers.answers:
            for place in (answer.place, *answer.evidence):
                text = example_pipeline.snapshot.document(place.document).text
                assert text[place.start : place.end] == place.text != ""
            text = example_pipeline.snapshot.document(answer.place.document).text
            context_end = answer.context_start + len(answer.context)
            assert text[answer.context_start : context_end] == answer.context
            assert answer.context_start <= answer.place.start < answer.place.end <= context_end


def test_most_questions_of_the_sample_corpus_are_answered(asked: dict[str, Answers]) -> None:
    answerable = [one for one in QUESTIONS if one["answers"]]
    first = sum(f1(asked[one["id"]].answers[0].place.text, one["answers"]) > 0.5 for one in answerable)
    among = sum(
        any(f1(answer.place.text, one["answers"]) > 0.5 for answer in asked[one["id"]].answers) for one in answerable
    )
    assert len(answerable) == 50
    assert first >= 30
    assert among >= 36


def test_answers_are_ranked_and_their_confidences_are_probabilities(asked: dict[str, Answers]) -> None:
    for answers in asked.values():
        confidences = [answer.confidence for answer in answers.answers]
        assert confidences == sorted(confidences, reverse=True)
        assert all(0 <= one <= 1 for one in confidences)
        assert sum(confidences) + answers.no_answer_confidence <= 1 + 1e-9


def test_answers_of_one_question_neither_repeat_nor_overlap(asked: dict[str, Answers]) -> None:
    for answers in asked.values():
        texts = [answer.place.text.lower() for answer in answers.answers]
        assert len(set(texts)) == len(texts)
        for one in answers.answers:
            for other in answers.answers:
                if one is not other and one.place.document == other.place.document:
                    assert one.place.end <= other.place.start or other.place.end <= one.place.start


def test_the_same_question_gives_the_same_json_timings_aside(example_pipeline: Pipeline) -> None:
    first, second = (example_pipeline.ask(QUESTIONS[3]["question"]).json() for _ in range(2))
    assert first.pop("timings_ms").keys() == second.pop("timings_ms").keys() == {
        "encode", "retrieve", "load", "read", "rank", "total",
    }  # fmt: skip
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def test_asking_encodes_the_question_once_and_no_passage(example_pipeline: Pipeline) -> None:
    before = example_pipeline.reader.encoder.n_passes
    assert example_pipeline.ask(QUESTIONS[0]["question"]).answers
    assert example_pipeline.reader.encoder.n_passes == before + 1


def test_stored_states_are_the_live_ones_within_the_encodings_tolerance(
    example_store: Path, shipped_reader: SplitReader, tmp_path: Path
) -> None:
    encoder = shipped_reader.encoder
    assert encoder.codebook is not None
    codebook = Codebook(**encoder.codebook)
    page = EXAMPLES / "corpus" / "science" / "dna.md"
    for name in ("fp16", "int8"):
        sync(tmp_path / name, encoder, [page], encoding=name)
    for store, encoding in ((example_store, "pq4"), (tmp_path / "int8", "int8"), (tmp_path / "fp16", "fp16")):
        with open_snapshot(store) as snapshot:
            assert snapshot.encoding == encoding
            records = [
                record for info in list(snapshot.iter_documents())[:4] for record in snapshot.document_passages(info.id)
            ]
            stored = snapshot.states([record.key for record in records])
            vectors = snapshot.vectors([record.key for record in records])
            for text, states, vector in zip(
                snapshot.passage_inputs([one.id for one in records]), stored, vectors, strict=True
            ):
                live = encoder.encode(text)
                largest = np.abs(live.states).max(axis=1, keepdims=True)
                coded = codebook.states(codebook.codes(live.states))
                tolerance = {
                    "pq4": np.abs(coded - live.states),
                    "int8": largest / 127 / 2,
                    "fp16": np.abs(live.states) * 2.0**-11 + 2.0**-24,
                }[encoding]
                assert (np.abs(states - live.states) <= tolerance * (1 + 1e-5) + 1e-6).all()
                np.testing.assert_array_equal(vector, live.vector)


def _answers(pipeline: Pipeline, question: str) -> list[tuple[str, str, int, float, float]]:
    made = pipeline.ask(question, n_answers=5)
    return [(one.place.path, one.place.text, one.place.start, one.score, one.confidence) for one in made.answers]


def test_sixty_commits_of_one_document_answer_like_one_commit_of_sixty(
    shipped_reader: SplitReader, tmp_path: Path
) -> None:
    texts = [
        paragraph
        for file in sorted((EXAMPLES / "corpus").rglob("*.md"))
        for paragraph in file.read_text(encoding="utf-8").split("\n\n")
        if len(paragraph) > 150
    ][:60]
    assert len(texts) == 60
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, text in enumerate(texts):
        (corpus / f"{number:02}.txt").write_text(text, encoding="utf-8")
        report = sync(tmp_path / "sixty", shipped_reader.encoder, [corpus])
        assert report.files.added == 1
    sync(tmp_path / "one", shipped_reader.encoder, [corpus])
    with (
        Pipeline.open(tmp_path / "sixty", shipped_reader) as sixty,
        Pipeline.open(tmp_path / "one", shipped_reader) as one,
    ):
        for question in [entry["question"] for entry in QUESTIONS[:20]]:
            found, expected = _answers(sixty, question), _answers(one, question)
            assert [row[:3] for row in found] == [row[:3] for row in expected]
            np.testing.assert_allclose([row[3:] for row in found], [row[3:] for row in expected], atol=1e-5, rtol=0)
            by_search = [
                [(hit.place.path, hit.place.start) for hit in pipeline.search(question, n=20)]
                for pipeline in (sixty, one)
            ]
            assert by_search[0] == by_search[1]


@pytest.mark.parametrize("question", ["", "   ", "\n\t"])
def test_a_blank_question_is_refused(question: str, example_pipeline: Pipeline) -> None:
    with pytest.raises(BadQuestion, match="empty"):
        example_pipeline.ask(question)


def test_a_question_beyond_the_encoder_is_refused_with_the_limit(example_pipeline: Pipeline) -> None:
    with pytest.raises(TextTooLong, match="at most 254"):
        example_pipeline.ask("why " * 255)


def test_asking_from_several_threads_gives_the_same_answers(example_pipeline: Pipeline) -> None:
    from concurrent.futures import ThreadPoolExecutor

    questions = [entry["question"] for entry in QUESTIONS[:8]]
    alone = [_answers(example_pipeline, question) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda question: _answers(example_pipeline, question), questions))
    assert together == alone


@pytest.mark.parametrize("question", ["On what date was Magellan killed?", "Until when is Heronbase 4.1 supported?"])
def test_an_ask_of_twenty_candidates_takes_at_most_six_statements(
    question: str, example_store: Path, shipped_reader: SplitReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []

    def traced(path: Path) -> sqlite3.Connection:
        connection = connect_read_only(path)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr("deformer_qa.store.segments.catalogue.connect_read_only", traced)
    with Pipeline.open(example_store, shipped_reader) as pipeline:
        statements.clear()
        assert pipeline.ask(question, n_candidates=20).answers
    assert 0 < len(statements) <= 6, statements
