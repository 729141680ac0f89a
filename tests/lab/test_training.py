"""Training on a tiny model: it learns, it resumes, it distils, and it refuses bad input before it computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parts.tiny_training import recipe_of

from deformer_qa.lab.data.boolq import read_boolq
from deformer_qa.lab.data.squad import read_squad
from deformer_qa.lab.measure.reading import SplitPassageReader, figures, predictions, verdicts
from deformer_qa.lab.recipes import recipe_file
from deformer_qa.lab.train.examples import NO, NO_VERDICT, YES, collate, make_examples
from deformer_qa.lab.train.losses import compared_cross_entropy, distillation, layerwise_similarity
from deformer_qa.lab.train.model import ReaderInTraining
from deformer_qa.lab.train.recipe import Source, read_recipe, recipe_from
from deformer_qa.lab.train.run import train_reader
from deformer_qa.reader.checkpoint import load_joint
from deformer_qa.reader.description import describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData, ModelNotFound, UnsupportedModel, WrongEncoder
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.reading import SplitReader


def test_a_split_reader_learns_and_is_the_same_after_loading(
    training_data: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    train_reader(recipe_of(tiny_bert), training_data, tmp_path / "out")
    reader = SplitPassageReader(SplitReader.load(tmp_path / "out"))
    squad = read_squad(training_data / "train.json")
    assert figures(list(predictions(reader, squad)), forced=True).f1 > 80
    about = describe_reader(tmp_path / "out")
    assert (about.k, about.n_joint_layers, about.name) == (2, 2, "tiny")
    assert about.training["held_back_articles"] == ["A10", "A11"]


def test_a_stopped_run_goes_on_from_its_last_checkpoint(
    training_data: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deformer_qa.lab.train import run

    short = recipe_of(tiny_bert, passes=5.0)
    train_reader(short, training_data, tmp_path / "whole")
    make = run._trainer

    def stopping(*arguments: object) -> object:
        trainer = make(*arguments)  # type: ignore[arg-type]
        trainer.args.save_steps = 10

        class _Stop(run.TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
                if state.global_step == 15 and not resumed:  # type: ignore[attr-defined]
                    raise KeyboardInterrupt

        trainer.add_callback(_Stop())
        return trainer

    resumed = False
    monkeypatch.setattr(run, "_trainer", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_reader(short, training_data, tmp_path / "stopped")
    assert (tmp_path / "stopped" / "steps" / "checkpoint-10").is_dir()
    resumed = True
    train_reader(short, training_data, tmp_path / "stopped")
    encoder = Encoder.load(str(tiny_bert), k=2)
    whole, stopped = (load_joint(tmp_path / name, encoder).state_dict() for name in ("whole", "stopped"))
    for name in whole:
        torch.testing.assert_close(stopped[name], whole[name], atol=1e-6, rtol=0)
    assert (
        describe_reader(tmp_path / "stopped").training["steps"] == describe_reader(tmp_path / "whole").training["steps"]
    )


@pytest.fixture(scope="module")
def whole_reader(training_data: Path, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_reader(recipe_of(tiny_bert, k=0, name="whole"), training_data, tmp_path_factory.mktemp("whole"))


def test_a_student_is_distilled_from_a_whole_reader(
    training_data: Path, tiny_bert: Path, whole_reader: Path, tmp_path: Path
) -> None:
    squad = read_squad(training_data / "train.json")
    teacher = SplitPassageReader(SplitReader.load(whole_reader))
    assert figures(list(predictions(teacher, squad)), forced=True).f1 > 80
    student = recipe_of(tiny_bert, passes=15.0, kd=1.0, lrs=0.5, ce=0.5)
    train_reader(student, training_data, tmp_path / "student", teacher=whole_reader)
    about = describe_reader(tmp_path / "student")
    assert (about.training["teacher"], about.training["starts_from"]) == ("whole", "whole")
    split = SplitPassageReader(SplitReader.load(tmp_path / "student"))
    assert figures(list(predictions(split, squad)), forced=True).f1 > 80


def test_a_reader_begins_as_the_last_layers_of_another(
    training_data: Path, tiny_bert: Path, whole_reader: Path, tmp_path: Path
) -> None:
    start = load_joint(whole_reader, Encoder.load(str(tiny_bert), k=0))
    still = recipe_of(tiny_bert, k=3, joint_layers=2, passes=0.02, learning_rate=1e-12)
    train_reader(still, training_data, tmp_path / "out", start_from=whole_reader)
    made = load_joint(tmp_path / "out", Encoder.load(str(tiny_bert), k=3))
    assert len(made.layers) == 2
    for ours, theirs in zip(made.layers, start.layers[-2:], strict=True):
        torch.testing.assert_close(ours.qkv.weight, theirs.qkv.weight, atol=1e-3, rtol=0)
    torch.testing.assert_close(made.head.weight, start.head.weight, atol=1e-3, rtol=0)
    narrow = train_reader(
        replace(still, feed_forward_width=24), training_data, tmp_path / "narrow", start_from=whole_reader
    )
    assert load_joint(narrow, Encoder.load(str(tiny_bert), k=3)).layers[0].feed_in.weight.shape == (24, 32)
    with pytest.raises(BadTrainingData, match="65 is more than the 64"):
        train_reader(replace(still, feed_forward_width=65), training_data, tmp_path / "wide", start_from=whole_reader)
    with pytest.raises(BadTrainingData, match="5 joint layers"):
        train_reader(replace(still, joint_layers=5), training_data, tmp_path / "more", start_from=whole_reader)


def test_layers_may_learn_at_rates_of_their_own_and_saves_be_averaged(
    training_data: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    from deformer_qa.lab.train import run

    trainers = []
    make = run._trainer

    def noting(*arguments: object) -> object:
        trainers.append(make(*arguments))  # type: ignore[arg-type]
        trainers[-1].args.save_steps = 5
        return trainers[-1]

    monkeypatch.setattr(run, "_trainer", noting)
    recipe = recipe_of(tiny_bert, passes=4.0, layer_decay=0.5, average_last=2, tune_lower=True)
    train_reader(recipe, training_data, tmp_path / "out")
    model, groups = trainers[0].model, trainers[0].optimizer.param_groups
    rates = {id(one): group["initial_lr"] for group in groups for one in group["params"]}
    assert set(rates) == {id(one) for one in model.parameters()}
    layers = [*model.lower, *model.joint.layers]
    found = [rates[id(layer.qkv.weight)] for layer in layers]
    assert found == pytest.approx([3e-3 / 8, 3e-3 / 4, 3e-3 / 2, 3e-3])
    assert rates[id(model.joint.head.bias)] == 3e-3
    saved = [load_file(path / "model.safetensors") for path in (tmp_path / "out" / "steps").glob("checkpoint-*")]
    mean = (saved[0]["joint.head.weight"] + saved[1]["joint.head.weight"]) / 2
    torch.testing.assert_close(model.joint.head.weight.detach(), mean)


def test_the_frozen_layers_stay_as_they_were(training_data: Path, tiny_bert: Path, tmp_path: Path) -> None:
    train_reader(recipe_of(tiny_bert, passes=2.0), training_data, tmp_path / "out")
    before, after = Encoder.load(str(tiny_bert), k=2), SplitReader.load(tmp_path / "out").encoder
    assert before.encoder_id == after.encoder_id
    for ours, theirs in zip(before.backbone.parameters(), after.backbone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("retrieval", [0.0, 20.0])
def test_tuned_lower_layers_make_an_encoder_of_their_own(
    training_data: Path, tiny_bert: Path, tmp_path: Path, retrieval: float
) -> None:
    recipe = recipe_of(tiny_bert, passes=25.0, tune_lower=True, retrieval=retrieval)
    train_reader(recipe, training_data, tmp_path / "out")
    reader = SplitReader.load(tmp_path / "out")
    before = Encoder.load(str(tiny_bert), k=2)
    assert reader.encoder.encoder_id != before.encoder_id
    squad = read_squad(training_data / "train.json")
    assert figures(list(predictions(SplitPassageReader(reader), squad)), forced=True).f1 > 80
    text = squad.paragraphs[0].context
    ours, theirs = reader.encoder.encode(text), before.encode(text)
    assert np.abs(ours.states - theirs.states).max() > 0.01
    np.testing.assert_array_equal(ours.states, reader.encoder.states(text))
    if retrieval:
        assert 0.98 < float(np.dot(ours.vector, theirs.vector)) < 1 - 1e-6
    else:
        np.testing.assert_array_equal(ours.vector, theirs.vector)
    with pytest.raises(UnsupportedModel, match="expected k=3"):
        Encoder.load(reader.encoder.source, k=3)


def test_a_reader_of_another_encoder_is_refused(training_data: Path, tiny_bert: Path, tmp_path: Path) -> None:
    train_reader(recipe_of(tiny_bert, passes=1.0), training_data, tmp_path / "out")
    with pytest.raises(WrongEncoder, match="k=2"):
        load_joint(tmp_path / "out", Encoder.load(str(tiny_bert), k=3))


def test_a_reader_learns_to_say_no_answer_and_yes_and_no(training_data: Path, tiny_bert: Path, tmp_path: Path) -> None:
    sources = (
        Source("train-v2.json", answerable=60.0, unanswerable=30.0),
        Source("boolq.jsonl", yes_no=8.0),
    )
    train_reader(recipe_of(tiny_bert, sources=sources), training_data, tmp_path / "out")
    reader = SplitPassageReader(SplitReader.load(tmp_path / "out"))
    found = figures(list(predictions(reader, read_squad(training_data / "train-v2.json"))), forced=False)
    assert found.answerable is not None
    assert found.unanswerable is not None
    assert min(found.answerable.f1, found.unanswerable.f1) > 80
    questions = read_boolq(training_data / "boolq.jsonl")
    said = list(verdicts(reader, questions))
    assert [yes > 0 for yes in said] == [one.answer for one in questions]


def test_training_computes_what_reading_computes(training_data: Path, tiny_bert: Path) -> None:
    recipe = recipe_of(tiny_bert, passes=1.0)
    encoder = Encoder.load(recipe.encoder, k=2)
    items = make_examples(recipe, training_data, encoder).items[:6]
    joint = JointLayers(encoder.backbone.shape, 2)
    torch.nn.init.normal_(joint.marker)
    model = ReaderInTraining(encoder, joint, None, recipe)
    mask = collate(items)["passage_mask"]
    first, again = (model(**collate(items))["logits"] for _ in range(2))
    torch.testing.assert_close(first[mask], again[mask], atol=1e-6, rtol=0)  # the second time from kept states
    reader = SplitReader(encoder, joint)
    for row, item in enumerate(items):
        asked, read = (
            encoder.backbone.run(encoder.backbone.embed(torch.tensor([ids])), None, 0, 2)[0].detach().numpy()
            for ids in (item.question, item.passages[0])
        )
        (logits,) = reader.read(asked, [read])
        expected = torch.from_numpy(logits.spans)
        torch.testing.assert_close(first[row, : len(item.passages[0])].detach(), expected, atol=5e-3, rtol=0)  # half


def test_passages_compared_share_one_softmax_with_none_of_them() -> None:
    torch.manual_seed(0)
    logits, mask = torch.randn(4, 7, 2), torch.ones(4, 7, dtype=torch.bool)
    mask[1, 4:] = False
    of_example, start, end = torch.tensor([0, 0, 1, 1]), torch.tensor([2, 0]), torch.tensor([3, 0])
    margins = logits - logits[:, :1]  # row 0 of each passage is its "no answer here"

    def surprise(passages: list[int], row: int, kind: int) -> torch.Tensor:
        rivals = torch.cat([torch.zeros(1), *(margins[one, 1:, kind][mask[one, 1:]] for one in passages)])
        return torch.logsumexp(rivals, 0) - margins[passages[0], row, kind]

    expected = (surprise([0, 1], 2, 0) + surprise([0, 1], 3, 1) + surprise([2, 3], 0, 0) + surprise([2, 3], 0, 1)) / 4
    torch.testing.assert_close(compared_cross_entropy(logits, mask, of_example, start, end), expected)


def test_over_one_passage_it_is_the_cross_entropy_over_its_tokens() -> None:
    torch.manual_seed(1)
    logits, mask = torch.randn(3, 7, 2), torch.ones(3, 7, dtype=torch.bool)
    start, end = torch.tensor([1, 0, 3]), torch.tensor([1, 0, 6])
    expected = (F.cross_entropy(logits[..., 0], start) + F.cross_entropy(logits[..., 1], end)) / 2
    torch.testing.assert_close(compared_cross_entropy(logits, mask, torch.arange(3), start, end), expected)


def test_losses_ignore_padding_and_vanish_for_equals() -> None:
    torch.manual_seed(0)
    logits, mask = torch.randn(3, 7, 2), torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:] = False
    states = [torch.randn(3, 7, 8) for _ in range(2)]
    start, end = torch.tensor([1, 2, 3]), torch.tensor([1, 3, 6])
    noisy = logits.masked_fill(~mask[..., None], 50.0)
    noisy_states = [one.masked_fill(~mask[..., None], 9.0) for one in states]
    alone = torch.arange(3)
    assert compared_cross_entropy(noisy, mask, alone, start, end) == compared_cross_entropy(
        logits, mask, alone, start, end
    )
    assert float(distillation(noisy, logits, mask, 2.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(distillation(logits + torch.randn(3, 7, 2), logits, mask, 2.0)) > 0.01
    assert float(layerwise_similarity(noisy_states, states, mask)) == 0.0
    assert float(layerwise_similarity([one + 1 for one in states], states, mask)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"learning_speed": 1}, 'unknown key "learning_speed"'),
        ({"k": "two"}, "k: expected int"),
        ({"tune_lower": 1}, "tune_lower: expected bool"),
        ({"precision": "int3"}, "precision"),
        ({"batch": 0}, "batch: expected more than 0"),
        ({"average_last": -1}, "average_last: expected 0 or more"),
        ({"sources": []}, "at least one"),
        ({"sources": [{"answerable": 1.0}]}, 'source 1: key "file" is missing'),
        ({"sources": [{"file": "x", "answerable": "all"}]}, "source 1: answerable: expected float"),
        ({"sources": [{"file": "x", "answerable": -1}]}, "above 0"),
        ({"sources": [{"file": "x"}]}, "above 0"),
        ({"sources": [{"file": "x", "yes_no": 1.0, "claims": 1.0}]}, "no other kind"),
        ({"tune_lower": True, "k": 0}, "no lower layers"),
        ({"retrieval": 1.0}, "needs tune_lower"),
        ({"temperature": 0.0}, "temperature: expected more than 0"),
    ],
)
def test_a_bad_recipe_is_refused_by_key(change: dict[str, object], found: str) -> None:
    with pytest.raises(BadTrainingData, match=found):
        recipe_from({"name": "x", "k": 2, "sources": [{"file": "x.json", "answerable": 1.0}], **change}, "r.toml")


def test_a_recipe_that_distils_needs_a_whole_teacher(
    training_data: Path, tiny_bert: Path, whole_reader: Path, tmp_path: Path
) -> None:
    distilling = recipe_of(tiny_bert, kd=1.0, passes=1.0)
    with pytest.raises(BadTrainingData, match="need a teacher"):
        train_reader(distilling, training_data, tmp_path / "out")
    train_reader(recipe_of(tiny_bert, passes=1.0), training_data, tmp_path / "split")
    with pytest.raises(BadTrainingData, match="k=2"):
        train_reader(distilling, training_data, tmp_path / "out", teacher=tmp_path / "split")


def test_the_shipped_recipes_are_whole(tmp_path: Path) -> None:
    for path in (Path(__file__).parents[2] / "lab" / "recipes").glob("*.toml"):
        assert read_recipe(recipe_file(path.stem)).name == path.stem
    own = tmp_path / "own.toml"
    own.write_text("")
    assert recipe_file(str(own)) == own
    with pytest.raises(BadTrainingData, match=r"no such recipe; those that ship are: .*whole"):
        recipe_file("no-such")


def test_a_folder_holds_one_run(training_data: Path, tiny_bert: Path, tmp_path: Path) -> None:
    recipe, out = recipe_of(tiny_bert, passes=1.0), tmp_path / "out"
    train_reader(recipe, training_data, out)
    made = (out / "reader.json").read_bytes()
    events: list[str] = []
    train_reader(recipe, training_data, out, on_event=events.append)
    assert (out / "reader.json").read_bytes() == made
    assert "has ended" in events[-1]
    with pytest.raises(BadTrainingData, match="another recipe"):
        train_reader(replace(recipe, learning_rate=1e-3), training_data, out)
    (out / "run.json").unlink()
    with pytest.raises(BadTrainingData, match=r"no run\.json"):
        train_reader(recipe, training_data, out)
    with pytest.raises(BadTrainingData, match=r"no-such\.json: no such file"):
        train_reader(
            replace(recipe, sources=(Source("no-such.json", answerable=1.0),)), training_data, tmp_path / "new"
        )
    with pytest.raises(BadTrainingData, match='device "banana"'):
        train_reader(recipe, training_data, tmp_path / "new", device="banana")


def test_a_tuned_reader_and_its_encoder_can_move(training_data: Path, tiny_bert: Path, tmp_path: Path) -> None:
    train_reader(recipe_of(tiny_bert, passes=1.0, tune_lower=True), training_data, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert SplitReader.load(tmp_path / "moved").encoder.source == str(tmp_path / "moved" / "encoder")
    assert (tmp_path / "moved" / "encoder" / "layers.safetensors").stat().st_size < 100_000  # two layers, no more
    (tmp_path / "moved" / "encoder" / "layers.safetensors").unlink()
    with pytest.raises(ModelNotFound, match=r"layers\.safetensors beside it"):
        SplitReader.load(tmp_path / "moved")


def test_the_loss_is_the_sum_of_its_parts(training_data: Path, tiny_bert: Path) -> None:
    """Cross entropy, distillation and similarity of a batch with spans, no answers and verdicts, one term at a time."""
    sources = (Source("train-v2.json", answerable=1.0, unanswerable=1.0), Source("boolq.jsonl", yes_no=1.0))
    recipe = recipe_of(tiny_bert, sources=sources)
    encoder = Encoder.load(recipe.encoder, k=2)
    items = make_examples(recipe, training_data, encoder).items[:12]
    assert {item.verdict for item in items} == {NO_VERDICT, NO, YES}
    joint, teacher = JointLayers(encoder.backbone.shape, 2), JointLayers(encoder.backbone.shape, 4)
    for one in (joint, teacher):
        torch.nn.init.normal_(one.head.weight)
        torch.nn.init.normal_(one.yes_no.weight)

    def loss(**weights: float) -> float:
        weighed = replace(recipe, **{"ce": 0.0, **weights})  # type: ignore[arg-type]
        return float(ReaderInTraining(encoder, joint, teacher, weighed)(**collate(items))["loss"].detach())

    parts = [loss(ce=1.0), loss(kd=1.0), loss(lrs=1.0)]
    assert min(parts) > 0.01
    assert loss(ce=0.5, kd=2.0, lrs=3.0) == pytest.approx(0.5 * parts[0] + 2 * parts[1] + 3 * parts[2], rel=1e-4)
    apart = [float(ReaderInTraining(encoder, joint, None, recipe)(**collate([one]))["loss"].detach()) for one in items]
    assert loss(ce=1.0) == pytest.approx(sum(apart) / len(apart), rel=1e-2)  # padding of the batch changes nothing
