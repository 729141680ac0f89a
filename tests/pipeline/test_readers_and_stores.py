"""A store outlives its readers: one retrained on the same encoder answers from it, one of another is refused."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.asking import Pipeline
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.reading import SplitReader
from deformer_qa.reader.training.recipe import Recipe, Source
from deformer_qa.reader.training.run import train_reader
from deformer_qa.store import EncoderMismatch, verify

PLACES = ["ulm", "basel", "prague", "lodz"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Training data of a few questions."""
    chance = random.Random(1)
    paragraphs = []
    for number in range(24):
        place = chance.choice(PLACES)
        context = f"{' '.join(chance.choices(['the', 'river', 'of'], k=chance.randint(1, 6)))} {place} was"
        answer = {"text": place, "answer_start": context.index(place)}
        qas = [{"id": str(number), "question": "where was the city?", "answers": [answer]}]
        paragraphs.append({"context": context, "qas": qas})
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.json").write_text(json.dumps({"data": [{"title": "A", "paragraphs": paragraphs}]}))
    return folder


def _bytes_of(store: Path) -> dict[str, str]:
    files = sorted(file for file in store.rglob("*") if file.is_file())
    return {str(file.relative_to(store)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_retrained_reader_answers_from_a_store_built_before_it(data: Path, tiny_bert: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        name="first",
        k=2,
        sources=(Source("train.json", answerable=2.0),),
        encoder=str(tiny_bert),
        held_back_articles=0,
        batch=8,
        learning_rate=3e-3,
        precision="fp32",
    )
    first = SplitReader.load(train_reader(recipe, data, tmp_path / "first"))
    corpus, store = tmp_path / "corpus", tmp_path / "store"
    corpus.mkdir()
    for number, place in enumerate(PLACES):
        (corpus / f"{number}.txt").write_text(f"the river of {place} was")
    sync(store, first.encoder, [corpus])
    before = _bytes_of(store)
    with Pipeline.open(store, first) as pipeline:
        asked_of_first = pipeline.ask("where was the city?")

    longer = replace(recipe, name="second", sources=(Source("train.json", answerable=40.0),), seed=8)
    second = SplitReader.load(train_reader(longer, data, tmp_path / "second"))
    with Pipeline.open(store, second) as pipeline:
        asked_of_second = pipeline.ask("where was the city?")
    assert second.encoder.n_passes == 1  # the question, and no passage
    assert any(place in asked_of_second.answers[0].place.text for place in PLACES)
    assert asked_of_first.answers[0].score != asked_of_second.answers[0].score
    assert _bytes_of(store) == before
    assert verify(store) == []

    other = Encoder.load(str(tiny_bert), k=3)
    third = SplitReader.load(train_reader(replace(recipe, k=3), data, tmp_path / "third"))
    assert third.encoder.encoder_id == other.encoder_id != second.encoder.encoder_id
    with pytest.raises(EncoderMismatch, match="encoder"):
        Pipeline.open(store, third)
    assert _bytes_of(store) == before
