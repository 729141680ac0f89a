"""Training on a tiny model: it learns, it resumes, it distils, and it refuses bad input before it computes."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deformer_qa.reader.checkpoint import describe_reader, load_joint
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData, WrongEncoder
from deformer_qa.reader.evaluation import SplitPassageReader, figures, predictions
from deformer_qa.reader.reading import SplitReader
from deformer_qa.reader.recipes import shipped_recipe
from deformer_qa.reader.squad import read_squad
from deformer_qa.reader.training.examples import SquadExamples, collate
from deformer_qa.reader.training.losses import distillation, layerwise_similarity, span_cross_entropy
from deformer_qa.reader.training.model import ReaderInTraining
from deformer_qa.reader.training.recipe import Recipe, read_recipe, recipe_from
from deformer_qa.reader.training.run import train_reader
from deformer_qa.reader.whole import TeacherReader

PLACES = ["ulm", "basel", "prague", "lodz", "turku"]


@pytest.fixture(scope="module")
def small_squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions whose answer is the only place named: learnable in a few steps by a tiny random model."""
    chance = random.Random(0)
    articles = []
    for number in range(12):
        paragraphs = []
        for part in range(4):
            words = chance.choices(["the", "river", "of", "and", "was"], k=chance.randint(3, 9))
            place = chance.choice(PLACES)
            words.insert(chance.randrange(len(words)), place)
            context = " ".join(words)
            answer = {"text": place, "answer_start": context.index(place)}
            question = {"id": f"{number}-{part}", "question": "where was the city?", "answers": [answer]}
            paragraphs.append({"context": context, "qas": [question]})
        articles.append({"title": f"A{number}", "paragraphs": paragraphs})
    path = tmp_path_factory.mktemp("squad") / "train.json"
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    return path


@pytest.fixture
def recipe(tiny_bert: Path) -> Recipe:
    return Recipe(
        name="tiny",
        split=True,
        k=2,
        encoder=str(tiny_bert),
        held_back_articles=2,
        epochs=20,
        batch=8,
        learning_rate=3e-3,
        precision="fp32",
        negatives=0.0,
    )


def test_a_split_reader_learns_and_is_the_same_after_loading(small_squad: Path, recipe: Recipe, tmp_path: Path) -> None:
    train_reader(recipe, small_squad, tmp_path / "out")
    reader = SplitPassageReader(SplitReader.load(tmp_path / "out"))
    squad = read_squad(small_squad)
    assert figures(list(predictions(reader, squad)), forced=True).f1 > 80
    about = describe_reader(tmp_path / "out")
    assert (about.k, about.split, about.n_joint_layers) == (2, True, 2)
    assert about.training["held_back_articles"] == ["A10", "A11"]


def test_a_stopped_run_goes_on_from_its_last_checkpoint(
    small_squad: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deformer_qa.reader.training import run

    short = replace(recipe, epochs=5)
    train_reader(short, small_squad, tmp_path / "whole")
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
        train_reader(short, small_squad, tmp_path / "stopped")
    assert (tmp_path / "stopped" / "steps" / "checkpoint-10").is_dir()
    resumed = True
    train_reader(short, small_squad, tmp_path / "stopped")
    encoder = Encoder.load(recipe.encoder, k=2)
    whole, stopped = (load_joint(tmp_path / name, encoder).state_dict() for name in ("whole", "stopped"))
    for name in whole:
        torch.testing.assert_close(stopped[name], whole[name], atol=1e-6, rtol=0)
    assert (
        describe_reader(tmp_path / "stopped").training["steps"] == describe_reader(tmp_path / "whole").training["steps"]
    )


def test_a_student_is_distilled_from_a_teacher_that_reads_whole(
    small_squad: Path, recipe: Recipe, tmp_path: Path
) -> None:
    train_reader(replace(recipe, split=False), small_squad, tmp_path / "teacher")
    student = replace(recipe, epochs=5, kd=1.0, lrs=0.5, ce=0.5)
    train_reader(student, small_squad, tmp_path / "student", teacher=tmp_path / "teacher")
    assert describe_reader(tmp_path / "student").training["teacher"] == "tiny"
    encoder = Encoder.load(recipe.encoder, k=2)
    squad = read_squad(small_squad)
    teacher = TeacherReader.load(tmp_path / "teacher", encoder)
    assert figures(list(predictions(teacher, squad)), forced=True).f1 > 80
    split = SplitPassageReader(SplitReader.load(tmp_path / "student"))
    assert figures(list(predictions(split, squad)), forced=True).f1 > 80


def test_the_frozen_layers_stay_as_they_were(small_squad: Path, recipe: Recipe, tmp_path: Path) -> None:
    train_reader(replace(recipe, epochs=2), small_squad, tmp_path / "out")
    before, after = Encoder.load(recipe.encoder, k=2), SplitReader.load(tmp_path / "out").encoder
    assert before.encoder_id == after.encoder_id
    for ours, theirs in zip(before.backbone.parameters(), after.backbone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_reader_of_another_encoder_is_refused(small_squad: Path, recipe: Recipe, tmp_path: Path) -> None:
    train_reader(replace(recipe, epochs=1), small_squad, tmp_path / "out")
    with pytest.raises(WrongEncoder, match="k=2"):
        load_joint(tmp_path / "out", Encoder.load(recipe.encoder, k=3))


def test_training_computes_what_reading_computes(small_squad: Path, recipe: Recipe) -> None:
    encoder = Encoder.load(recipe.encoder, k=2)
    examples = SquadExamples(read_squad(small_squad), encoder, questions=0, negatives=0.5, seed=1)
    batch = collate(examples.items[:6])
    from deformer_qa.reader.joint import JointLayers

    joint = JointLayers(encoder.backbone.shape, 2)
    torch.nn.init.normal_(joint.marker)
    trained = ReaderInTraining(encoder.backbone, joint, None, recipe)(**batch)["logits"]
    reader = SplitReader(encoder, joint)
    for row, item in enumerate(examples.items[:6]):
        asked = encoder.backbone.run(encoder.backbone.embed(torch.tensor([item.question])), None, 0, 2)[0]
        read = encoder.backbone.run(encoder.backbone.embed(torch.tensor([item.passage])), None, 0, 2)[0]
        (logits,) = reader.read(asked.detach().numpy(), [read.detach().numpy()])
        torch.testing.assert_close(
            trained[row, : len(item.passage)].detach(), torch.from_numpy(logits), atol=1e-5, rtol=0
        )


def test_examples_point_at_the_answers_tokens(small_squad: Path, recipe: Recipe) -> None:
    encoder = Encoder.load(recipe.encoder, k=2)
    squad = read_squad(small_squad)
    by_passage = {
        encoder.tokenizer.tokenize(paragraph.context).ids: (paragraph.context, question.answers[0].text)
        for paragraph, question in squad.questions()
    }
    for item in SquadExamples(squad, encoder, questions=0, negatives=0.0, seed=1).items:
        context, answer = by_passage[item.passage]
        first, end = encoder.tokenizer.tokenize(context).characters(item.start, item.end)
        assert context[first:end] == answer


def test_losses_ignore_padding_and_vanish_for_equals() -> None:
    torch.manual_seed(0)
    logits, mask = torch.randn(3, 7, 2), torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:] = False
    states = [torch.randn(3, 7, 8) for _ in range(2)]
    start, end = torch.tensor([1, 2, 3]), torch.tensor([1, 3, 6])
    noisy = logits.masked_fill(~mask[..., None], 50.0)
    noisy_states = [one.masked_fill(~mask[..., None], 9.0) for one in states]
    assert span_cross_entropy(noisy, mask, start, end) == span_cross_entropy(logits, mask, start, end)
    assert float(distillation(noisy, logits, mask, 2.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(distillation(logits + torch.randn(3, 7, 2), logits, mask, 2.0)) > 0.01
    assert float(layerwise_similarity(noisy_states, states, mask)) == 0.0
    assert float(layerwise_similarity([one + 1 for one in states], states, mask)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"learning_speed": 1}, 'unknown key "learning_speed"'),
        ({"k": "two"}, "k: expected int"),
        ({"split": 1}, "split: expected bool"),
        ({"precision": "int3"}, "precision"),
        ({"batch": 0}, "above 0"),
    ],
)
def test_a_bad_recipe_is_refused_by_key(change: dict[str, object], found: str) -> None:
    with pytest.raises(BadTrainingData, match=found):
        recipe_from({"name": "x", "split": True, "k": 2, **change}, "r.toml")


def test_a_recipe_that_distils_needs_a_teacher(small_squad: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match="need a teacher"):
        train_reader(replace(recipe, kd=1.0), small_squad, tmp_path / "out")


def test_the_shipped_recipes_are_whole() -> None:
    for name in ("teacher-k2", "deformer-k2"):
        path = shipped_recipe(name)
        assert path is not None
        assert read_recipe(path).name == name
    assert shipped_recipe("no-such") is None
