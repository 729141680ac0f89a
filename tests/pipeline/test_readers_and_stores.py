"""A store outlives its readers: one retrained on the same encoder answers from it, one of another is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from parts.tiny_training import PLACES, recipe_of

from deformer_qa.indexer.sync import sync
from deformer_qa.lab.train.run import train_reader
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.reader.reading import SplitReader
from deformer_qa.store import EncoderMismatch, verify


def _bytes_of(store: Path) -> dict[str, str]:
    files = sorted(file for file in store.rglob("*") if file.is_file())
    return {str(file.relative_to(store)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("tuned", [False, True], ids=["encoder as published", "encoder tuned once"])
def test_a_retrained_reader_answers_from_a_store_built_before_it(
    tuned: bool, training_data: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(tiny_bert, name="first", passes=1.0, tune_lower=tuned, retrieval=1.0 if tuned else 0.0)
    first = SplitReader.load(train_reader(recipe, training_data, tmp_path / "first"))
    corpus, store = tmp_path / "corpus", tmp_path / "store"
    corpus.mkdir()
    for number, place in enumerate(PLACES):
        (corpus / f"{number}.txt").write_text(f"the river of {place} was")
    sync(store, first.encoder, [corpus])
    before = _bytes_of(store)
    with Pipeline.open(store, first) as pipeline:
        asked_of_first = pipeline.ask("where was the city?")

    # The same encoder, frozen: the published one, or the release that came with the first reader.
    longer = recipe_of(Path(first.encoder.source), name="second", passes=40.0, seed=8)
    second = SplitReader.load(train_reader(longer, training_data, tmp_path / "second"))
    with Pipeline.open(store, second) as pipeline:
        asked_of_second = pipeline.ask("where was the city?")
    assert second.encoder.n_passes == 1  # the question, and no passage
    assert any(place in answer.place.text for answer in asked_of_second.answers for place in PLACES)
    assert asked_of_first.answers[0].score != asked_of_second.answers[0].score
    assert _bytes_of(store) == before
    assert verify(store) == []

    # Another: tuned anew, it is another encoder.
    again = recipe_of(tiny_bert, name="third", passes=2.0, tune_lower=True, retrieval=1.0)
    third = SplitReader.load(train_reader(again, training_data, tmp_path / "third"))
    assert third.encoder.encoder_id != second.encoder.encoder_id
    with pytest.raises(EncoderMismatch, match="use the reader that it was built with"):
        Pipeline.open(store, third)
    assert _bytes_of(store) == before
