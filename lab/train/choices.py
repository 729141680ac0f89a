"""Turn multiple-choice questions into tensors: the question with each option, the passages, the right option."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from deformer_qa.lab.data.race import RaceArticle, read_race
from deformer_qa.lab.train.batches import padded
from deformer_qa.lab.train.recipe import Recipe
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData, TextTooLong


class ChoiceExample(NamedTuple):
    """One multiple-choice question.

    :ivar options: token ids of the question completed by each option
    :ivar passages: token ids of the article's passages, which are read together as one text
    """

    options: tuple[tuple[int, ...], ...]
    passages: tuple[tuple[int, ...], ...]
    answer: int

    @property
    def n_tokens(self) -> int:
        """Number of tokens of the article."""
        return sum(map(len, self.passages))


@dataclass(frozen=True)
class ChoiceSet:
    """Like ``examples.ExampleSet``; articles are held back by their ids."""

    items: list[ChoiceExample]
    held_back: tuple[str, ...]
    n_left_out: int


def make_choice_examples(
    recipe: Recipe, folder: Path, encoder: Encoder, on_event: Callable[[str], None] = lambda line: None
) -> ChoiceSet:
    """Make examples over the same passages that the indexer would cut.

    :raises BadTrainingData: if a file is missing or of another kind, or no question can be used.
    """
    files = [read_race(folder / source.file) for source in recipe.sources]
    reserve = held_back_articles(files[0], recipe.held_back_articles)[1]
    texts = {article.text for article in reserve}
    items: list[ChoiceExample] = []
    n_left_out = 0
    for source, articles in zip(recipe.sources, files, strict=True):
        on_event(f"preparing {source.file}")
        made = [one for article in articles if article.text not in texts for one in _of_article(article, encoder)]
        usable = [one for one in made if one is not None]
        n_left_out += len(made) - len(usable)
        whole, rest = divmod(source.choices, 1)
        chance = random.Random(f"{recipe.seed}/{source.file}")
        items += usable * int(whole) + chance.sample(usable, round(rest * len(usable)))
    random.Random(recipe.seed).shuffle(items)
    items = items[: recipe.examples] if recipe.examples else items
    if not items:
        raise BadTrainingData(f"recipe {recipe.name}: no question of its sources could be used.")
    return ChoiceSet(items, tuple(sorted(article.id for article in reserve)), n_left_out)


def held_back_articles(articles: Sequence[RaceArticle], n: int) -> tuple[list[RaceArticle], list[RaceArticle]]:
    """Split off the last ``n`` articles; return the others and those."""
    if n >= len(articles):
        raise BadTrainingData(f"held_back_articles is {n}, and the data have {len(articles)} articles.")
    return list(articles[: len(articles) - n]), list(articles[len(articles) - n :])


def collate_choices(items: Sequence[ChoiceExample]) -> dict[str, Tensor]:
    """Make a batch of all options of all questions and all passages of all articles.

    The tensors are ``option`` and its mask (options, tokens); ``of_question`` (options,), the question of each option;
    ``place`` (options,), its index among the question's options; ``passage`` and its mask (passages, tokens);
    ``of_article`` (passages,), the article of each passage; ``answer`` (questions,).
    """
    option, option_mask = padded([one for item in items for one in item.options], step=8)
    passage, passage_mask = padded([one for item in items for one in item.passages], step=16)
    return {
        "option": option,
        "option_mask": option_mask,
        "of_question": torch.tensor([row for row, item in enumerate(items) for _ in item.options]),
        "place": torch.tensor([place for item in items for place in range(len(item.options))]),
        "passage": passage,
        "passage_mask": passage_mask,
        "of_article": torch.tensor([row for row, item in enumerate(items) for _ in item.passages]),
        "answer": torch.tensor([item.answer for item in items]),
    }


def _of_article(article: RaceArticle, encoder: Encoder) -> list[ChoiceExample | None]:
    """Make an example for each question, None for one with an option that is too long."""
    tokenizer = encoder.tokenizer
    spans = encoder.borders.split(article.text, tokenizer)
    passages = tuple(tokenizer.tokenize(article.text[span.start : span.end]).ids for span in spans)
    made: list[ChoiceExample | None] = []
    for question in article.questions:
        try:
            options = tuple(tokenizer.tokenize(one, "option").ids for one in question.asked())
            made.append(ChoiceExample(options, passages, question.answer) if passages else None)
        except TextTooLong:
            made.append(None)
    return made
