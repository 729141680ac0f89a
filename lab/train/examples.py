"""Turn questions into training tensors: question tokens, passage tokens, and the right answer."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from deformer_qa.lab.data.boolq import BoolqQuestion, read_boolq
from deformer_qa.lab.data.squad import GoldAnswer, SquadParagraph, SquadQuestion, SquadSet, read_squad
from deformer_qa.lab.train.batches import padded
from deformer_qa.lab.train.neighbours import nearest_passages
from deformer_qa.lab.train.recipe import Recipe, Source
from deformer_qa.lab.train.tables import CellQuestion, Table, lookups, made_table, read_tables
from deformer_qa.pipeline.query_words import content_words
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData, TextTooLong
from deformer_qa.reader.passages import with_lead
from deformer_qa.reader.tokens import TokenizedText

_NEIGHBOURS = 20
_HARDNESS = 0.3
"""Rate at which passages without the answer are drawn by retrieval rank; the mean rank is about 3."""

_WITHOUT_OWN = 0.25
"""How often a question read on several passages loses its own passage."""

NO_VERDICT, NO, YES = -1, 0, 1

_Item = TypeVar("_Item")


class Example(NamedTuple):
    """One question on one passage, or on several passages that compete.

    :ivar passages: token ids, leads included; ``start`` and ``end`` refer to the first passage
    :ivar start, end: token rows of the first passage; both 0 if no passage has the answer
    :ivar verdict: YES or NO for a yes/no question, which has no span and one passage; else NO_VERDICT
    """

    question: tuple[int, ...]
    passages: tuple[tuple[int, ...], ...]
    start: int = 0
    end: int = 0
    verdict: int = NO_VERDICT

    @property
    def n_tokens(self) -> int:
        """Tokens of the question plus its longest passage, which count in a padded batch."""
        return len(self.question) + max(map(len, self.passages))


@dataclass(frozen=True)
class ExampleSet:
    """The examples of a recipe's sources, shuffled.

    :ivar held_back: articles from which no source took a question, as the first source spells them
    :ivar n_left_out: questions that could not be used: too long, or with an answer across a border of passages
    """

    items: list[Example]
    held_back: tuple[str, ...]
    n_left_out: int


def make_examples(
    recipe: Recipe, folder: Path, encoder: Encoder, on_event: Callable[[str], None] = lambda line: None
) -> ExampleSet:
    """Make examples over the same passages that the indexer would cut, so that training and asking read alike.

    :param folder: the folder of the files that the recipe's sources name; all are read before anything is computed.
    :param on_event: called with a line about each phase.
    :raises BadTrainingData: if a file is missing or of another kind, or no question can be used.
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
        items += maker.of_source(source, _trained_on(source, content, names), _Chance(f"{recipe.seed}/{source.file}"))
    random.Random(recipe.seed).shuffle(items)
    items = items[: recipe.examples] if recipe.examples else items
    if not items:
        raise BadTrainingData(f"recipe {recipe.name}: no question of its sources could be used.")
    return ExampleSet(items, tuple(sorted(names)), maker.n_left_out)


_Content = SquadSet | list[BoolqQuestion] | list[Table]


def is_held_back(key: str, share: float) -> bool:
    """Whether a source holds back this article, passage or table, by a hash of its name or text."""
    digest = hashlib.blake2b(article_key(key).encode(), digest_size=4).digest()
    return int.from_bytes(digest) < share * 2**32


def _trained_on(source: Source, content: _Content, articles: set[str]) -> _Content:
    """Remove from a source the held-back articles, and the share of it that is held back."""
    if isinstance(content, SquadSet):
        kept = without(content, articles)[0]
        inside = tuple(one for one in kept.paragraphs if not is_held_back(one.article, source.held_back))
        return SquadSet(inside, kept.has_impossible)
    keys = {article_key(name) for name in articles}
    questions = [one for one in content if isinstance(one, BoolqQuestion) and article_key(one.article) not in keys]
    tables = [one for one in content if isinstance(one, Table)]
    return [one for one in questions if not is_held_back(one.article or one.passage[:200], source.held_back)] or [
        one for one in tables if not is_held_back(one.name, source.held_back)
    ]


def held_back(squad: SquadSet, n_articles: int) -> tuple[SquadSet, SquadSet]:
    """Split off the last ``n_articles`` articles, in the file's order; return the others and those."""
    names = list(dict.fromkeys(paragraph.article for paragraph in squad.paragraphs))
    if n_articles >= len(names):
        raise BadTrainingData(f"held_back_articles is {n_articles}, and the data have {len(names)} articles.")
    return without(squad, set(names[len(names) - n_articles :]))


def without(squad: SquadSet, articles: set[str]) -> tuple[SquadSet, SquadSet]:
    """Split off the named articles, in whatever spelling the file has; return the others and those."""
    keys = {article_key(name) for name in articles}
    inside = [article_key(paragraph.article) in keys for paragraph in squad.paragraphs]
    kept, others = (
        tuple(paragraph for paragraph, is_in in zip(squad.paragraphs, inside, strict=True) if is_in == wanted)
        for wanted in (False, True)
    )
    return SquadSet(kept, squad.has_impossible), SquadSet(others, squad.has_impossible)


def article_key(title: str) -> str:
    """Normalise an article's title: files differ in case, and in underscores for blanks."""
    return " ".join(title.replace("_", " ").casefold().split())


def collate(items: Sequence[Example]) -> dict[str, Tensor]:
    """Make a padded batch: ids and masks (passages, tokens), and ``of_example`` (passages,), each passage's example.

    The question is repeated for each of its passages. ``start``, ``end`` and ``verdict`` are (examples,).
    """
    question, question_mask = padded([item.question for item in items for _ in item.passages], step=8)
    passage, passage_mask = padded([passage for item in items for passage in item.passages], step=16)
    return {
        "of_example": torch.tensor([number for number, item in enumerate(items) for _ in item.passages]),
        "question": question,
        "question_mask": question_mask,
        "passage": passage,
        "passage_mask": passage_mask,
        "start": torch.tensor([item.start for item in items]),
        "end": torch.tensor([item.end for item in items]),
        "verdict": torch.tensor([item.verdict for item in items]),
    }


def _read(path: Path, source: Source) -> _Content:
    if source.is_of_tables:
        return read_tables(path)
    return read_boolq(path) if source.yes_no else read_squad(path)


class _Chance(random.Random):
    """Random draws of one source; each kind of example has its own stream, so that none depends on other draws."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._seed = seed

    def of(self, kind: str) -> _Chance:
        return _Chance(f"{self._seed}/{kind}")

    def sampled(self, items: list[_Item], passes: float) -> list[_Item]:
        """Return every item ``int(passes)`` times, and a random share of them once more."""
        whole, rest = divmod(passes, 1)
        return items * int(whole) + self.sample(items, round(rest * len(items)))


@dataclass(frozen=True)
class _Passage:
    """A passage as the encoder reads it.

    :ivar first: where its text begins in the context
    :ivar start: where its text begins in the encoder's input, after the lead
    """

    first: int
    start: int
    text: str
    tokens: TokenizedText

    def rows(self, start: int, end: int) -> list[int]:
        """Return the token rows of characters ``start`` to ``end`` of the context; none unless all are inside."""
        start, end = start - self.first, end - self.first
        if start < 0 or end > len(self.text):
            return []
        # [CLS] and [SEP] have the offsets (0, 0), which never lie after a start.
        offsets = ((first - self.start, last - self.start) for first, last in self.tokens.offsets)
        return [row for row, (first, last) in enumerate(offsets) if last > start and first < end and first >= 0]


class _Asked(NamedTuple):
    """A question with its example, from which other examples are made."""

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

    def of_source(self, source: Source, content: _Content, chance: _Chance) -> Iterator[Example]:
        """Make all examples of one source."""
        if isinstance(content, SquadSet):
            yield from self.spans(content, source, chance)
        elif source.is_of_tables:
            yield from self.tables([one for one in content if isinstance(one, Table)], source, chance)
        else:
            questions = [one for one in content if isinstance(one, BoolqQuestion)]
            yield from chance.of("yes_no").sampled(list(self.yes_no(questions, source)), source.yes_no)

    def spans(self, squad: SquadSet, source: Source, chance: _Chance) -> Iterator[Example]:
        asked: list[_Asked] = []
        unanswerable: list[Example] = []
        place = chance.of("place")
        for paragraph, question in squad.questions():
            wanted = source.answerable or source.elsewhere or source.claims or source.compared or source.keywords
            if not (wanted if question.answers else source.unanswerable):
                continue
            here, ids = self._of_paragraph(paragraph, source), self._question(question.question)
            if ids is None or not here:
                self.n_left_out += 1
            elif not question.answers:
                unanswerable.append(Example(ids, (place.choice(here).tokens.ids,)))
            elif found := next((one for passage in here for one in _with_answer(ids, passage, question.answers)), None):
                asked.append(_Asked(paragraph, question, found))
            else:
                self.n_left_out += 1
        yield from chance.of("answerable").sampled([one.example for one in asked], source.answerable)
        yield from chance.of("unanswerable").sampled(unanswerable, source.unanswerable)
        for one in chance.of("keywords").sampled(asked, source.keywords):
            ids = self._question(content_words(one.question.question))
            if ids is not None:
                yield one.example._replace(question=ids)
        draw, drawn = chance.of("elsewhere"), chance.of("compared")
        elsewhere, compared = draw.sampled(asked, source.elsewhere), drawn.sampled(asked, source.compared)
        rivals = self._rivals([*elsewhere, *compared], squad, source)
        for one, others in zip(elsewhere, rivals, strict=False):
            yield from (Example(one.example.question, (other,)) for other in _drawn(others, 1, draw))
        for one, others in zip(compared, rivals[len(elsewhere) :], strict=True):
            yield _beside(one.example, _drawn(others, source.rivals, drawn), drawn)
        draw = chance.of("claims")
        yield from self._claims(draw.sampled(asked, source.claims), draw)

    def yes_no(self, questions: Sequence[BoolqQuestion], source: Source) -> Iterator[Example]:
        for one in questions:
            ids = self._question(one.question)
            here = self.passages(one.passage, _lead_of(one.article, one.passage, source.titles))
            if ids is None or len(here) != 1:  # in a divided passage it is unknown which part has the answer
                self.n_left_out += 1
            else:
                yield Example(ids, (here[0].tokens.ids,), verdict=YES if one.answer else NO)

    def tables(self, tables: Sequence[Table], source: Source, chance: _Chance) -> Iterator[Example]:
        """Make questions about cells, each on the passage that holds the cell, beside other passages of its table."""
        draw = chance.of("lookups")
        asked = [(one, one.questions) for one in tables]
        cells = [one for table, questions in asked for one in self._of_table(table, questions, source, chance)]
        yield from chance.of("cells").sampled(cells, source.cells)
        n_each, rest = divmod(source.lookups, 1)
        for table in tables:
            n = int(n_each) + (draw.random() < rest)
            yield from self._of_table(table, list(lookups(table, n, draw)) if n else [], source, draw)
        draw = chance.of("made")
        for number in range(round(source.made_tables * len(tables))):
            table = made_table(number, draw)
            yield from self._of_table(table, table.questions, source, draw)

    def _of_table(
        self, table: Table, questions: Sequence[CellQuestion], source: Source, chance: _Chance
    ) -> Iterator[Example]:
        if not questions:
            return
        written = table.written(chance)
        here = self._cut(written.text, table.title)
        for one in questions:
            ids, place = self._question(one.question), written.place(one)
            found = [(passage, passage.rows(*place)) for passage in here] if place else []
            holding = next(((passage, rows) for passage, rows in found if rows), None)
            if ids is None or holding is None:
                self.n_left_out += 1
                continue
            passage, rows = holding
            others = [other.tokens.ids for other in here if not place or not other.rows(*place)]
            example = Example(ids, (passage.tokens.ids,), rows[0], rows[-1])
            yield _beside(example, _drawn(others, source.rivals, chance), chance)

    def _rivals(self, asked: list[_Asked], squad: SquadSet, source: Source) -> list[list[tuple[int, ...]]]:
        """Find for each question the nearest passages by vector without the answer's text, nearest first."""
        if not asked:
            return []
        passages = list(dict.fromkeys(one for para in squad.paragraphs for one in self._of_paragraph(para, source)))
        self.on_event(f"retrieving for {len(asked):,} questions among {len(passages):,} passages")
        lowered = [one.text.lower() for one in passages]
        questions, texts = [one.example.question for one in asked], [one.tokens.ids for one in passages]
        nearest = nearest_passages(self.encoder, questions, texts, _NEIGHBOURS)
        return [
            [texts[row] for row in rows if not one.answered_by(lowered[row])]
            for one, rows in zip(asked, nearest, strict=True)
        ]

    def _claims(self, asked: list[_Asked], chance: _Chance) -> Iterator[Example]:
        """Append an answer to each question, its own or another of the paragraph, and ask whether it is right."""
        for one in asked:
            others = [gold.text for other in one.paragraph.questions for gold in other.answers]
            wrong = sorted({text for text in others if not _overlap(text, one.question.answers)})
            if not wrong:
                continue
            right = chance.random() < 0.5
            claimed = one.question.answers[0].text if right else chance.choice(wrong)
            ids = self._question(f"{one.question.question.rstrip('? ')}: {claimed}?")
            if ids is not None:
                yield Example(ids, one.example.passages, verdict=YES if right else NO)

    def _of_paragraph(self, paragraph: SquadParagraph, source: Source) -> tuple[_Passage, ...]:
        return self.passages(paragraph.context, _lead_of(paragraph.article, paragraph.context, source.titles))

    def _cut(self, context: str, title: str) -> tuple[_Passage, ...]:
        tokenizer, borders = self.encoder.tokenizer, self.encoder.borders
        lead = self.encoder.lead(title, "")
        texts = [(span.start, context[span.start : span.end]) for span in borders.split(context, tokenizer)]
        return tuple(
            _Passage(first, len(with_lead(lead, "")), text, tokenizer.tokenize(with_lead(lead, text)))
            for first, text in texts
        )

    def _question(self, text: str) -> tuple[int, ...] | None:
        try:
            return self.encoder.tokenizer.tokenize(text, "question").ids
        except TextTooLong:
            return None


def _lead_of(title: str, text: str, share: float) -> str:
    """Return the title for a share of the texts, chosen by a hash, so that all questions on a text read the same."""
    return title.replace("_", " ") if is_held_back(text, share) else ""


def _drawn(nearest: Sequence[tuple[int, ...]], n: int, chance: _Chance) -> list[tuple[int, ...]]:
    """Draw ``n`` passages, nearer ones with higher probability."""
    left = list(nearest)
    drawn: list[tuple[int, ...]] = []
    while left and len(drawn) < n:
        drawn.append(left.pop(min(int(chance.expovariate(_HARDNESS)), len(left) - 1)))
    return drawn


def _beside(example: Example, others: Sequence[tuple[int, ...]], chance: _Chance) -> Example:
    """Put a question's passage beside others; sometimes leave it out, so that no passage has the answer."""
    if others and chance.random() < _WITHOUT_OWN:
        return Example(example.question, tuple(others))
    return example._replace(passages=(*example.passages, *others))


def _overlap(text: str, answers: Sequence[GoldAnswer]) -> bool:
    """Whether the text contains any of the answers, or one contains it."""
    return any(text.lower() in gold.text.lower() or gold.text.lower() in text.lower() for gold in answers)


def _with_answer(asked: tuple[int, ...], passage: _Passage, answers: Sequence[GoldAnswer]) -> Iterator[Example]:
    for gold in answers:
        if rows := passage.rows(gold.start, gold.start + len(gold.text)):
            yield Example(asked, (passage.tokens.ids,), rows[0], rows[-1])
