"""Answer a question from a store: the whole path from question to answers, in one function."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from deformer_qa.pipeline import N_ANSWERS, N_CANDIDATES
from deformer_qa.pipeline.answers import ReadSpan, answered, read_spans
from deformer_qa.pipeline.outcomes import OutcomeRule
from deformer_qa.pipeline.places import Places
from deformer_qa.pipeline.questions import Kind, Wanted, checked_question, wanted_by
from deformer_qa.pipeline.rank import ConfidenceWeights, RankingWeights, ReadPassage
from deformer_qa.pipeline.results import Answer, Answers, Found, Place, Scope
from deformer_qa.pipeline.retrieve import DEPTH, Candidate, Method, RetrievalWeights, Retrieved, candidates, retrieve
from deformer_qa.pipeline.risk import risk_limit
from deformer_qa.pipeline.yes_no import least_confidence, yes_or_no
from deformer_qa.reader.reading import PassageLogits, SplitReader, States
from deformer_qa.reader.spans import MAX_ANSWER_TOKENS
from deformer_qa.store import Snapshot, open_snapshot

if TYPE_CHECKING:
    from deformer_qa.pipeline.filters import Filter

_NEAREST_NAMED = 3
_SPANS_PER_PASSAGE = 3


class Pipeline:
    """Ask a reader over one generation of a store. Safe to use from several threads; writes nothing."""

    def __init__(self, snapshot: Snapshot, reader: SplitReader) -> None:
        self.snapshot, self.reader = snapshot, reader
        self.weights = RankingWeights.from_mapping(reader.about.ranking if reader.about else {})
        of_passages = reader.about.ranking_passages if reader.about else {}
        self.passage_weights = RankingWeights.from_mapping(of_passages) if of_passages else None
        self.confidence_weights = ConfidenceWeights.from_mapping(reader.about.confidence if reader.about else {})
        self.outcome_rule = OutcomeRule.from_mapping(reader.about.outcomes if reader.about else {})
        self.least_label_confidence = least_confidence(reader.about.yes_no if reader.about else {})
        self.retrieval_weights = RetrievalWeights.from_mapping(reader.about.retrieval if reader.about else {})

    @classmethod
    def open(cls, store: Path, reader: SplitReader) -> Pipeline:
        """:raises StoreError: if there is no usable store, or it is of another encoder."""
        return cls(open_snapshot(store, encoder_id=reader.encoder.encoder_id), reader)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.snapshot.close()

    def ask(
        self,
        question: str,
        *,
        n_answers: int = N_ANSWERS,
        n_candidates: int = N_CANDIDATES,
        max_tokens: int = MAX_ANSWER_TOKENS,
        max_risk: float | None = None,
        where: Filter | str | None = None,
    ) -> Answers:
        """Return answers from the store, best first, and the outcome: an answer, a guess, or nothing.

        A yes/no question gets its label with the sentence that supports it, or the sentence alone if the label is not
        sure. "How to", "why", "what is" and list questions get the sentence, step or list around each span.

        The question is encoded once. The states of passages come from the store; no passage is encoded.

        :param n_candidates: how many passages to read.
        :param max_tokens: length of the longest answer.
        :param max_risk: the share of given answers that may be wrong; ``Answers.abstains`` is true if the best answer
            is not sure enough for it.
        :param where: a filter such as ``year >= 2020 and lang == "en"``; only documents that match are searched.
        :raises BadQuestion: if the question is blank or too long.
        :raises BadFilter: if the filter is malformed; the message points at the place.
        :raises RiskNotKnown: if the reader has no confidence threshold for this risk, or none for this number of
            candidates and tokens.
        :raises TextTooLong: if the question does not fit the encoder.
        :raises StoreDamaged: if a row that the answer needs fails its checksum.
        """
        clock = _Clock()
        question = checked_question(question)
        risk = None
        if max_risk is not None:
            fitted = self.reader.about.risk if self.reader.about else {}
            risk = risk_limit(fitted, max_risk, n_candidates=n_candidates, max_tokens=max_tokens)
        wanted = _filter(where)
        asked = self.reader.encoder.encode_question(question)
        clock.mark("encode")
        scope, among = self._scope(wanted)
        depth = max(n_candidates, DEPTH)
        retrieved = retrieve(self.snapshot, question, asked.vector, depth, among, self.retrieval_weights)
        chosen = candidates(retrieved, retrieved.fused[:n_candidates])
        clock.mark("retrieve")
        states = self.snapshot.states([candidate.key for candidate in chosen])
        clock.mark("load")
        places = self._places(retrieved, chosen)
        logits = self.reader.read(asked.states, states)
        clock.mark("read")
        kind = wanted_by(question)
        answers, no_answer = self._label(kind.kind, asked.states, chosen, states, logits, places)
        if not answers:
            spans = _spans(question, chosen, logits, places, max_tokens)
            is_yes_no = kind.kind == "yes_no"
            found, no_answer = answered(
                question,
                kind,
                spans,
                self.weights,
                places,
                None if is_yes_no else n_answers,
                sure=self.confidence_weights,
                whole=part_around(kind, places),
            )
            made = _sentences(found, places) if is_yes_no else _of_entries(found, kind.kind, question, places)
            answers = made[:n_answers]
        outcome = self.outcome_rule.outcome(
            answers[0].confidence if answers else None, max((one.dense for one in chosen), default=None)
        )
        clock.mark("rank")
        return Answers(
            question=question,
            answers=tuple(answers),
            no_answer_confidence=no_answer,
            generation=self.snapshot.generation,
            encoder=self.reader.encoder.encoder_id,
            timings_ms=clock.milliseconds(),
            outcome=outcome,
            asked=kind.kind,
            risk=risk,
            scope=scope,
            nearest=tuple(places.passage(one.passage_id) for one in chosen[:_NEAREST_NAMED] if outcome == "nothing"),
        )

    def spans(
        self,
        question: str,
        asked: States,
        chosen: Sequence[Candidate],
        states: Sequence[States],
        places: Places,
        max_tokens: int = MAX_ANSWER_TOKENS,
    ) -> list[ReadSpan]:
        """Find the best spans of each candidate with the joint layers.

        :param asked: *Shape:* (question tokens, hidden); the question's layer-k states.
        :param chosen: the candidates, in the order of the retrieval.
        :param states: states of the candidates, each *Shape:* (tokens, hidden).
        """
        return _spans(question, chosen, self.reader.read(asked, states), places, max_tokens)

    def search(
        self, query: str, *, n: int = 10, method: Method = "fused", where: Filter | str | None = None
    ) -> list[Found]:
        """Retrieve passages for a query, best first, and read none. Method "bm25" encodes nothing.

        :param where: as in ``ask``.
        :raises BadQuestion, BadFilter, TextTooLong, StoreDamaged: as ``ask``.
        """
        query = checked_question(query)
        wanted = _filter(where)
        vector = None if method == "bm25" else self.reader.encoder.encode_question(query, "query").vector
        _, among = self._scope(wanted)
        retrieved = retrieve(self.snapshot, query, vector, max(n, DEPTH), among, self.retrieval_weights)
        chosen = candidates(retrieved, retrieved.by(method)[:n])
        places = self._places(retrieved, chosen)
        by_vector = vector is not None
        return [
            Found(
                rank=rank,
                place=places.passage(one.passage_id),
                dense=one.dense if by_vector else None,
                bm25=one.bm25,
                fused=one.fused if by_vector else None,
                method=method,
            )
            for rank, one in enumerate(chosen, start=1)
        ]

    def _label(
        self,
        kind: Kind,
        question: States,
        chosen: Sequence[Candidate],
        states: Sequence[States],
        logits: Sequence[PassageLogits],
        places: Places,
    ) -> tuple[list[Answer], float]:
        """Return a yes or no that is sure enough, and the probability of no answer; none for other questions."""
        if kind != "yes_no" or not self.reader.knows_yes_and_no or not self.passage_weights:
            return [], 1.0
        least = self.least_label_confidence
        return yes_or_no(self.reader, self.passage_weights, question, chosen, states, logits, places, least)

    def _places(self, retrieved: Retrieved, chosen: Sequence[Candidate]) -> Places:
        expected = [retrieved.records[one.passage_id] for one in chosen]
        return Places(self.snapshot, self.reader.encoder.tokenizer, expected)

    def _scope(self, wanted: Filter | None) -> tuple[Scope | None, list[int] | None]:
        """Apply a filter: return its scope and the ids of the passages it leaves, None for all."""
        if wanted is None:
            return None, None
        n_documents, among = wanted.passages(self.snapshot)
        return Scope(wanted.text, n_documents), among


def _filter(where: Filter | str | None) -> Filter | None:
    """The filter, parsed if it is a text."""
    if not isinstance(where, str):
        return where
    from deformer_qa.pipeline.filter_language import parsed_filter

    return parsed_filter(where)


def part_around(wanted: Wanted, places: Places) -> Callable[[Place], Place] | None:
    """Return a function from a span to the sentence, step or list around it, if the question wants one; else None."""
    if not wanted.is_long and wanted.kind != "yes_no":
        return None
    return lambda place: places.long(place, wanted.kind)


def first_answer(
    pipeline: Pipeline, question: str, spans: Sequence[ReadSpan], places: Places
) -> tuple[Answer | None, float]:
    """Return the best answer that asking would give from these spans, and the probability that none is right."""
    wanted = wanted_by(question)
    whole = part_around(wanted, places)
    sure = pipeline.confidence_weights
    found, none = answered(question, wanted, spans, pipeline.weights, places, 1, sure=sure, whole=whole)
    return (found[0] if found else None), none


def _spans(
    question: str, chosen: Sequence[Candidate], logits: Sequence[PassageLogits], places: Places, max_tokens: int
) -> list[ReadSpan]:
    passages = [
        ReadPassage(candidate, made.spans, place)
        for place, (candidate, made) in enumerate(zip(chosen, logits, strict=True), start=1)
    ]
    return read_spans(question, passages, places, _SPANS_PER_PASSAGE, max_tokens)


def _sentences(answers: Sequence[Answer], places: Places) -> list[Answer]:
    """Replace spans by their sentences, which answer a yes/no question; keep the spans if none is in a sentence."""
    kept = [
        replace(one, place=one.long, context=one.long.text, context_start=one.long.start)
        for one in answers
        if one.long is not None and places.is_sentence(one.long)
    ]
    return kept or [replace(one, long=None) for one in answers]


def _of_entries(answers: Sequence[Answer], kind: Kind, question: str, places: Places) -> list[Answer]:
    """Replace answers in entries (of an option, command or term) by the part of the entry that answers."""
    made = []
    for one in answers:
        part = places.answering(one.place, kind, question) if one.long is not None else None
        if part is not None:
            place, long = part
            one = replace(one, place=place, long=long, context=long.text, context_start=long.start)
        made.append(one)
    return made


class _Clock:
    """Measure milliseconds between marks."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self._phases: dict[str, float] = {}

    def mark(self, phase: str) -> None:
        now = time.perf_counter()
        self._phases[phase] = (now - self._last) * 1000
        self._last = now

    def milliseconds(self) -> dict[str, float]:
        phases = {**self._phases, "total": (self._last - self._began) * 1000}
        return {phase: round(value, 3) for phase, value in phases.items()}
