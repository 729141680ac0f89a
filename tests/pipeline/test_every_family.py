"""From a file to an answer by a reader of each family: passages encoded and stored, a question, spans in the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from parts.tiny_families import FAMILIES, write_family

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.reader.reading import SplitReader

TEXT = "The city of Ulm was founded in 854.\n\nThe river Danube runs there; who was in the city, and when? " * 3


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_reader_of_any_family_answers_from_a_store(name: str, tmp_path: Path) -> None:
    reader = SplitReader.from_fine_tuned(str(write_family(tmp_path / "model", name)), 2)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "ulm.txt").write_text(TEXT, encoding="utf-8")
    sync(tmp_path / ".qa", reader.encoder, [tmp_path / "corpus"])
    with Pipeline.open(tmp_path / ".qa", reader) as pipeline:
        answers = pipeline.ask("when was the city founded?").answers
        assert answers
        for one in answers:
            assert one.place.text == one.place.text.strip()
            assert one.place.text in TEXT
