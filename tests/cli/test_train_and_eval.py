"""``qa train`` and ``qa eval`` on data that a tiny model learns in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Qa = Callable[..., Any]


@pytest.fixture(scope="module")
def tiny_recipe(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    file.write_text(
        f"""
name = "tiny"
k = 2
encoder = {json.dumps(str(tiny_bert))}
held_back_articles = 2
batch = 8
learning_rate = 3e-3
precision = "fp32"

[[sources]]
file = "train-v2.json"
answerable = 40.0
unanswerable = 20.0

[[sources]]
file = "boolq.jsonl"
yes_no = 8.0
"""
    )
    return file


def test_a_reader_is_trained_measured_and_not_trained_twice(
    qa: Qa, training_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "reader"
    trained = qa("train", "reader", tiny_recipe, "--data", training_data, "--out", out)
    assert trained.code == 0, trained.err
    assert "qa eval squad" in trained.err
    ended = qa("eval", "squad", training_data / "train-v2.json", "--reader", out, "--format", "json")
    found = json.loads(ended.out)
    assert ended.code == 0
    assert found["f1"] > 80
    assert found["answerable"]["n"] == found["unanswerable"]["n"] == 24
    assert (found["reader"], found["k"], found["states"]) == ("tiny", 2, "int8")
    told = tmp_path / "told.json"
    ended = qa(
        *("eval", "boolq", training_data / "boolq.jsonl", "--reader", out),
        *("--predictions", told, "--fail-under", "99", "--format", "json"),
    )
    assert ended.code == 0
    assert json.loads(ended.out)["accuracy"] == 100
    assert json.loads(ended.out)["majority"] == 50
    assert json.loads(told.read_text())["1"] is True
    again = qa("train", "reader", tiny_recipe, "--data", training_data, "--out", out)
    assert again.code == 0
    assert "has ended" in again.err


def test_a_reader_of_spans_alone_is_not_asked_yes_or_no(
    qa: Qa, training_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    spans = tmp_path / "spans.toml"
    spans.write_text(tiny_recipe.read_text().split('[[sources]]\nfile = "boolq')[0])
    out = tmp_path / "reader"
    assert qa("train", "reader", spans, "--data", training_data, "--out", out).code == 0
    ended = qa("eval", "boolq", training_data / "boolq.jsonl", "--reader", out)
    assert ended.code == 2
    assert "not trained on yes/no" in ended.err


def test_a_recipe_that_is_not_there_is_told_with_those_that_are(qa: Qa, training_data: Path, tmp_path: Path) -> None:
    ended = qa("train", "reader", "no-such", "--data", training_data, "--out", tmp_path / "out")
    assert ended.code == 2
    assert "those that ship are" in ended.err


def test_a_fine_tuned_checkpoint_is_not_read_in_bf16(qa: Qa, training_data: Path, tiny_reader_checkpoint: Path) -> None:
    command = ("eval", "squad", training_data / "train.json", "--reader", tiny_reader_checkpoint)
    assert qa(*command, "--precision", "bf16").code == 2
    assert qa(*command, "--format", "json").code == 0


def test_a_fine_tuned_checkpoint_can_be_read_split_at_any_layer(
    qa: Qa, training_data: Path, tiny_reader_checkpoint: Path
) -> None:
    command = ("eval", "squad", training_data / "train.json", "--reader", tiny_reader_checkpoint, "--format", "json")
    ended = qa(*command, "--k", "2", "--states", "exact", "--limit", "20")
    assert ended.code == 0
    found = json.loads(ended.out)
    assert [found[key] for key in ("n", "k", "states", "reader")] == [20, 2, "exact", str(tiny_reader_checkpoint)]
    beyond = qa(*command, "--k", "5")
    assert beyond.code != 0
    assert "has 4 layers" in beyond.err
