"""Titles and headings above passages, on the whole path: read with the text, never shown as part of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from haystack import Document
from haystack.utils import ComponentDevice

from deformer_qa.indexer.sync import sync
from deformer_qa.lab.data.squad import GoldAnswer, SquadParagraph, SquadQuestion, SquadSet
from deformer_qa.lab.fit.paragraphs import index_paragraphs
from deformer_qa.lab.measure.open import answer_figures, open_questions
from deformer_qa.lab.measure.reading import SplitPassageReader, predictions
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.places import Places
from deformer_qa.reader.passages import with_lead
from deformer_qa.reader.reading import SplitReader
from deformer_qa.reader.spans import TokenSpan
from haystack_integrations.components.readers.deformer import DeformerReader
from haystack_integrations.components.retrievers.deformer import DeformerRetriever
from haystack_integrations.document_stores.deformer import DeformerDocumentStore

CPU = ComponentDevice.from_str("cpu")
PAGES = {
    "karsund.md": "# The Karsund bridge\n\nIt was opened in 1932.\n\n## The ferry\n\nBefore, people crossed by boat.\n",
    "holm.md": "# The lighthouse of Holm\n\nIt was opened in 1871.\n",
    "notes.txt": "The weather was fine.",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, shipped_reader: SplitReader) -> Path:
    folder = tmp_path_factory.mktemp("titled")
    for name, text in PAGES.items():
        (folder / name).write_text(text, encoding="utf-8")
    sync(folder / "store", shipped_reader.encoder, [folder / name for name in PAGES], encoding="fp16")
    return folder / "store"


@pytest.fixture
def pipeline(store: Path, shipped_reader: SplitReader) -> Pipeline:
    return Pipeline.open(store, shipped_reader)


def test_states_and_vectors_are_those_of_the_passages_below_their_leads(pipeline: Pipeline) -> None:
    snapshot, encoder = pipeline.snapshot, pipeline.reader.encoder
    leads = set()
    for info in snapshot.iter_documents():
        for passage in snapshot.document_passages(info.id):
            (text,) = snapshot.passage_texts([passage.id])
            live = encoder.encode(with_lead(passage.heading, text))
            np.testing.assert_allclose(snapshot.states([passage.key])[0], live.states, rtol=2e-3, atol=2e-3)
            np.testing.assert_allclose(snapshot.vectors([passage.key])[0], live.vector, atol=1e-5)
            leads.add((info.path, passage.heading))
    assert leads == {("karsund.md", "The Karsund bridge"), ("holm.md", "The lighthouse of Holm"), ("notes.txt", "")}


@pytest.mark.parametrize(
    "question", ["When was the Karsund bridge opened?", "What is the name of the bridge?", "Which bridge was opened?"]
)
def test_every_answer_stands_where_it_says_and_none_in_a_lead(pipeline: Pipeline, question: str) -> None:
    made = pipeline.ask(question, n_answers=20)
    assert made.answers
    for answer in made.answers:
        for place in (answer.place, *answer.evidence):
            text = pipeline.snapshot.document(place.document).text
            assert text[place.start : place.end] == place.text != ""
        text = pipeline.snapshot.document(answer.place.document).text
        assert text[answer.context_start :].startswith(answer.context)


def test_a_title_tells_passages_of_the_same_words_apart(pipeline: Pipeline) -> None:
    for question, answer in (
        ("When was the Karsund bridge opened?", "1932"),
        ("When was the lighthouse of Holm opened?", "1871"),
    ):
        assert pipeline.ask(question).answers[0].place.text == answer


def test_a_place_has_the_heading_of_the_outline(pipeline: Pipeline) -> None:
    for found in pipeline.search("When was the Karsund bridge opened?"):
        assert found.place.heading in ("The Karsund bridge", "The ferry", "The lighthouse of Holm", "")
        assert " › " not in found.place.heading


def test_rows_of_a_place_are_those_of_its_text(pipeline: Pipeline) -> None:
    places = Places(pipeline.snapshot, pipeline.reader.encoder.tokenizer)
    for info in pipeline.snapshot.iter_documents():
        for passage in pipeline.snapshot.document_passages(info.id):
            text, first = places.text(passage.id), places.first_row(passage.id)
            n_rows = len(pipeline.snapshot.states([passage.key])[0])
            rows = places.rows(passage.id, 0, len(text))
            assert rows == list(range(first, n_rows - 1))
            assert places.span(passage.id, TokenSpan(first, n_rows - 2, 0.0, 0.0)).text == text
            assert (first > 1) == bool(passage.heading)


def test_a_yes_or_no_rests_on_a_sentence_of_the_text(tmp_path: Path, shipped_reader: SplitReader) -> None:
    pages = {
        "one.md": "# The Karsund bridge\n\nIt is built of steel.",
        "two.html": "<title>The old Karsund ferry</title><p>It is built of wood.</p>",
    }
    for name, text in pages.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    sync(tmp_path / "store", shipped_reader.encoder, [tmp_path / name for name in pages])
    with Pipeline.open(tmp_path / "store", shipped_reader) as pipeline:
        pipeline.least_label_confidence = 0.0
        (answer,) = pipeline.ask("Is the old Karsund ferry built of wood?").answers
        assert answer.kind == "yes_no"
        for place in (answer.place, *answer.evidence):
            text = pipeline.snapshot.document(place.document).text
            assert text[place.start : place.end] == place.text
            assert place.text in ("# The Karsund bridge", "It is built of steel.", "It is built of wood.")


# Haystack


def test_a_stores_documents_are_read_from_their_states_whatever_stands_above_them(store: Path) -> None:
    documents = DeformerDocumentStore(store)
    reader = DeformerReader(device=CPU, document_store=documents)
    question = "When was the lighthouse of Holm opened?"
    answers = reader.run(question, documents.filter_documents())["answers"]
    assert answers[0].data == "1871"
    retrieved = DeformerRetriever(documents).run(question)["documents"]
    assert reader.run(question, retrieved)["answers"][0].data == "1871"
    assert reader._split is not None
    assert (reader._split.n_made, reader._split.n_stored) == (0, 6)
    for one in answers:
        if one.data:
            assert one.document is not None
            assert one.document.content is not None
            assert one.document_offset is not None
            assert one.document.content[one.document_offset.start : one.document_offset.end] == one.data


def test_a_retrieved_passage_names_its_lead_and_has_the_heading_of_the_outline(store: Path) -> None:
    retrieved = DeformerRetriever(DeformerDocumentStore(store)).run("the lighthouse of Holm")["documents"]
    found = {one.meta["path"]: (one.meta.get("heading"), one.meta["deformer"]["lead"]) for one in retrieved}
    assert found == {
        "karsund.md": ("The Karsund bridge", "The Karsund bridge"),
        "holm.md": ("The lighthouse of Holm", "The lighthouse of Holm"),
        "notes.txt": (None, ""),
    }


def test_documents_from_elsewhere_are_read_below_the_title_in_their_metadata(tmp_path: Path, tiny_reader: Path) -> None:
    store = DeformerDocumentStore(tmp_path / "store", reader=str(tiny_reader))
    long = ". ".join(f"the city of the river was {number}" for number in range(30))
    written = [
        Document(id="a", content="the city of the river", meta={"title": "the river"}),
        Document(id="b", content="the city of the river", meta={"title": ["no", "text"]}),
        Document(id="long", content=long, meta={"title": "the city"}),
    ]
    store.write_documents(written)
    reader = DeformerReader(str(tiny_reader), device=CPU, document_store=store)
    same = [Document(content=one.content, meta=one.meta) for one in written]
    reader.run("who was", same)
    assert reader._split is not None
    assert reader._split.n_made == 0
    assert reader._split.n_stored == store.snapshot().n_passages  # type: ignore[union-attr]
    reader.run("who was", [Document(content="the city of the river", meta={"title": "when"})])
    assert reader._split.n_made == 1


def test_a_title_changed_in_the_metadata_encodes_nothing_until_the_document_is_written(
    tmp_path: Path, tiny_reader: Path
) -> None:
    store = DeformerDocumentStore(tmp_path / "store", reader=str(tiny_reader))
    document = Document(id="a", content="the city of the river", meta={"title": "the river"})
    store.write_documents([document])
    before = store.encoder().n_passes
    is_a = {"field": "id", "operator": "==", "value": "a"}
    assert store.update_by_filter(is_a, {"title": "the city"}) == 1
    assert store.encoder().n_passes == before
    reader = DeformerReader(str(tiny_reader), device=CPU, document_store=store)
    reader.run("who", store.filter_documents())
    assert reader._split is not None
    assert (reader._split.n_stored, reader._split.n_made) == (1, 0)


# Measuring


def _squad() -> SquadSet:
    asked = (("The_Karsund_bridge", "It was opened in 1932."), ("The_lighthouse_of_Holm", "It was opened in 1871."))
    paragraphs = []
    for article, context in asked:
        year = context[-5:-1]
        question = SquadQuestion(article, f"When was {article.replace('_', ' ')} opened?", (GoldAnswer(year, 17),))
        paragraphs.append(SquadParagraph(article, context, (question,)))
    return SquadSet(tuple(paragraphs), False)


def test_given_passages_are_read_below_their_articles_titles_as_a_store_has_them(
    tmp_path: Path, shipped_reader: SplitReader
) -> None:
    squad = _squad()
    index_paragraphs(squad.paragraphs, tmp_path / "store", shipped_reader.encoder, "fp16")
    with Pipeline.open(tmp_path / "store", shipped_reader) as pipeline:
        infos = list(pipeline.snapshot.iter_documents())
        assert [info.title for info in infos] == ["The Karsund bridge", "The lighthouse of Holm"]
        assert [pipeline.snapshot.document_passages(one.id)[0].heading for one in infos] == [one.title for one in infos]
        figures = answer_figures(pipeline, open_questions(pipeline.snapshot, squad))
        assert figures["given"]["exact_match"] == figures["fused"]["exact_match"] == 100
        stored = [pipeline.snapshot.states([pipeline.snapshot.document_passages(one.id)[0].key])[0] for one in infos]
    reader = SplitPassageReader(shipped_reader, titles=True)
    for paragraph, states in zip(squad.paragraphs, stored, strict=True):
        live = shipped_reader.encoder.states(with_lead(reader.lead(paragraph.title), paragraph.context))
        np.testing.assert_allclose(states, live, rtol=2e-3, atol=2e-3)


def test_predictions_stand_in_the_paragraph_with_titles_and_without(shipped_reader: SplitReader) -> None:
    squad = _squad()
    made = {
        titles: list(predictions(SplitPassageReader(shipped_reader, titles=titles), squad)) for titles in (True, False)
    }
    for some in made.values():
        for one, paragraph in zip(some, squad.paragraphs, strict=True):
            assert one.text
            assert one.text in paragraph.context
    margins = {titles: [one.margin for one in some] for titles, some in made.items()}
    assert not np.allclose(margins[True], margins[False], atol=1e-3)
    assert [one.text for one in made[True]] == ["1932", "1871"]
