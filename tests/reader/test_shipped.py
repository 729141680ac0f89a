"""The reader that ships: whole, small, and as good as its card says."""

from __future__ import annotations

import json
import random
from pathlib import Path

from deformer_qa.lab.data.squad import SquadSet, read_squad
from deformer_qa.lab.measure.reading import SplitPassageReader, figures, predictions
from deformer_qa.lab.train.examples import held_back
from deformer_qa.pipeline.rank import FEATURES, PRIOR
from deformer_qa.reader.reading import SplitReader
from deformer_qa.reader.shipped import SHIPPED
from deformer_qa.store.encodings import encoding_named


def test_the_shipped_reader_is_small_split_and_ranked(shipped_reader: SplitReader) -> None:
    about = shipped_reader.about
    assert about is not None
    assert about.k >= 2
    assert about.encoder_id == shipped_reader.encoder.encoder_id
    assert set(about.ranking) | set(PRIOR) == set(FEATURES)
    assert (SHIPPED / "reader.safetensors").stat().st_size <= 24 * 2**20


def test_the_model_card_names_recipe_data_and_figures() -> None:
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    about = json.loads((SHIPPED / "reader.json").read_text(encoding="utf-8"))
    assert about["training"]["recipe"]["name"] in card
    assert f"{about['training']['n_examples']:,}" in card
    for word in ("SQuAD v1.1", "CC BY-SA 4.0", "Apache-2.0", "F1", "teacher", "qa eval squad"):
        assert word in card


def test_the_shipped_reader_answers_articles_it_never_saw(shared_data: Path, shipped_reader: SplitReader) -> None:
    assert shipped_reader.about is not None
    squad = read_squad(shared_data / "squad-v1.1-train.json.xz")
    _, reserve = held_back(squad, shipped_reader.about.training["recipe"]["held_back_articles"])
    assert sorted({one.article for one in reserve.paragraphs}) == shipped_reader.about.training["held_back_articles"]
    paragraphs = list(reserve.paragraphs)
    random.Random(0).shuffle(paragraphs)
    int8 = encoding_named("int8")
    reader = SplitPassageReader(shipped_reader, lambda states: int8.decode(int8.encode(states)))
    made = list(predictions(reader, SquadSet(tuple(paragraphs), False), limit=200))
    assert figures(made, forced=True).f1 > 65
