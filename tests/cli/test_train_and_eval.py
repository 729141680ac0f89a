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
    command = ("eval", "squad", training_data / "train-v2.json", "--reader", out, "--format", "json")
    ended = qa(*command, "--no-titles")  # as the recipe read them
    found = json.loads(ended.out)
    assert ended.code == 0
    assert found["f1"] > 80
    titled = json.loads(qa(*command).out)
    assert (found["titles"], titled["titles"], titled["n"]) == (False, True, found["n"])
    assert found["answerable"]["n"] == found["unanswerable"]["n"] == 24
    assert (found["reader"], found["k"], found["states"]) == ("tiny", 2, "int8")
    told = tmp_path / "told.json"
    ended = qa(
        *("eval", "boolq", training_data / "boolq.jsonl", "--reader", out),
        *("--predictions", told, "--fail-under", "99", "--format", "json"),
    )
    assert ended.code == 0
    assert json.loads(ended.out)["accuracy"] == 100
    assert json.loads(ended.out)["titles"] is True
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
    assert qa(*command, "--engine", "torch-bf16").code == 2
    assert qa(*command, "--format", "json").code == 0


def test_a_fine_tuned_checkpoint_can_be_read_split_at_any_layer(
    qa: Qa, training_data: Path, tiny_reader_checkpoint: Path
) -> None:
    command = ("eval", "squad", training_data / "train.json", "--reader", tiny_reader_checkpoint, "--format", "json")
    ended = qa(*command, "--k", "2", "--states", "exact", "--limit", "20")
    assert ended.code == 0
    found = json.loads(ended.out)
    assert [found[key] for key in ("n", "k", "states", "reader")] == [20, 2, "exact", str(tiny_reader_checkpoint)]
    assert found["titles"] is False
    beyond = qa(*command, "--k", "5")
    assert beyond.code != 0
    assert "has 4 layers" in beyond.err


def test_confidences_are_fitted_on_half_of_the_articles_and_reported_on_the_other(
    qa: Qa, training_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "reader"
    assert qa("train", "reader", tiny_recipe, "--data", training_data, "--out", out).code == 0
    file = training_data / "train-v2.json"
    ended = qa("eval", "squad", file, "--reader", out, "--calibrate", "--format", "json")
    assert ended.code == 0
    found = json.loads(ended.out)["calibration"]
    assert found["n_fitted"] + found["n"] == 48
    assert found["n_fitted"] == 24  # six of twelve articles
    assert 0 <= found["expected_calibration_error"] <= 1
    assert list(found["max_risk"]) == ["0.1", "0.2", "0.3"]
    assert len(found["risk_coverage"]) == 20
    assert found["risk_coverage"][-1]["risk"] == pytest.approx(1 - found["right"] / 100)


def test_an_analysis_goes_on_where_it_was_and_draws_what_it_found(
    qa: Qa, training_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "analysis.toml"
    recipe.write_text("kd = 1.0\nlrs = 0.5\n" + tiny_recipe.read_text().replace('name = "', 'name = "a-'))
    command = (recipe, "--data", training_data, "--measure", training_data / "train.json", "--examples", "16")
    options = ("--limit", "8", "--out", tmp_path / "out", "--format", "json")
    for name, extra in (("ablation", ()), ("layers", ("--k", "1", "--rounds", "1"))):
        first = qa("analyze", name, *command, *extra, *options)
        assert first.code == 0, first.err
        again = qa("analyze", name, *command, *extra, *options)
        assert (again.code, again.out) == (0, first.out)
        assert "measuring" not in again.err
    for picture in ("ablation", "layers-loss", "layers-cost"):
        for form in ("png", "svg"):
            assert (tmp_path / "out" / f"{picture}.{form}").stat().st_size > 1000
    changed = qa("analyze", "ablation", *command, "--out", tmp_path / "out", "--limit", "9")
    assert changed.code == 2
    assert "another measured" in changed.err


def test_an_analysis_of_bad_input_ends_before_anything_is_computed(
    qa: Qa, training_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "out")
    missing = qa("analyze", "variance", "--measure", tmp_path / "no.json", *out)
    assert (missing.code, "no such file" in missing.err) == (2, True)
    rows = ("--row", "race", tmp_path / "no.jsonl", tmp_path, tmp_path, "--no-shapes")
    assert qa("analyze", "tasks", *rows, *out).code == 2
    plain = qa(
        "analyze", "ablation", tiny_recipe, "--data", training_data, "--measure", training_data / "train.json", *out
    )
    assert (plain.code, "needs k, kd and lrs above 0" in plain.err) == (2, True)
    assert list((tmp_path / "out").iterdir()) == []
    nothing = qa("analyze", "tasks", "--no-shapes", *out)
    assert (nothing.code, "nothing to do" in nothing.err) == (2, True)


def test_the_variance_of_the_published_encoder_is_drawn(qa: Qa, training_data: Path, tmp_path: Path) -> None:
    content = json.loads((training_data / "train.json").read_text())
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"].append({**paragraph["qas"][0], "id": "x", "question": "Who was in the river?"})
    (tmp_path / "two.json").write_text(json.dumps(content))
    command = ("analyze", "variance", "--measure", tmp_path / "two.json", "--passages", "3", "--out", tmp_path / "out")
    ended = qa(*command, "--format", "json")
    assert ended.code == 0, ended.err
    rows = json.loads(ended.out)["rows"]
    assert list(rows) == [f"layer {number}" for number in range(7)]
    assert rows["layer 0"]["distance"] < 1e-9 < rows["layer 6"]["distance"]
    assert (tmp_path / "out" / "variance.svg").is_file()


def test_ranking_outcomes_and_risk_are_fitted_on_what_was_held_back(
    qa: Qa, training_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "reader"
    assert qa("train", "reader", tiny_recipe, "--data", training_data, "--out", out).code == 0
    command = ("train", "ranking", "--data", training_data, "--reader", out, "--distractors", "5")
    ended = qa(*command, "--questions", "4", "--engine", "torch-bf16")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    about = json.loads((out / "reader.json").read_text())
    assert list(about["ranking"]) == list(about["ranking_given"]) == list(about["ranking_passages"])
    assert about["ranking_passages"]["margin"] == about["ranking_given"]["fused"] == 0
    n_held_back = len(about["training"]["held_back_articles"])
    assert n_held_back == 2  # one is fitted on, the other measured
    assert about["ranking_fit"]["questions"] + found["figures"]["all"]["n"] == 4
    assert about["risk"]["questions"] == found["figures"]["all"]["n"]
    assert about["outcomes"] == found["outcomes"]
    assert found["ranking"]["loss_after"] < found["ranking"]["loss_before"]
    elsewhere = qa("train", "ranking", "--data", tmp_path, "--reader", out)
    assert (elsewhere.code, "train-v2.json" in elsewhere.err) == (2, True)
