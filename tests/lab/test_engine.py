"""The int8 graph of a reader that training made."""

from __future__ import annotations

from pathlib import Path

import pytest
from parts.tiny_families import write_family
from parts.tiny_training import recipe_of

from deformer_qa.lab.fit.engine import make_engine
from deformer_qa.lab.train.run import train_reader
from deformer_qa.reader.reading import SplitReader


@pytest.mark.parametrize("family", ["bert", "xlnet"])
def test_the_graph_of_a_trained_reader_is_calibrated_on_what_its_training_held_back(
    family: str, training_data: Path, tmp_path: Path
) -> None:
    encoder = write_family(tmp_path / "encoder", family)
    folder = train_reader(recipe_of(encoder, passes=1.0), training_data, tmp_path / "reader")
    asked: list[None] = []
    report = make_engine(
        folder, training_data, n_each=8, through=lambda states: states, on_question=lambda: asked.append(None)
    )
    reader = SplitReader.load(folder)
    assert "ms, onnx" in reader.choice.reason  # there is a graph to choose
    assert 0 < report["mean_logit_error"] < 0.2
    assert report["same_best_span"] > 0.5
    assert len(asked) >= 2 * report["calibrated_on"] - 1 > 1
