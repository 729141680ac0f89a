"""Multiple choice: RACE's files, and a reader that learns to choose among options that share an article's states."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from parts.tiny_training import recipe_of

from deformer_qa.lab.data.race import RaceQuestion, read_race
from deformer_qa.lab.measure.reading import SplitPassageReader, choices
from deformer_qa.lab.train.choice_model import ChoiceReaderInTraining
from deformer_qa.lab.train.choices import ChoiceExample, collate_choices, make_choice_examples
from deformer_qa.lab.train.recipe import Recipe, Source
from deformer_qa.lab.train.run import train_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.reading import SplitReader

PLACES = ["x", "y", "z", "v", "w"]


def _race(n_articles: int, longest: int) -> str:
    """Articles that name one place, again and again; the option that names it is right."""
    chance = random.Random(1)
    lines = []
    for number in range(n_articles):
        place = chance.choice(PLACES)
        words = [*chance.choices(["the", "river", "of", place], k=chance.randint(8, longest)), place]
        options = chance.sample(PLACES, 4)
        if place not in options:
            options[chance.randrange(4)] = place
        lines.append(
            {
                "id": f"middle/{number}.txt",
                "level": "middle" if number % 2 else "high",
                "article": " ".join(words),
                "questions": ["the city was _ .", "where was the city?"],
                "options": [options, options[:3] if place in options[:3] else options],
                "answers": ["ABCD"[options.index(place)]] * 2,
            }
        )
    return "\n".join(map(json.dumps, lines)) + "\n"


def _recipe(encoder: Path, passes: float, **changes: object) -> Recipe:
    return recipe_of(encoder, sources=(Source("race.jsonl", choices=passes),), held_back_articles=4, **changes)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "race.jsonl").write_text(_race(40, 12), encoding="utf-8")
    return tmp_path


def test_an_option_fills_the_gap_or_stands_behind_the_question() -> None:
    assert RaceQuestion("Jim is _ in the zoo.", ("six", "sad "), 0).asked() == (
        "Jim is six in the zoo.",
        "Jim is sad in the zoo.",
    )
    assert RaceQuestion("Where? ", ("Here", "There"), 1).asked() == ("Where? Here", "Where? There")
    assert RaceQuestion("He saw ____", ("me",), 0).asked() == ("He saw me",)


def test_whole_and_split_readers_learn_to_choose(data: Path, tiny_bert: Path, tmp_path: Path) -> None:
    train_reader(_recipe(tiny_bert, 40.0, k=0), data, tmp_path / "whole")
    student = _recipe(tiny_bert, 40.0, ce=0.5, kd=1.0, lrs=0.5)
    train_reader(student, data, tmp_path / "split", teacher=tmp_path / "whole")
    articles = read_race(data / "race.jsonl")
    golds = [question.answer for article in articles for question in article.questions]
    for name in ("whole", "split"):
        reader = SplitReader.load(tmp_path / name)
        assert reader.joint.knows_choices
        chosen = list(choices(SplitPassageReader(reader), articles))
        assert np.mean(np.array(chosen) == golds) > 0.9, name


def test_training_on_choices_computes_what_choosing_computes(data: Path, tiny_bert: Path) -> None:
    (data / "race.jsonl").write_text(_race(12, 150), encoding="utf-8")  # some articles divide into several passages
    recipe = _recipe(tiny_bert, 1.0)
    encoder = Encoder.load(recipe.encoder, k=2)
    items = make_choice_examples(recipe, data, encoder).items
    assert {len(item.passages) for item in items} >= {1, 2}
    assert {len(item.options) for item in items} == {3, 4}
    joint = JointLayers(encoder.backbone.shape, 2)
    torch.nn.init.normal_(joint.marker)
    torch.nn.init.normal_(joint.choice.weight)
    model = ChoiceReaderInTraining(encoder, joint, None, recipe)
    first, again = (model(**collate_choices(items))["logits"].detach() for _ in range(2))
    torch.testing.assert_close(first, again, atol=1e-6, rtol=0)  # the second time from kept states
    reader = SplitReader(encoder, joint)

    def states(ids: tuple[int, ...]) -> np.ndarray:
        return encoder.backbone.run(encoder.backbone.embed(torch.tensor([ids])), None, 0, 2)[0].numpy()

    for row, item in enumerate(items):
        found = reader.choose([states(one) for one in item.options], [states(one) for one in item.passages])
        assert len(found) == len(item.options)
        np.testing.assert_allclose(found, first[row, : len(found)], atol=5e-3, rtol=0)  # kept in half precision


def test_the_loss_on_choices_is_the_sum_of_its_parts(data: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)
    items = make_choice_examples(_recipe(tiny_bert, 1.0), data, encoder).items[:10]
    joint, teacher = JointLayers(encoder.backbone.shape, 2), JointLayers(encoder.backbone.shape, 4)
    for one in (joint, teacher):
        torch.nn.init.normal_(one.choice.weight)

    def loss(batch: list[ChoiceExample], **weights: float) -> float:
        recipe = _recipe(tiny_bert, 1.0, **{"ce": 0.0, **weights})
        return float(ChoiceReaderInTraining(encoder, joint, teacher, recipe)(**collate_choices(batch))["loss"].detach())

    parts = [loss(items, ce=1.0), loss(items, kd=1.0), loss(items, lrs=1.0)]
    assert min(parts) > 0.01
    total = loss(items, ce=0.5, kd=2.0, lrs=3.0)
    assert total == pytest.approx(0.5 * parts[0] + 2 * parts[1] + 3 * parts[2], rel=1e-4)
    for weights, part in (({"ce": 1.0}, parts[0]), ({"kd": 1.0}, parts[1])):
        apart = [loss([one], **weights) for one in items]  # neither padding nor a missing option changes anything
        assert np.mean(apart) == pytest.approx(part, rel=1e-2)


def test_articles_held_back_are_not_trained_on(data: Path, tiny_bert: Path) -> None:
    made = make_choice_examples(_recipe(tiny_bert, 1.0), data, Encoder.load(str(tiny_bert), k=2))
    assert made.held_back == ("middle/36.txt", "middle/37.txt", "middle/38.txt", "middle/39.txt")
    assert len(made.items) == 2 * 36


_GOOD = {"article": "a text", "questions": ["q?"], "options": [["x", "y"]], "answers": ["A"]}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"article": 3}, r'record 2: expected "article" \(a text\)'),
        ({"article": "  "}, "record 2: its article is empty"),
        ({"questions": []}, "record 2: expected as many of each, found 0 questions, 1 options, 1 answers"),
        ({"options": [["x"]]}, "record 2: question 1: expected 2 to 26 options"),
        ({"options": ["xy"]}, "record 2: question 1: expected a text and a list of texts"),
        ({"answers": ["C"]}, "record 2: question 1: .*found 2 and 'C'"),
        ({"answers": [""]}, "record 2: question 1: .*found 2 and ''"),
    ],
)
def test_a_bad_race_file_is_refused_with_its_place(tmp_path: Path, change: dict[str, object], found: str) -> None:
    file = tmp_path / "race.jsonl"
    file.write_text("\n".join(json.dumps(one) for one in (_GOOD, _GOOD | change)), encoding="utf-8")
    with pytest.raises(BadTrainingData, match=found):
        read_race(file)
    file.write_text(json.dumps(_GOOD | {"questions": [], "options": [], "answers": []}), encoding="utf-8")
    with pytest.raises(BadTrainingData, match="no question in it"):
        read_race(file)
