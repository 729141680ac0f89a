"""The paper's analyses: what is measured is what it says, what is kept is not computed again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from parts.tiny_training import recipe_of
from torch import nn

from deformer_qa.lab.analysis.ablation import MINUS_BOTH, MINUS_LRS, SPLIT, WHOLE, ablate, ablation_recipes
from deformer_qa.lab.analysis.costs import bytes_requested, operations, ratio, seconds_in_turn
from deformer_qa.lab.analysis.engine_shapes import engine_runs
from deformer_qa.lab.analysis.layers import against_layers, layer_recipes
from deformer_qa.lab.analysis.record import Record
from deformer_qa.lab.analysis.shapes import MODELS, PublishedInput, PublishedModel, PublishedShape, published_costs
from deformer_qa.lab.analysis.tasks import measure_task
from deformer_qa.lab.analysis.trained import Bench
from deformer_qa.lab.analysis.variance import distances, passage_variance
from deformer_qa.lab.data.squad import read_squad
from deformer_qa.lab.train.recipe import Source
from deformer_qa.lab.train.run import train_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.engines.engine import PassageLogits
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.networks.joint import JointLayers


@pytest.fixture
def bench(training_data: Path, tmp_path: Path) -> Bench:
    return Bench(
        data=training_data,
        out=tmp_path / "out",
        measured=read_squad(training_data / "train.json"),
        limit=10,
        through=lambda states: np.round(states, 3),
        stored=lambda states: states.nbytes // 4,
    )


def test_bytes_requested_are_those_of_results_that_are_new() -> None:
    layer = nn.Linear(8, 16, bias=False)
    given = torch.randn(4, 8)
    assert bytes_requested(lambda: layer(given)) == 4 * 16 * 4
    assert bytes_requested(lambda: layer(given).view(16, 4).t()[:2]) == 4 * 16 * 4  # views request nothing
    assert bytes_requested(lambda: layer(given).add_(1).relu_()) == 4 * 16 * 4  # nor what is done in place
    assert bytes_requested(lambda: (layer(given) + 1).relu()) == 3 * 4 * 16 * 4
    assert operations(lambda: layer(given)) == 2 * 4 * 8 * 16


def test_times_are_taken_in_turn() -> None:
    order: list[str] = []

    def noted(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    took = seconds_in_turn({"one": noted("one"), "other": noted("other")}, 3)
    assert order == ["one", "other"] * 4  # the first of each is not counted
    assert {name: len(times) for name, times in took.items()} == {"one": 3, "other": 3}
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == {"times": 3.0, "least": 2.0, "most": 4.0}


def test_figures_are_kept_part_by_part_and_others_refused(tmp_path: Path) -> None:
    record = Record(tmp_path / "sub" / "figures.json", {"of": "a"})
    assert record.part("first", lambda: {"x": 1}) == {"x": 1}
    again = Record(tmp_path / "sub" / "figures.json", {"of": "a"})
    assert again.part("first", lambda: pytest.fail("computed again")) == {"x": 1}
    assert again.part("first", lambda: {"x": 2}, {"weights": "others"}) == {"x": 2}  # of another reader
    assert again.part("first", lambda: pytest.fail("computed again"), {"weights": "others"}) == {"x": 2}
    with pytest.raises(BadTrainingData, match="another of; take another folder"):
        Record(tmp_path / "sub" / "figures.json", {"of": "b"})
    (tmp_path / "sub" / "figures.json").write_text("[]", encoding="utf-8")
    with pytest.raises(BadTrainingData, match="found something else"):
        Record(tmp_path / "sub" / "figures.json", {"of": "a"})


def test_the_distance_is_to_the_centroid() -> None:
    states = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])  # two questions, one token
    torch.testing.assert_close(distances(states), torch.full((2, 1), 1 - 0.5**0.5))
    same = torch.randn(1, 5, 8).expand(3, -1, -1)
    torch.testing.assert_close(distances(same), torch.zeros(3, 5), atol=1e-6, rtol=0)


def test_a_passage_moves_with_the_question_where_layers_see_it(training_data: Path, tiny_bert: Path) -> None:
    content = json.loads((training_data / "train.json").read_text(encoding="utf-8"))
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"].append({**paragraph["qas"][0], "id": "x", "question": "who was in the river?"})
    (training_data / "two.json").write_text(json.dumps(content), encoding="utf-8")
    encoder = Encoder.load(str(tiny_bert), k=0)
    joint = JointLayers(encoder.backbone.shape, 4).eval()
    rows = passage_variance(encoder, joint, read_squad(training_data / "two.json").paragraphs[:5])
    assert [row["layer"] for row in rows] == [0, 1, 2, 3, 4]
    assert all(row["n_passages"] == 5 for row in rows)
    assert rows[0]["distance"] == pytest.approx(0, abs=1e-7)  # embeddings see no question
    assert min(row["distance"] for row in rows[1:]) > 1e-6
    with pytest.raises(BadTrainingData, match="no paragraph has two questions"):
        passage_variance(encoder, joint, read_squad(training_data / "train.json").paragraphs[:2])


def test_an_ablation_takes_away_one_loss_after_another(tiny_bert: Path) -> None:
    recipe = recipe_of(tiny_bert, kd=1.1, lrs=0.5, ce=0.7)
    rows = ablation_recipes(recipe)
    assert [(one.kd, one.lrs, one.k) for one in rows.values()] == [(0, 0, 0), (1.1, 0.5, 2), (1.1, 0, 2), (0, 0, 2)]
    assert len({one.name for one in rows.values()}) == 4
    assert {(one.sources, one.seed, one.examples) for one in rows.values()} == {(recipe.sources, 7, 0)}
    with pytest.raises(BadTrainingData, match=r"needs k, kd and lrs above 0, found 2, 0\.0, 0\.0"):
        ablation_recipes(recipe_of(tiny_bert))


def test_an_ablation_is_trained_measured_and_kept(bench: Bench, tiny_bert: Path) -> None:
    recipe = recipe_of(tiny_bert, passes=3.0, kd=1.1, lrs=0.5, ce=0.7)
    rows = ablate(recipe, bench, Record(bench.out / "ablation.json", {}))
    assert list(rows) == [WHOLE, SPLIT, MINUS_LRS, MINUS_BOTH]
    assert all(row["n"] == 10 for row in rows.values())
    assert rows[SPLIT]["f1_lost"] == pytest.approx(rows[WHOLE]["f1"] - rows[SPLIT]["f1"])
    for name in ("tiny-whole", "tiny", "tiny-minus-lrs", "tiny-minus-kd-lrs"):
        assert (bench.out / name / "reader.json").is_file()
    assert ablate(recipe, bench, Record(bench.out / "ablation.json", {})) == rows


def test_layers_are_compared_at_every_k(bench: Bench, tiny_bert: Path) -> None:
    recipe = recipe_of(tiny_bert, passes=1.0, kd=1.0, lrs=1.0, joint_layers=1)
    alone, distilled = layer_recipes(recipe, 3)
    assert (alone.kd, alone.lrs, distilled.kd, distilled.joint_layers) == (0, 0, 1.0, 0)
    rows = against_layers(recipe, [1, 3], bench, Record(bench.out / "layers.json", {}), rounds=1)
    assert list(rows) == ["whole", "k=1", "k=3"]
    assert rows["k=3"]["operations"] < rows["k=1"]["operations"] < 1
    assert rows["k=3"]["bytes_requested"] < rows["k=1"]["bytes_requested"] < 1
    assert rows["k=1"]["bytes_per_token"] == 32  # as many as the states are wide, a byte each
    with pytest.raises(BadTrainingData, match="4 is not between 1 and 3"):
        against_layers(recipe, [4], bench, Record(bench.out / "more.json", {}), rounds=1)


@pytest.mark.parametrize("model", MODELS, ids=lambda one: one.name)
def test_a_published_shape_computes_the_same_split_whoever_asks(model: PublishedModel) -> None:
    narrow = {"hidden_size": 48, "intermediate_size": 96, "d_model": 48, "d_inner": 96, "vocab_size": 30_522}
    fewer = {"num_hidden_layers": 4, "n_layer": 4}
    small = {key: (narrow | fewer).get(key, value) for key, value in model.config.items()}
    at = PublishedShape(PublishedModel(model.name, small, 3), PublishedInput("", 5, 11), 3, "cpu", "fp32")
    runs = at.runs()
    engines = engine_runs(at.backbone, at.joint, at.question[:1], at.passage, at.stored, 1)
    with torch.inference_mode():
        whole, each, one, int8 = (run() for run in runs.values())
    assert whole.shape == (3, 16, 2)  # type: ignore[attr-defined]
    assert each.shape == one.shape == int8.shape == (3, 11, 2)  # type: ignore[attr-defined]
    torch.testing.assert_close(each[:1], one[:1])  # type: ignore[index]
    assert 0 < (each - int8).abs().max() < 0.1 * each.abs().max()  # type: ignore[operator]
    for engine, rounding in (("onnx", 1e-4), ("onnx-int8", 0.1)):
        read: list[PassageLogits] = engines[f"joint, {engine}"]()  # type: ignore[assignment]
        found = torch.from_numpy(np.stack([passage.spans for passage in read]))
        assert (one - found).abs().max() < rounding * one.abs().max()  # type: ignore[operator, attr-defined]
        undivided: list[PassageLogits] = engines[f"whole, {engine}"]()  # type: ignore[assignment]
        assert [passage.spans.shape for passage in undivided] == [(11, 2)] * 3


def test_published_costs_are_shares_of_the_whole(tmp_path: Path) -> None:
    tiny = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 4}
    models = [PublishedModel("BERT-base", {**MODELS[0].config, **tiny}, 3)]
    record = Record(tmp_path / "shapes.json", {})
    rows = published_costs(record, models, n_pairs=4, rounds=1, device="cpu", precision="fp32", threads=1)
    assert len(rows) == 4
    first = rows["BERT-base k=3, 320 tokens, batch 4, 1 threads"]
    split = ["a question for each pair", "one question for all", "int8 upper layers"]
    assert list(first) == [*split, "onnx", "onnx-int8", "paper"]
    assert set(first["onnx"]) == {"speed_up", "same_engine", "joint_alone", "joint_alone_same_engine"}
    assert first["paper"]["SQuAD"] == (3.2, 70.3)
    assert 60 < first["a question for each pair"]["bytes_saved"] < first["one question for all"]["bytes_saved"] < 80
    assert first["one question for all"]["operations"] < first["a question for each pair"]["operations"] < 0.4
    assert not {"one question for all", "onnx"} & set(rows["BERT-base k=3, 4 x 512 tokens, batch 1, 1 thread"])


def test_a_task_is_measured_for_whole_and_split_readers(training_data: Path, tiny_bert: Path, tmp_path: Path) -> None:
    readers = {}
    for name, k in (("whole", 0), ("split", 2)):
        sources = (Source("train.json", answerable=1.0), Source("boolq.jsonl", yes_no=1.0))
        recipe = recipe_of(tiny_bert, name=name, k=k, sources=sources)
        readers[name] = train_reader(recipe, training_data, tmp_path / name)
    rounded: list[int] = []

    def through(states: np.ndarray) -> np.ndarray:
        rounded.append(len(states))
        return states

    row = measure_task("squad", training_data / "train.json", readers, through, limit=6)
    assert (row["measure"], row["n"]) == ("F1", 6)
    assert rounded  # the split reader's states alone went through
    assert measure_task("boolq", training_data / "boolq.jsonl", readers, through, limit=8)["measure"] == "accuracy"
    (training_data / "race.jsonl").write_text(
        json.dumps({"article": "the city", "questions": ["_?"], "options": [["a", "b"]], "answers": ["A"]}),
        encoding="utf-8",
    )
    with pytest.raises(BadTrainingData, match="whole: this reader was not trained on multiple-choice questions"):
        measure_task("race", training_data / "race.jsonl", readers, through)
