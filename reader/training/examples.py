"""Questions as tensors: question tokens, passage tokens, and what is to be said of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from deformer_qa.reader.boolq import read_boolq
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData, TextTooLong
from deformer_qa.reader.squad import GoldAnswer, SquadParagraph, SquadQuestion, SquadSet, read_squad
from deformer_qa.reader.tokens import TokenizedText
from deformer_qa.reader.training.mining import nearest_passages
from deformer_qa.reader.training.recipe import Recipe, Source

_LENGTH_STEP = 16
"""Batches are padded to multiples of it: CPU kernels are made per shape, and few shapes are made once."""

_NEIGHBOURS = 20
_HARDNESS = 0.3
"""Passages without the answer are drawn by their rank among the neighbours, the rank's mean being about 3."""

NO_VERDICT, NO, YES = -1, 0, 1

_Item = TypeVar("_Item")


class Example(NamedTuple):
    """One question on one passage.

    :ivar start, end: token rows of the passage; 0 and 0 for no answer there
    :ivar verdict: YES or NO for a yes/no question, which has no span; else NO_VERDICT
    """

    question: tuple[int, ...]
    passage: tuple[int, ...]
    start: int = 0
    end: int = 0
    verdict: int = NO_VERDICT


@dataclass(frozen=True)
class _Passage:
    first: int
    text: str
    tokens: TokenizedText


class _Asked(NamedTuple):
    """A question with its answer, and what other examples are made of."""

    paragraph: SquadParagraph
    question: SquadQuestion
    example: Example

    @property
    def answers(self) -> set[str]:
        return {gold.text.lower() for gold in self.question.answers}


def held_back(squad: SquadSet, n_articles: int) -> tuple[SquadSet, SquadSet]:
    """The set without its last ``n_articles`` articles (by the file's order), and those."""
    names = list(dict.fromkeys(paragraph.article for paragraph in squad.paragraphs))
    if n_articles >= len(names):
        raise BadTrainingData(f"held_back_articles is {n_articles}, and the data have {len(names)} articles.")
    return without(squad, set(names[len(names) - n_articles :]))


def without(squad: SquadSet, articles: set[str]) -> tuple[SquadSet, SquadSet]:
    """The set without the articles named, and those."""
    return (
        SquadSet(tuple(p for p in squad.paragraphs if p.article not in articles), squad.has_impossible),
        SquadSet(tuple(p for p in squad.paragraphs if p.article in articles), squad.has_impossible),
    )


class Examples(Dataset[Example]):
    """What a recipe's sources give, over the passages that the indexer would cut: training reads what asking reads.

    :ivar reserve: articles held back, by name
    :ivar n_skipped: questions left out: too long, or with an answer across a border of passages
    """

    def __init__(
        self, recipe: Recipe, folder: Path, encoder: Encoder, on_event: Callable[[str], None] = lambda line: None
    ) -> None:
        self._encoder, self._on_event = encoder, on_event
        self._passages = cache(self._cut)
        self._chance = random.Random(recipe.seed)
        self.n_skipped = 0
        self.items: list[Example] = []
        self.reserve: set[str] = set()
        for index, source in enumerate(recipe.sources):
            on_event(f"reading {source.file}")
            if source.yes_no:
                self.items += self._sampled(list(self._yes_no(folder / source.file)), source.yes_no)
            if not (source.answerable or source.unanswerable or source.elsewhere or source.claims):
                continue
            squad = read_squad(folder / source.file)
            if index == 0 and recipe.held_back_articles:
                self.reserve = {p.article for p in held_back(squad, recipe.held_back_articles)[1].paragraphs}
            self.items += self._spans(without(squad, self.reserve)[0], source)
        self._chance.shuffle(self.items)
        if recipe.examples:
            del self.items[recipe.examples :]
        if not self.items:
            raise BadTrainingData("no question of the training data could be used.")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Example:
        return self.items[index]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example, question and passage."""
        return [len(item.question) + len(item.passage) for item in self.items]

    def _cut(self, context: str) -> tuple[_Passage, ...]:
        tokenizer = self._encoder.tokenizer
        texts = [
            (span.start, context[span.start : span.end]) for span in self._encoder.borders.split(context, tokenizer)
        ]
        return tuple(_Passage(first, text, tokenizer.tokenize(text)) for first, text in texts)

    def _question(self, text: str) -> tuple[int, ...] | None:
        try:
            return self._encoder.tokenizer.tokenize(text, "question").ids
        except TextTooLong:
            self.n_skipped += 1
            return None

    def _spans(self, squad: SquadSet, source: Source) -> Iterator[Example]:
        asked: list[_Asked] = []
        unanswerable: list[Example] = []
        for paragraph, question in squad.questions():
            wanted = source.answerable or source.elsewhere or source.claims
            if not (wanted if question.answers else source.unanswerable):
                continue
            ids = self._question(question.question)
            if ids is None:
                continue
            here = self._passages(paragraph.context)
            if not question.answers:
                unanswerable.append(Example(ids, self._chance.choice(here).tokens.ids))
                continue
            found = next((one for passage in here for one in _with_answer(ids, passage, question.answers)), None)
            if found is None:
                self.n_skipped += 1
                continue
            asked.append(_Asked(paragraph, question, found))
        yield from self._sampled([one.example for one in asked], source.answerable)
        yield from self._sampled(unanswerable, source.unanswerable)
        yield from self._elsewhere(self._sampled(asked, source.elsewhere), squad)
        yield from self._claims(self._sampled(asked, source.claims))

    def _elsewhere(self, asked: list[_Asked], squad: SquadSet) -> Iterator[Example]:
        """Each question on one of the passages nearest to it by vector that does not hold its answer's text."""
        if not asked:
            return
        passages = [one for paragraph in squad.paragraphs for one in self._passages(paragraph.context)]
        self._on_event(f"retrieving for {len(asked):,} questions among {len(passages):,} passages")
        lowered = [one.text.lower() for one in passages]
        near = nearest_passages(
            self._encoder, [one.example.question for one in asked], [one.tokens.ids for one in passages], n=_NEIGHBOURS
        )
        for one, rows in zip(asked, near, strict=True):
            fit = [row for row in rows if not any(answer in lowered[row] for answer in one.answers)]
            if fit:
                rank = min(int(self._chance.expovariate(_HARDNESS)), len(fit) - 1)
                yield Example(one.example.question, passages[fit[rank]].tokens.ids)

    def _claims(self, asked: list[_Asked]) -> Iterator[Example]:
        """The question with an answer behind it, its own or another of its paragraph: does that follow?"""
        for one in asked:
            others = {gold.text.lower() for other in one.paragraph.questions for gold in other.answers}
            wrong = sorted(text for text in others if not any(text in own or own in text for own in one.answers))
            right = self._chance.random() < 0.5
            if not right and not wrong:
                continue
            claimed = one.question.answers[0].text if right else self._chance.choice(wrong)
            ids = self._question(f"{one.question.question.rstrip('? ')}: {claimed}?")
            if ids is not None:
                yield Example(ids, one.example.passage, verdict=YES if right else NO)

    def _yes_no(self, path: Path) -> Iterator[Example]:
        for record in read_boolq(path):
            ids = self._question(record.question)
            if ids is not None:
                first = self._passages(record.passage)[0]
                yield Example(ids, first.tokens.ids, verdict=YES if record.answer else NO)

    def _sampled(self, items: list[_Item], passes: float) -> list[_Item]:
        """Every item ``int(passes)`` times, and a random share of them once more."""
        whole, rest = divmod(passes, 1)
        return items * int(whole) + self._chance.sample(items, round(rest * len(items)))


def collate(items: Sequence[Example]) -> dict[str, Tensor]:
    """A batch, padded: ids and masks (batch, tokens); ``start``, ``end`` and ``verdict`` (batch,)."""
    question, question_mask = _padded([item.question for item in items], step=8)
    passage, passage_mask = _padded([item.passage for item in items], step=_LENGTH_STEP)
    return {
        "question": question,
        "question_mask": question_mask,
        "passage": passage,
        "passage_mask": passage_mask,
        "start": torch.tensor([item.start for item in items]),
        "end": torch.tensor([item.end for item in items]),
        "verdict": torch.tensor([item.verdict for item in items]),
    }


def _padded(rows: Sequence[tuple[int, ...]], step: int) -> tuple[Tensor, Tensor]:
    width = -(-max(map(len, rows)) // step) * step
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = True
    return ids, mask


def _with_answer(asked: tuple[int, ...], passage: _Passage, answers: Sequence[GoldAnswer]) -> Iterator[Example]:
    for gold in answers:
        start, text = gold.start - passage.first, gold.text
        if start < 0 or start + len(text) > len(passage.text):
            continue
        rows = [
            row for row, (first, end) in enumerate(passage.tokens.offsets) if end > start and first < start + len(text)
        ]
        rows = [row for row in rows if passage.tokens.offsets[row] != (0, 0)]
        if rows:
            yield Example(asked, passage.tokens.ids, rows[0], rows[-1])
