"""Measure a reader on given passages: SQuAD, BoolQ and RACE, by their authors' measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deformer_qa.lab.data.boolq import BoolqQuestion
from deformer_qa.lab.data.race import RaceArticle
from deformer_qa.lab.data.squad import SquadSet, exact_match, f1
from deformer_qa.reader.borders.enumerations import asks_for_several
from deformer_qa.reader.borders.span_borders import SpanBorders
from deformer_qa.reader.errors import BadTrainingData, TextTooLong
from deformer_qa.reader.passages import PassageBorders, with_lead
from deformer_qa.reader.reading import PassageLogits, SplitReader
from deformer_qa.reader.spans import best_spans, signs
from deformer_qa.reader.tokens import TextTokenizer

_PARAGRAPHS_KEPT = 32


class PassageReader(Protocol):
    """Compute logits for a question on passages; each passage may start with a lead."""

    tokenizer: TextTokenizer
    borders: PassageBorders

    def lead(self, title: str) -> str:
        """Return the lead of the passages of an article with this title; '' for none."""
        ...

    def read_texts(self, question: str, passages: list[str]) -> list[NDArray[np.float32]]:
        """Return start and end logits (tokens, 2) of each passage; row 0 is "no answer here"."""
        ...


class SplitPassageReader:
    """Read texts with a split reader; each passage is encoded once and kept for its questions.

    :param through: passes states through the store's encoding (for example int8 and back), so that figures hold for
        asking a store.
    :param titles: whether passages are read with the title of their article, as a store's are; None means as in the
        reader's training, so that readers of any recipe are measured on inputs they know.
    """

    def __init__(
        self,
        reader: SplitReader,
        through: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
        *,
        titles: bool | None = None,
    ) -> None:
        self.reader = reader
        self.titles = titles if titles is not None else reader.about is not None and reader.about.reads_titles
        self.tokenizer, self.borders = reader.encoder.tokenizer, reader.encoder.borders
        self._through = through
        self._states = lru_cache(maxsize=_PARAGRAPHS_KEPT)(self._encode)

    def lead(self, title: str) -> str:
        """Return the lead of the passages of an article with this title; '' if titles are left out."""
        return self.reader.encoder.lead(title, "") if self.titles else ""

    def _encode(self, text: str) -> NDArray[np.float32]:
        states = self.reader.encoder.states(text, "passage")
        return self._through(states) if self._through else states

    def read(self, question: str, passages: list[str]) -> list[PassageLogits]:
        """Encode the question once, take the passages' states from memory or encode them, and read."""
        asked = self.reader.encoder.states(question, "question")
        return self.reader.read(asked, [self._states(text) for text in passages])

    def choose(self, asked: Sequence[str], passages: Sequence[str]) -> NDArray[np.float32]:
        """Compute a logit for each option, *Shape:* (options,); the passages of an article are read as one text."""
        options = [self.reader.encoder.states(one, "option") for one in asked]
        return self.reader.choose(options, [self._states(text) for text in passages])

    def read_texts(self, question: str, passages: list[str]) -> list[NDArray[np.float32]]:
        """Return the span logits of ``read`` alone."""
        return [made.spans for made in self.read(question, passages)]


@dataclass(frozen=True)
class Prediction:
    """The answer given to one question.

    :ivar margin: its score minus that of "no answer here"
    :ivar signs: inputs for fitting a confidence, see ``spans.signs``; empty if there is no span at all
    :ivar article: title of the question's article
    """

    id: str
    text: str
    margin: float
    golds: tuple[str, ...]
    signs: tuple[float, ...] = ()
    article: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the text equals a gold answer; false if there is no gold answer."""
        return bool(self.golds) and exact_match(self.text, self.golds) > 0


def predictions(reader: PassageReader, squad: SquadSet, *, limit: int = 0) -> Iterator[Prediction]:
    """Answer each question from its own paragraph: the best span over the paragraph's passages.

    Each passage is read with the title of its article, if the reader reads titles.

    :param limit: answer only the file's first ``limit`` questions; 0 is all.
    """
    tokenize = lru_cache(maxsize=_PARAGRAPHS_KEPT)(reader.tokenizer.tokenize)
    borders_of = lru_cache(maxsize=_PARAGRAPHS_KEPT)(
        lambda whole, text_start: SpanBorders.of(whole[text_start:], tokenize(whole).offsets, text_start)
    )
    split = lru_cache(maxsize=_PARAGRAPHS_KEPT)(lambda context: reader.borders.split(context, reader.tokenizer))
    for index, (paragraph, question) in enumerate(squad.questions()):
        if limit and index == limit:
            return
        lead = reader.lead(paragraph.title)
        wholes = [with_lead(lead, paragraph.context[span.start : span.end]) for span in split(paragraph.context)]
        best_text, best_margin = "", -np.inf
        best_signs: tuple[float, ...] = ()
        try:
            made = reader.read_texts(question.question, wholes)
        except TextTooLong as error:
            raise BadTrainingData(f"question {question.id}: {error}") from error
        several = asks_for_several(question.question)
        for whole, logits in zip(wholes, made, strict=True):
            tokens = tokenize(whole)
            for span in best_spans(logits, borders=borders_of(whole, len(with_lead(lead, ""))), several=several):
                if span.margin > best_margin:
                    first, end = tokens.characters(span.first, span.last)
                    best_text, best_margin, best_signs = whole[first:end], span.margin, signs(logits, span)
        golds = tuple(gold.text for gold in question.answers)
        yield Prediction(question.id, best_text, float(best_margin), golds, best_signs, paragraph.article)


@dataclass(frozen=True)
class SquadFigures:
    """Percentages over ``n`` questions; for a file with unanswerable questions also over each kind."""

    exact_match: float
    f1: float
    n: int
    answerable: SquadFigures | None = None
    unanswerable: SquadFigures | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, without those that are None."""
        return asdict(self, dict_factory=lambda items: {key: value for key, value in items if value is not None})


def figures(made: Sequence[Prediction], *, forced: bool, threshold: float = 0.0) -> SquadFigures:
    """Compute EM and F1.

    :param forced: every question gets an answer (v1.1); otherwise one with a margin below ``threshold`` gets none.
    """
    if forced:
        return _mean([(one.text, one) for one in made])
    answered = [(one.text if one.margin >= threshold else "", one) for one in made]
    both = _mean(answered)
    kinds = [_mean([pair for pair in answered if bool(pair[1].golds) == has_answer]) for has_answer in (True, False)]
    return SquadFigures(both.exact_match, both.f1, both.n, *kinds)


def _mean(answered: Sequence[tuple[str, Prediction]]) -> SquadFigures:
    n = max(len(answered), 1)
    return SquadFigures(
        exact_match=100 * sum(exact_match(text, one.golds) for text, one in answered) / n,
        f1=100 * sum(f1(text, one.golds) for text, one in answered) / n,
        n=len(answered),
    )


def verdicts(reader: SplitPassageReader, questions: Sequence[BoolqQuestion]) -> Iterator[float]:
    """Compute for each question its passage's logit of "yes" minus "no"; the mean if the passage is divided."""
    for number, one in enumerate(questions, 1):
        spans = reader.borders.split(one.passage, reader.tokenizer)
        if not spans:
            raise BadTrainingData(f"question {number}: its passage has no words.")
        lead = reader.lead(one.title)
        try:
            made = reader.read(one.question, [with_lead(lead, one.passage[span.start : span.end]) for span in spans])
        except TextTooLong as error:
            raise BadTrainingData(f"question {number}: {error}") from error
        yield float(np.mean([logits.yes_no[1] - logits.yes_no[0] for logits in made]))


def choices(reader: SplitPassageReader, articles: Sequence[RaceArticle]) -> Iterator[int]:
    """Choose the option with the highest logit for each question of each article, in order, counted from 0."""
    for number, article in enumerate(articles, 1):
        spans = reader.borders.split(article.text, reader.tokenizer)
        if not spans:
            raise BadTrainingData(f"article {article.id or number}: it has no words.")
        passages = [article.text[span.start : span.end] for span in spans]
        for place, question in enumerate(article.questions, 1):
            try:
                logits = reader.choose(question.asked(), passages)
            except TextTooLong as error:
                raise BadTrainingData(f"article {article.id or number}: question {place}: {error}") from error
            yield int(np.argmax(logits))
