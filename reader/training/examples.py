"""SQuAD questions as tensors: question tokens, passage tokens, and where the answer's tokens begin and end."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData, TextTooLong
from deformer_qa.reader.squad import GoldAnswer, SquadParagraph, SquadSet
from deformer_qa.reader.tokens import TokenizedText

_LENGTH_STEP = 16
"""Batches are padded to multiples of it: CPU kernels are made per shape, and few shapes are made once."""


class Example(NamedTuple):
    """One question on one passage; ``start`` and ``end`` are token rows of the passage, 0 and 0 for no answer there."""

    question: tuple[int, ...]
    passage: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class _Passage:
    paragraph: int
    first: int
    text: str
    tokens: TokenizedText


def held_back(squad: SquadSet, n_articles: int) -> tuple[SquadSet, SquadSet]:
    """The set without its last ``n_articles`` articles (by the file's order), and those."""
    names = list(dict.fromkeys(paragraph.article for paragraph in squad.paragraphs))
    if n_articles >= len(names):
        raise BadTrainingData(f"held_back_articles is {n_articles}, and the data have {len(names)} articles.")
    kept = set(names[: len(names) - n_articles])
    return (
        SquadSet(tuple(p for p in squad.paragraphs if p.article in kept), squad.has_impossible),
        SquadSet(tuple(p for p in squad.paragraphs if p.article not in kept), squad.has_impossible),
    )


class SquadExamples(Dataset[Example]):
    """Examples over the passages that the indexer would cut, so that training reads what asking reads.

    For each question the passage holding its answer; for a seeded share of them also a passage of the same article
    without it, whose target is its [CLS]: "no answer here".
    """

    def __init__(self, squad: SquadSet, encoder: Encoder, *, questions: int, negatives: float, seed: int) -> None:
        order = list(squad.questions())
        chance = random.Random(seed)
        chance.shuffle(order)
        if questions:
            order = order[:questions]
        passages, by_article = _passages(squad.paragraphs, encoder)
        places = {id(paragraph): index for index, paragraph in enumerate(squad.paragraphs)}
        self.n_skipped = 0
        self.items: list[Example] = []
        for paragraph, question in order:
            try:
                asked = encoder.tokenizer.tokenize(question.question, "question").ids
            except TextTooLong:
                self.n_skipped += 1
                continue
            here = passages[places[id(paragraph)]]
            found = [example for passage in here for example in _with_answer(asked, passage, question.answers)]
            if question.answers and not found:
                self.n_skipped += 1  # an answer across a border of passages
                continue
            self.items += found[:1] or [Example(asked, passage.tokens.ids, 0, 0) for passage in here[:1]]
            if question.answers and chance.random() < negatives:
                others = by_article[paragraph.article]
                other = others[chance.randrange(len(others))]
                if not any(gold.text.lower() in other.text.lower() for gold in question.answers):
                    self.items.append(Example(asked, other.tokens.ids, 0, 0))
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


def collate(items: Sequence[Example]) -> dict[str, Tensor]:
    """A batch, padded: ids and masks (batch, tokens), ``start`` and ``end`` (batch,)."""
    question, question_mask = _padded([item.question for item in items], step=8)
    passage, passage_mask = _padded([item.passage for item in items], step=_LENGTH_STEP)
    return {
        "question": question,
        "question_mask": question_mask,
        "passage": passage,
        "passage_mask": passage_mask,
        "start": torch.tensor([item.start for item in items]),
        "end": torch.tensor([item.end for item in items]),
    }


def _padded(rows: Sequence[tuple[int, ...]], step: int) -> tuple[Tensor, Tensor]:
    width = -(-max(map(len, rows)) // step) * step
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = True
    return ids, mask


def _passages(
    paragraphs: Sequence[SquadParagraph], encoder: Encoder
) -> tuple[list[list[_Passage]], dict[str, list[_Passage]]]:
    by_paragraph: list[list[_Passage]] = []
    by_article: dict[str, list[_Passage]] = defaultdict(list)
    for index, paragraph in enumerate(paragraphs):
        spans = encoder.borders.split(paragraph.context, encoder.tokenizer)
        texts = [(span.start, paragraph.context[span.start : span.end]) for span in spans]
        made = [_Passage(index, first, text, encoder.tokenizer.tokenize(text)) for first, text in texts]
        by_paragraph.append(made)
        by_article[paragraph.article] += made
    return by_paragraph, by_article


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
