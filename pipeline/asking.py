"""The whole path from a question to answers, in one function."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deformer_qa.pipeline.answering import ReadSpan, merged
from deformer_qa.pipeline.filter_parsing import parsed_filter
from deformer_qa.pipeline.filters import Filter
from deformer_qa.pipeline.places import Places
from deformer_qa.pipeline.questions import asks_yes_or_no, checked_question
from deformer_qa.pipeline.ranking import RankingWeights, confidences, features
from deformer_qa.pipeline.results import Answers, Found, Scope
from deformer_qa.pipeline.retrieval import DEPTH, Candidate, Method, candidates, retrieve
from deformer_qa.pipeline.risk import risk_limit
from deformer_qa.pipeline.yes_no import yes_or_no
from deformer_qa.reader.borders.enumerations import asks_for_several
from deformer_qa.reader.reading import PassageLogits, SplitReader
from deformer_qa.reader.spans import MAX_ANSWER_TOKENS, best_spans
from deformer_qa.store import Snapshot, open_snapshot

N_CANDIDATES = 20
_SPANS_PER_PASSAGE = 3


class Pipeline:
    """A reader over one generation of a store. Safe to use from several threads; writes nothing."""

    def __init__(self, snapshot: Snapshot, reader: SplitReader) -> None:
        self.snapshot, self.reader = snapshot, reader
        self.weights = RankingWeights.from_mapping(reader.about.ranking if reader.about else {})
        of_passages = reader.about.ranking_passages if reader.about else {}
        self.passage_weights = RankingWeights.from_mapping(of_passages) if of_passages else None

    @classmethod
    def open(cls, store: Path, reader: SplitReader) -> Pipeline:
        """:raises StoreError: where there is no usable store, or one of another encoder."""
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
        n_answers: int = 3,
        n_candidates: int = N_CANDIDATES,
        max_tokens: int = MAX_ANSWER_TOKENS,
        max_risk: float | None = None,
        where: Filter | str | None = None,
    ) -> Answers:
        """Answers from the store, best first; of a yes/no question its label, with the sentence that it rests on.

        The question passes the encoder once; passages' states come from the store, none is encoded.

        :param n_candidates: passages that are read.
        :param max_tokens: longest answer.
        :param max_risk: the share of answers given that may be wrong; ``Answers.abstains`` where the best is not sure
            enough for it.
        :param where: a filter, as ``year >= 2020 and lang == "en"``; only documents that it means are looked at.
        :raises BadQuestion: where it is blank or too long.
        :raises BadFilter: pointing at the place in it.
        :raises RiskNotKnown: where the reader knows no confidence that holds this risk, or none for such a
            number of candidates and tokens.
        :raises TextTooLong: where it does not fit the encoder.
        :raises StoreDamaged: where a row that would be answered from fails its checksum.
        """
        clock = _Clock()
        question = checked_question(question)
        risk = None
        if max_risk is not None:
            fitted = self.reader.about.risk if self.reader.about else {}
            risk = risk_limit(fitted, max_risk, n_candidates=n_candidates, max_tokens=max_tokens)
        wanted = parsed_filter(where) if isinstance(where, str) else where
        asked = self.reader.encoder.encode(question, "question")
        clock.mark("encode")
        scope, among = self._scope(wanted)
        retrieved = retrieve(self.snapshot, question, asked.vector, max(n_candidates, DEPTH), among)
        chosen = candidates(self.snapshot, asked.vector, retrieved, retrieved.fused[:n_candidates])
        clock.mark("retrieve")
        states = self.snapshot.states([candidate.key for candidate in chosen])
        clock.mark("load")
        places = Places(self.snapshot, self.reader.encoder.tokenizer)
        logits = self.reader.read(asked.states, states)
        if self.reader.joint.knows_yes_and_no and self.passage_weights and asks_yes_or_no(question):
            answers, no_answer = yes_or_no(
                self.reader, self.passage_weights, asked.states, chosen, states, logits, places
            )
        else:
            spans = _spans(chosen, logits, places, max_tokens, asks_for_several(question))
            probabilities, no_answer = confidences(self.weights.utilities([one.features for one in spans]))
            answers = merged(spans, probabilities, self.weights, places, n_answers)
        clock.mark("read")
        return Answers(
            question=question,
            answers=tuple(answers),
            no_answer_confidence=no_answer,
            generation=self.snapshot.generation,
            encoder=self.reader.encoder.encoder_id,
            timings_ms=clock.milliseconds(),
            risk=risk,
            scope=scope,
        )

    def spans(
        self,
        question: NDArray[np.float32],
        chosen: Sequence[Candidate],
        states: Sequence[NDArray[np.float32]],
        places: Places,
        max_tokens: int = MAX_ANSWER_TOKENS,
        *,
        several: bool = False,
    ) -> list[ReadSpan]:
        """The best spans of each candidate, by the joint layers.

        :param question: *Shape:* (question tokens, hidden); layer-k states.
        :param states: of the candidates, each *Shape:* (tokens, hidden).
        :param several: whether the question asks for several things, see ``asks_for_several``.
        """
        return _spans(chosen, self.reader.read(question, states), places, max_tokens, several)

    def search(
        self, query: str, *, n: int = 10, method: Method = "fused", where: Filter | str | None = None
    ) -> list[Found]:
        """Passages for a query, best first; retrieval alone.

        :param where: as in ``ask``.
        :raises BadQuestion, BadFilter, TextTooLong, StoreDamaged: as ``ask``.
        """
        query = checked_question(query)
        wanted = parsed_filter(where) if isinstance(where, str) else where
        asked = self.reader.encoder.encode(query, "query")
        _, among = self._scope(wanted)
        retrieved = retrieve(self.snapshot, query, asked.vector, max(n, DEPTH), among)
        chosen = candidates(self.snapshot, asked.vector, retrieved, retrieved.by(method)[:n])
        places = Places(self.snapshot, self.reader.encoder.tokenizer)
        return [
            Found(rank, places.passage(one.passage_id), one.dense, one.bm25, one.fused)
            for rank, one in enumerate(chosen, start=1)
        ]

    def _scope(self, wanted: Filter | None) -> tuple[Scope | None, list[int] | None]:
        """What a filter came to, and the ids of the passages that it leaves; None for all."""
        if wanted is None:
            return None, None
        n_documents, among = wanted.passages(self.snapshot)
        return Scope(wanted.text, n_documents), among


def _spans(
    chosen: Sequence[Candidate], logits: Sequence[PassageLogits], places: Places, max_tokens: int, several: bool
) -> list[ReadSpan]:
    return [
        ReadSpan(candidate, span, features(span, candidate))
        for candidate, made in zip(chosen, logits, strict=True)
        for span in best_spans(
            made.spans, _SPANS_PER_PASSAGE, max_tokens, places.borders(candidate.passage_id), several=several
        )
    ]


class _Clock:
    """Milliseconds between marks."""

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
