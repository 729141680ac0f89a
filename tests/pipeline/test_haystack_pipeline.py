"""Our components in Haystack's pipelines: the example runs, answers as asking does, and survives YAML."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.evaluators import AnswerExactMatchEvaluator
from haystack.components.joiners import DocumentJoiner
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.rankers import LostInTheMiddleRanker
from haystack.components.writers import DocumentWriter
from haystack.tracing import Span, Tracer, disable_tracing, enable_tracing
from haystack.utils import ComponentDevice

from deformer_qa.pipeline.ask import Pipeline as Asking
from deformer_qa.pipeline.errors import BadQuestion
from deformer_qa.pipeline.haystack.pipelines import question_answering
from deformer_qa.reader.errors import ModelNotFound, TextTooLong
from deformer_qa.reader.reading import SplitReader
from haystack_integrations.components.readers.deformer import DeformerReader
from haystack_integrations.components.retrievers.deformer import DeformerRetriever
from haystack_integrations.components.writers.deformer import DeformerIndexer
from haystack_integrations.document_stores.deformer import DeformerDocumentStore

REPOSITORY = Path(__file__).resolve().parents[2]
CPU = ComponentDevice.from_str("cpu")


def _asked(question: str) -> dict[str, Any]:
    return {"retriever": {"query": question}, "reader": {"query": question}}


def _questions() -> list[str]:
    content = json.loads((REPOSITORY / "examples" / "questions.json").read_text(encoding="utf-8"))
    return [one["question"] for one in content["questions"]][::5]


def test_a_pipeline_answers_as_asking_does_also_after_yaml_and_asynchronously(
    example_store: Path, shipped_reader: SplitReader
) -> None:
    pipeline = question_answering(example_store, device=CPU)
    loaded = Pipeline.loads(pipeline.dumps())
    with Asking.open(example_store, shipped_reader) as asking:
        for question in _questions():
            expected = asking.ask(question)
            made = pipeline.run(_asked(question))["reader"]["answers"]
            assert loaded.run(_asked(question))["reader"]["answers"] == made
            assert asyncio.run(loaded.run_async(_asked(question)))["reader"]["answers"] == made
            none = [one for one in made if one.data is None]
            assert [one.score for one in none] == [pytest.approx(expected.no_answer_confidence, abs=1e-6)]
            found = [one for one in made if one.data is not None]
            assert [one.data for one in found] == [one.place.text for one in expected.answers]
            for one, answer in zip(found, expected.answers, strict=True):
                assert one.score == pytest.approx(answer.confidence, abs=1e-6)
                assert one.document.meta["path"] == answer.place.path
                assert one.document.meta["deformer"]["start"] + one.document_offset.start == answer.place.start


def test_the_example_runs_as_its_text_says(example_store: Path) -> None:
    script = REPOSITORY / "examples" / "haystack_pipeline.py"
    question = "On what date was Magellan killed?"
    done = subprocess.run(
        [sys.executable, str(script), str(example_store), question], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert "27 April 1521" in lines[0]
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]


def test_components_work_with_haystacks_own(tmp_path: Path, tiny_reader: Path) -> None:
    store = DeformerDocumentStore(str(tmp_path / "store"), reader=str(tiny_reader))
    indexing = Pipeline()
    indexing.add_component("splitter", DocumentSplitter(split_by="word", split_length=12, split_overlap=4))
    indexing.add_component("indexer", DeformerIndexer(store))
    indexing.connect("splitter", "indexer")
    text = "the river was in the city of the river and who was in the city when the river was in 1492 " * 3
    indexing = Pipeline.loads(indexing.dumps())
    written = indexing.run({"splitter": {"documents": [Document(content=text, meta={"lang": "en"})]}})
    assert written["indexer"]["documents_written"] == store.count_documents() > 3
    indexing.run({"splitter": {"documents": [Document(content=text, meta={"lang": "en"})]}})
    assert store.count_documents() == written["indexer"]["documents_written"]

    asking = Pipeline()
    for mode in ("dense", "bm25"):
        asking.add_component(mode, DeformerRetriever(store, mode=mode))  # type: ignore[arg-type]
    asking.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion"))
    asking.add_component("ranker", LostInTheMiddleRanker())
    asking.add_component("reader", DeformerReader(str(tiny_reader), device=CPU, top_k=2))
    for mode in ("dense", "bm25"):
        asking.connect(mode, "joiner")
    asking.connect("joiner", "ranker")
    asking.connect("ranker", "reader")
    question = "who was in the city"
    given = {name: {"query": question} for name in ("dense", "bm25", "reader")}
    answers = asking.run(given)["reader"]["answers"]
    assert len(answers) == 3
    places = [one for one in answers if one.data is not None]
    assert len({one.document.meta["source_id"] for one in places}) == 1
    # The splitter's windows overlap; the same place in two of them is one answer.
    spans = [one.document.meta["split_idx_start"] + one.document_offset.start for one in places]
    assert len(set(spans)) == len(spans)
    evaluator = AnswerExactMatchEvaluator()
    same = [places[0].data]
    assert evaluator.run(ground_truth_answers=same, predicted_answers=same)["score"] == 1.0


def test_bm25_alone_encodes_nothing_and_takes_queries_of_any_length(tmp_path: Path, tiny_reader: Path) -> None:
    store = DeformerDocumentStore(tmp_path / "store", reader=tiny_reader)
    store.write_documents([Document(id=name, content=f"the {name} was in 1492") for name in ("river", "city", "of")])
    encoder = store.encoder()
    n_passes = encoder.n_passes
    bm25 = DeformerRetriever(store, mode="bm25")
    query = "where was the river? " + "who " * 5_000
    (found, *_) = bm25.run(query)["documents"]
    assert encoder.n_passes == n_passes
    assert (found.id, found.meta["deformer"].keys() & {"dense", "bm25_share", "fused"}) == ("river", {"bm25_share"})
    for mode in ("dense", "fused"):
        retriever = DeformerRetriever(store, mode=mode)  # type: ignore[arg-type]
        with pytest.raises(TextTooLong):
            retriever.run(query[:10_000])
        with pytest.raises(BadQuestion, match="has 20,020 characters, at most 10,000"):
            retriever.run(query)

    given = bm25.run("river", query_embedding=encoder.encode("river").vector.tolist())["documents"][0]
    assert given.meta["deformer"].keys() >= {"dense", "bm25_share", "fused"}


def test_what_bm25_alone_finds_is_read_as_documents_from_elsewhere_are(example_store: Path) -> None:
    question = "On what date was Magellan killed?"
    store = DeformerDocumentStore(example_store)
    found = DeformerRetriever(store, mode="bm25").run(question)["documents"]
    leads = [one.meta["deformer"]["lead"] for one in found]
    elsewhere = [
        Document(content=one.content, meta={"deformer": {"lead": lead}}) for one, lead in zip(found, leads, strict=True)
    ]
    reader = DeformerReader(device=CPU, document_store=store, overlap_threshold=None)
    answers, expected = (reader.run(question, documents)["answers"] for documents in (found, elsewhere))
    assert answers[0].data == "27 April 1521"
    assert [(one.data, one.score) for one in answers] == [(one.data, one.score) for one in expected]


def test_bm25_alone_loads_no_encoder(tmp_path: Path, tiny_reader: Path) -> None:
    DeformerDocumentStore(tmp_path / "store", reader=tiny_reader).write_documents([Document(content="the river")])
    of_no_reader = DeformerDocumentStore(tmp_path / "store", reader=tmp_path / "none")
    bm25 = DeformerRetriever(of_no_reader, mode="bm25")
    bm25.warm_up()
    assert [one.content for one in bm25.run("river")["documents"]] == ["the river"]
    with pytest.raises(ModelNotFound):
        DeformerRetriever(of_no_reader).run("river")


def test_haystacks_writer_writes_into_our_store(tmp_path: Path, tiny_reader: Path) -> None:
    store = DeformerDocumentStore(tmp_path / "store", reader=str(tiny_reader))
    assert DocumentWriter(store).run([Document(content="the river")]) == {"documents_written": 1}


def test_retrieving_and_reading_are_traced(example_store: Path) -> None:
    seen: dict[str, dict[str, Any]] = {}

    class Recorded(Span):
        def __init__(self, tags: dict[str, Any]) -> None:
            self.tags = tags

        def set_tag(self, key: str, value: Any) -> None:
            self.tags[key] = value

    class Recorder(Tracer):
        from contextlib import contextmanager

        @contextmanager
        def trace(self, operation_name: str, tags: Any = None, parent_span: Any = None) -> Any:
            yield Recorded(seen.setdefault(operation_name, dict(tags or {})))

        def current_span(self) -> None:
            return None

    enable_tracing(Recorder())
    try:
        question_answering(example_store, device=CPU).run(_asked("Who was Magellan?"))
    finally:
        disable_tracing()
    assert seen["deformer.retrieve"]["documents"] == 8
    assert seen["deformer.read"]["documents"] == 8
    assert seen["deformer.read"]["answers"] == 4


def test_warming_up_and_closing_can_be_repeated(example_store: Path) -> None:
    pipeline = question_answering(example_store, device=CPU)
    reader, retriever = pipeline.get_component("reader"), pipeline.get_component("retriever")
    for _ in range(2):
        pipeline.warm_up()
        assert pipeline.run(_asked("Who was Magellan?"))["reader"]["answers"]
        reader.close()
        retriever.close()
