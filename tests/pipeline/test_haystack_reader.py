"""The Haystack reader: a checkpoint read as Haystack's own reader does, a split reader over stored states."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from haystack import Document, ExtractedAnswer
from haystack.document_stores.errors import DocumentStoreError
from haystack.utils import ComponentDevice

from deformer_qa.pipeline.readers import shared_reader
from deformer_qa.reader.errors import WrongEncoder
from haystack_integrations.components.readers.deformer import DeformerReader
from haystack_integrations.components.readers.transformers import TransformersExtractiveReader
from haystack_integrations.components.retrievers.deformer import DeformerRetriever
from haystack_integrations.document_stores.deformer import DeformerDocumentStore

CPU = ComponentDevice.from_str("cpu")
WORDS = ["the", "of", "river", "city", "who", "was", "in", "1492", "x-ray", "naïve", "漢字", "(b)", "zz9", "\f", "e.g."]


def _text(chance: random.Random, most: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, most)))


# A checkpoint, against the reader whose place is taken


@pytest.fixture(scope="module")
def both(tiny_reader_checkpoint: Path) -> tuple[TransformersExtractiveReader, DeformerReader]:
    readers = [
        kind(str(tiny_reader_checkpoint), device=CPU, token=None, max_seq_length=48, stride=8)
        for kind in (TransformersExtractiveReader, DeformerReader)
    ]
    for reader in readers:
        reader.warm_up()
    return readers[0], readers[1]


def _plain(answers: list[ExtractedAnswer]) -> list[tuple[str | None, str | None, int, int]]:
    return [
        (
            one.data,
            one.document and one.document.id,
            *(one.document_offset or ExtractedAnswer.Span(-1, -1)).__dict__.values(),
        )
        for one in answers
    ]


def test_a_checkpoint_answers_500_random_cases_as_haystacks_reader_does(
    both: tuple[TransformersExtractiveReader, DeformerReader],
) -> None:
    theirs, ours = both
    chance = random.Random(5)
    n_answers = 0
    for case in range(500):
        query = _text(chance, 8)
        documents = [Document(id=f"{n}", content=_text(chance, 60)) for n in range(chance.randint(1, 4))]
        given = {
            "top_k": chance.randint(1, 8),
            "max_batch_size": chance.choice([None, 1, 3]),
            "answers_per_seq": chance.choice([None, 1, 7]),
            "no_answer": chance.random() < 0.7,
        }
        expected = theirs.run(query=query, documents=documents, **given)["answers"]
        found = ours.run(query=query, documents=documents, **given)["answers"]
        np.testing.assert_allclose([one.score for one in found], [one.score for one in expected], rtol=1e-5)
        assert _plain(found) == _plain(expected), case
        n_answers += len(found)
    assert n_answers > 1_000


# What the reader whose place is taken does not do


@pytest.fixture(params=["checkpoint", "split"])
def reader(request: pytest.FixtureRequest, tiny_reader_checkpoint: Path, tiny_reader: Path) -> DeformerReader:
    model = tiny_reader_checkpoint if request.param == "checkpoint" else tiny_reader
    return DeformerReader(str(model), device=CPU, token=None, max_seq_length=96, stride=16)


def test_no_documents_give_no_answers_and_documents_without_text_no_answer(reader: DeformerReader) -> None:
    assert reader.run("who", []) == {"answers": []}
    empty = [Document(id="1", content=None), Document(id="2", content=""), Document(id="3", content=" \n")]
    (answer,) = reader.run("who", empty)["answers"]
    assert (answer.data, answer.score, answer.document) == (None, 1.0, None)
    assert reader.run("who", empty, no_answer=False) == {"answers": []}


def test_a_document_without_text_does_not_move_the_others(reader: DeformerReader) -> None:
    full = [Document(id="a", content="the river was in the city"), Document(id="b", content="who was in 1492")]
    expected = reader.run("where", full)["answers"]
    found = reader.run("where", [Document(id="x", content=None), full[0], Document(id="y", content=""), full[1]])
    assert _plain(found["answers"]) == _plain(expected)


def test_zeros_and_none_mean_what_they_say(reader: DeformerReader) -> None:
    documents = [Document(id=id_, content="the river was in the city of the river. the river") for id_ in ("1", "2")]
    answers = reader.run("where", documents, top_k=0)["answers"]
    assert [one.data for one in answers] == [None]
    strict = DeformerReader(reader.model_name_or_path, device=CPU, token=None, score_threshold=2.0)
    assert strict.run("where", documents)["answers"] == []
    assert strict.run("where", documents, score_threshold=0.0)["answers"]
    kept = reader.run("where", documents, overlap_threshold=None)["answers"]
    apart = reader.run("where", documents)["answers"]
    assert len(kept) > len(apart)
    with pytest.raises(ValueError, match="top_k"):
        reader.run("where", documents, top_k=-1)


def test_every_answer_stands_where_it_says_in_document_and_context(reader: DeformerReader) -> None:
    chance = random.Random(3)
    documents = [
        Document(content=". ".join(_text(chance, 12) for _ in range(20)), meta={"page_number": 4}) for _ in range(5)
    ]
    answers = reader.run("who was in the city", documents, no_answer=False)["answers"]
    assert answers
    for one in answers:
        assert one.document is not None
        assert one.document.content is not None
        assert one.document_offset is not None
        assert one.context is not None
        assert one.context_offset is not None
        start, end = one.document_offset.start, one.document_offset.end
        assert one.document.content[start:end] == one.data
        assert one.context[one.context_offset.start : one.context_offset.end] == one.data
        assert one.context in one.document.content
        assert one.meta["answer_page_number"] == 4 + one.document.content[:start].count("\f")


# A split reader over a store


@pytest.fixture
def store(tmp_path: Path, tiny_reader: Path) -> DeformerDocumentStore:
    chance = random.Random(11)
    store = DeformerDocumentStore(tmp_path / "store", reader=str(tiny_reader))
    store.write_documents([Document(id=f"d{n}", content=_text(chance, 30), meta={"n": n}) for n in range(30)])
    store.write_documents([Document(id="long", content=". ".join(_text(chance, 12) for _ in range(60)))])
    return store


def test_retrieved_documents_are_read_from_stored_states(store: DeformerDocumentStore, tiny_reader: Path) -> None:
    reader = DeformerReader(str(tiny_reader), device=CPU)
    documents = DeformerRetriever(store).run("who was in the river")["documents"]
    encoder = shared_reader(str(tiny_reader)).encoder
    before = encoder.n_passes
    answers = reader.run("who was in the river", documents)["answers"]
    assert encoder.n_passes - before == 1  # the question
    assert reader._split is not None
    assert (reader._split.n_stored, reader._split.n_made) == (len(documents), 0)
    fresh = [Document(id=one.id, content=one.content, meta={**one.meta}) for one in documents]
    for one in fresh:
        one.meta["deformer"] = {**one.meta["deformer"], "store": None}
    made = DeformerReader(str(tiny_reader), device=CPU).run("who was in the river", fresh)["answers"]
    assert [one.data for one in made][:3] == [one.data for one in answers][:3]
    np.testing.assert_allclose([one.score for one in made], [one.score for one in answers], atol=0.02)  # int8 states


def test_documents_of_a_store_are_found_there_without_naming_it(
    store: DeformerDocumentStore, tiny_reader: Path
) -> None:
    reader = DeformerReader(str(tiny_reader), device=CPU, document_store=store)
    reader.run("who", store.filter_documents())
    assert reader._split is not None
    assert reader._split.n_made == 0
    assert reader._split.n_stored == store.snapshot().n_passages  # type: ignore[union-attr]
    reader.run("who", [Document(content="the city of the river")])
    assert reader._split.n_made == 1


def test_states_that_were_made_are_kept_where_wanted(tiny_reader: Path) -> None:
    reader = DeformerReader(str(tiny_reader), device=CPU, kept_passages=2)
    documents = [Document(content=f"the city of {n}") for n in range(3)]
    for several in (documents[:2], documents[:2], documents):
        reader.run("who", several)
    assert reader._split is not None
    assert reader._split.n_made == 3


def test_a_store_of_another_encoder_is_refused_with_what_to_do(store: DeformerDocumentStore) -> None:
    documents = DeformerRetriever(store).run("river")["documents"]
    with pytest.raises(WrongEncoder, match="index the documents anew"):
        DeformerReader(device=CPU).run("river", documents)


def test_long_documents_come_back_as_their_passages_short_ones_as_they_were(store: DeformerDocumentStore) -> None:
    documents = DeformerRetriever(store, top_k=100).run("the river in the city")["documents"]
    written = {one.id: one for one in store.filter_documents()}
    parts = [one for one in documents if one.meta["deformer"].get("document") == "long"]
    assert len(parts) > 2
    assert len({one.id for one in documents}) == len(documents)
    for one in parts:
        about = one.meta["deformer"]
        assert (written["long"].content or "")[about["start"] : about["end"]] == one.content
    for one in documents:
        if one not in parts:
            assert (one.content, one.meta["n"]) == (written[one.id].content, written[one.id].meta["n"])
        about = one.meta["deformer"]
        assert (about["store"], about["generation"]) == (store.path, store.snapshot().generation)  # type: ignore[union-attr]


def test_each_way_of_retrieving_ranks_by_its_score(store: DeformerDocumentStore) -> None:
    for mode in ("dense", "bm25", "fused"):
        found = DeformerRetriever(store, mode=mode, top_k=7).run("who was in 1492")["documents"]  # type: ignore[arg-type]
        scores = [one.score for one in found]
        assert len(found) == 7
        assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
    vector = store.encoder().encode("who was in 1492").vector.tolist()
    dense = DeformerRetriever(store, mode="dense")
    by_vector, by_text = dense.run(query_embedding=vector)["documents"], dense.run("who was in 1492")["documents"]
    assert [(one.id, one.score) for one in by_vector] == [(one.id, one.score) for one in by_text]
    assert "fused" not in by_vector[0].meta["deformer"]
    with pytest.raises(ValueError, match="query"):
        DeformerRetriever(store).run(query_embedding=vector)
    assert dense.run("who", top_k=0) == {"documents": []}


def test_a_filter_comes_before_the_ranking(store: DeformerDocumentStore) -> None:
    rare = {"field": "meta.n", "operator": "in", "value": [3, 17, 29]}
    for mode in ("dense", "fused"):
        found = DeformerRetriever(store, top_k=2, mode=mode).run("the river", filters=rare, top_k=10)["documents"]  # type: ignore[arg-type]
        assert sorted(one.meta["n"] for one in found) == [3, 17, 29]
    assert DeformerRetriever(store, filters=rare).run("the river")["documents"]
    none = {"field": "meta.n", "operator": "==", "value": 99}
    assert DeformerRetriever(store).run("the river", filters=none) == {"documents": []}


def test_sections_that_count_from_their_own_beginnings_stay_apart(tiny_reader: Path) -> None:
    # As MarkdownHeaderSplitter writes them: one source, each section's offset counted from the section.
    sections = [f"the city of {name} was in the river" for name in ("xx", "yy", "zz")]
    parts = [Document(content=text, meta={"source_id": "s", "split_idx_start": 0}) for text in sections]
    reader = DeformerReader(str(tiny_reader), device=CPU, no_answer=False)
    found = reader.run("where", parts)["answers"]
    alone = reader.run("where", [Document(content=text) for text in sections])["answers"]
    assert [(one.data, one.score) for one in found] == [(one.data, one.score) for one in alone]
    assert len({one.document.id for one in found if one.document}) == 3


def test_a_retriever_of_another_encoder_is_refused(store: DeformerDocumentStore) -> None:
    with pytest.raises(DocumentStoreError, match="encoder"):
        DeformerRetriever(DeformerDocumentStore(store.path)).run("river")


def test_a_named_store_that_cannot_be_opened_only_costs_time(
    store: DeformerDocumentStore, tiny_reader: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "MANIFEST-1").write_text("{")
    for place in ("bad", "gone"):
        lost = Document(content="the river", meta={"deformer": {"store": str(tmp_path / place)}})
        reader = DeformerReader(str(tiny_reader), device=CPU, document_store=store)
        assert reader.run("who", [lost])["answers"]


def test_loading_arguments_are_nobody_elses(tiny_reader_checkpoint: Path) -> None:
    given = {"quantization_config": {"bnb_4bit_compute_dtype": torch.bfloat16}}
    reader = DeformerReader(str(tiny_reader_checkpoint), device=CPU, model_kwargs=given)
    data = reader.to_dict()
    assert reader.model_kwargs["quantization_config"]["bnb_4bit_compute_dtype"] == torch.bfloat16
    before = copy.deepcopy(data)
    again = DeformerReader.from_dict(data)
    assert data == before
    assert again.model_kwargs == reader.model_kwargs
    assert given == {"quantization_config": {"bnb_4bit_compute_dtype": torch.bfloat16}}
    assert DeformerReader.from_dict({"type": data["type"]}).top_k == 20


def test_padding_in_front_is_left_alone(both: tuple[TransformersExtractiveReader, DeformerReader]) -> None:
    theirs, ours = both
    documents = [Document(content="the river"), Document(content="who was in the city of the river " * 3)]
    try:
        for reader in both:
            reader.tokenizer.padding_side = "left"
        expected = theirs.run(query="who", documents=documents, max_batch_size=1)["answers"]
        assert _plain(ours.run(query="who", documents=documents, max_batch_size=1)["answers"]) == _plain(expected)
    finally:
        for reader in both:
            reader.tokenizer.padding_side = "right"


def test_an_empty_store_has_nothing(tmp_path: Path, tiny_reader: Path) -> None:
    store = DeformerDocumentStore(tmp_path / "none", reader=str(tiny_reader))
    assert DeformerRetriever(store).run("who") == {"documents": []}
