"""Questions as tensors: question tokens, passage tokens, and what is to be said of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from deformer_qa.reader.boolq import BoolqQuestion, read_boolq
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData, TextTooLong
from deformer_qa.reader.squad import GoldAnswer, SquadParagraph, SquadQuestion, SquadSet, read_squad
from deformer_qa.reader.tokens import TokenizedText
from deformer_qa.reader.training.mining import nearest_passages
from deformer_qa.reader.training.padding import padded
from deformer_qa.reader.training.recipe import Recipe, Source

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

    @property
    def n_tokens(self) -> int:
        """Of question and passage."""
        return len(self.question) + len(self.passage)


@dataclass(frozen=True)
class ExampleSet:
    """What a recipe's sources give, shuffled.

    :ivar held_back: articles that no source gave a question of, by the first source's spelling
    :ivar n_left_out: questions that could not be used: too long, or with an answer across a border of passages
    """

    items: list[Example]
    held_back: tuple[str, ...]
    n_left_out: int


def make_examples(
    recipe: Recipe, folder: Path, encoder: Encoder, on_event: Callable[[str], None] = lambda line: None
) -> ExampleSet:
    """Examples over the passages that the indexer would cut, so that training reads what asking reads.

    :param folder: of the files that the recipe's sources name; all are read before anything is computed.
    :param on_event: called with a line on what is being done.
    :raises BadTrainingData: where a file is missing or not of its kind, or none of its questions can be used.
    """
    files = [_read(folder / source.file, source) for source in recipe.sources]
    squads = [one for one in files if isinstance(one, SquadSet)]
    if recipe.held_back_articles and not squads:
        raise BadTrainingData(f"recipe {recipe.name}: articles to hold back need a source in SQuAD's format.")
    reserve = held_back(squads[0], recipe.held_back_articles)[1] if recipe.held_back_articles else None
    names = {paragraph.article for paragraph in reserve.paragraphs} if reserve else set()
    maker = _Maker(encoder, on_event)
    items: list[Example] = []
    for source, content in zip(recipe.sources, files, strict=True):
        on_event(f"preparing {source.file}")
        chance = _Chance(f"{recipe.seed}/{source.file}")
        if isinstance(content, SquadSet):
            items += maker.spans(without(content, names)[0], source, chance)
        else:
            kept = [one for one in content if article_key(one.article) not in {article_key(name) for name in names}]
            items += chance.of("yes_no").sampled(list(maker.yes_no(kept)), source.yes_no)
    random.Random(recipe.seed).shuffle(items)
    items = items[: recipe.examples] if recipe.examples else items
    if not items:
        raise BadTrainingData(f"recipe {recipe.name}: no question of its sources could be used.")
    return ExampleSet(items, tuple(sorted(names)), maker.n_left_out)


def held_back(squad: SquadSet, n_articles: int) -> tuple[SquadSet, SquadSet]:
    """The set without its last ``n_articles`` articles (by the file's order), and those."""
    names = list(dict.fromkeys(paragraph.article for paragraph in squad.paragraphs))
    if n_articles >= len(names):
        raise BadTrainingData(f"held_back_articles is {n_articles}, and the data have {len(names)} articles.")
    return without(squad, set(names[len(names) - n_articles :]))


def without(squad: SquadSet, articles: set[str]) -> tuple[SquadSet, SquadSet]:
    """The set without the articles named, in whatever spelling a file has, and those."""
    keys = {article_key(name) for name in articles}
    inside = [article_key(paragraph.article) in keys for paragraph in squad.paragraphs]
    kept, others = (
        tuple(paragraph for paragraph, is_in in zip(squad.paragraphs, inside, strict=True) if is_in == wanted)
        for wanted in (False, True)
    )
    return SquadSet(kept, squad.has_impossible), SquadSet(others, squad.has_impossible)


def article_key(title: str) -> str:
    """One spelling for an article's titles: files differ in case, and in underscores for blanks."""
    return " ".join(title.replace("_", " ").casefold().split())


def collate(items: Sequence[Example]) -> dict[str, Tensor]:
    """A batch, padded: ids and masks (batch, tokens); ``start``, ``end`` and ``verdict`` (batch,)."""
    question, question_mask = padded([item.question for item in items], step=8)
    passage, passage_mask = padded([item.passage for item in items], step=16)
    return {
        "question": question,
        "question_mask": question_mask,
        "passage": passage,
        "passage_mask": passage_mask,
        "start": torch.tensor([item.start for item in items]),
        "end": torch.tensor([item.end for item in items]),
        "verdict": torch.tensor([item.verdict for item in items]),
    }


def _read(path: Path, source: Source) -> SquadSet | list[BoolqQuestion]:
    return read_boolq(path) if source.yes_no else read_squad(path)


class _Chance(random.Random):
    """Random draws of one source; each kind of example has its own, so that none hangs on what others drew."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._seed = seed

    def of(self, kind: str) -> _Chance:
        return _Chance(f"{self._seed}/{kind}")

    def sampled(self, items: list[_Item], passes: float) -> list[_Item]:
        """Every item ``int(passes)`` times, and a random share of them once more."""
        whole, rest = divmod(passes, 1)
        return items * int(whole) + self.sample(items, round(rest * len(items)))


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

    def answered_by(self, text: str) -> bool:
        return any(gold.text.lower() in text for gold in self.question.answers)


@dataclass
class _Maker:
    encoder: Encoder
    on_event: Callable[[str], None]
    n_left_out: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.passages = cache(self._cut)

    def spans(self, squad: SquadSet, source: Source, chance: _Chance) -> Iterator[Example]:
        asked: list[_Asked] = []
        unanswerable: list[Example] = []
        place = chance.of("place")
        for paragraph, question in squad.questions():
            wanted = source.answerable or source.elsewhere or source.claims
            if not (wanted if question.answers else source.unanswerable):
                continue
            here, ids = self.passages(paragraph.context), self._question(question.question)
            if ids is None or not here:
                self.n_left_out += 1
            elif not question.answers:
                unanswerable.append(Example(ids, place.choice(here).tokens.ids))
            elif found := next((one for passage in here for one in _with_answer(ids, passage, question.answers)), None):
                asked.append(_Asked(paragraph, question, found))
            else:
                self.n_left_out += 1
        yield from chance.of("answerable").sampled([one.example for one in asked], source.answerable)
        yield from chance.of("unanswerable").sampled(unanswerable, source.unanswerable)
        draw = chance.of("elsewhere")
        yield from self._elsewhere(draw.sampled(asked, source.elsewhere), squad, draw)
        draw = chance.of("claims")
        yield from self._claims(draw.sampled(asked, source.claims), draw)

    def yes_no(self, questions: Sequence[BoolqQuestion]) -> Iterator[Example]:
        for one in questions:
            ids, here = self._question(one.question), self.passages(one.passage)
            if ids is None or len(here) != 1:  # of a divided passage nobody knows which part says so
                self.n_left_out += 1
            else:
                yield Example(ids, here[0].tokens.ids, verdict=YES if one.answer else NO)

    def _elsewhere(self, asked: list[_Asked], squad: SquadSet, chance: _Chance) -> Iterator[Example]:
        """Each question on one of the passages nearest to it by vector that does not hold its answer's text."""
        if not asked:
            return
        passages = [one for paragraph in squad.paragraphs for one in self.passages(paragraph.context)]
        self.on_event(f"retrieving for {len(asked):,} questions among {len(passages):,} passages")
        lowered = [one.text.lower() for one in passages]
        questions, texts = [one.example.question for one in asked], [one.tokens.ids for one in passages]
        for one, rows in zip(asked, nearest_passages(self.encoder, questions, texts, _NEIGHBOURS), strict=True):
            fit = [row for row in rows if not one.answered_by(lowered[row])]
            rank = int(chance.expovariate(_HARDNESS))
            if fit:
                yield Example(one.example.question, passages[fit[min(rank, len(fit) - 1)]].tokens.ids)

    def _claims(self, asked: list[_Asked], chance: _Chance) -> Iterator[Example]:
        """The question with an answer behind it, its own or another of its paragraph: does that follow?"""
        for one in asked:
            others = [gold.text for other in one.paragraph.questions for gold in other.answers]
            wrong = sorted({text for text in others if not _overlap(text, one.question.answers)})
            if not wrong:
                continue
            right = chance.random() < 0.5
            claimed = one.question.answers[0].text if right else chance.choice(wrong)
            ids = self._question(f"{one.question.question.rstrip('? ')}: {claimed}?")
            if ids is not None:
                yield Example(ids, one.example.passage, verdict=YES if right else NO)

    def _cut(self, context: str) -> tuple[_Passage, ...]:
        tokenizer, borders = self.encoder.tokenizer, self.encoder.borders
        texts = [(span.start, context[span.start : span.end]) for span in borders.split(context, tokenizer)]
        return tuple(_Passage(first, text, tokenizer.tokenize(text)) for first, text in texts)

    def _question(self, text: str) -> tuple[int, ...] | None:
        try:
            return self.encoder.tokenizer.tokenize(text, "question").ids
        except TextTooLong:
            return None


def _overlap(text: str, answers: Sequence[GoldAnswer]) -> bool:
    """Whether one holds the other, for any of the answers."""
    return any(text.lower() in gold.text.lower() or gold.text.lower() in text.lower() for gold in answers)


def _with_answer(asked: tuple[int, ...], passage: _Passage, answers: Sequence[GoldAnswer]) -> Iterator[Example]:
    for gold in answers:
        start, end = gold.start - passage.first, gold.start - passage.first + len(gold.text)
        if start < 0 or end > len(passage.text):
            continue
        # [CLS] and [SEP] lie at (0, 0), which is never beyond a start.
        rows = [row for row, (first, last) in enumerate(passage.tokens.offsets) if last > start and first < end]
        if rows:
            yield Example(asked, passage.tokens.ids, rows[0], rows[-1])
