"""Hold the results of asking and searching: frozen values, and their JSON (schema 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deformer_qa.pipeline.questions import Kind
from deformer_qa.store.locations import KINDS, in_words

SCHEMA = 1
Outcome = Literal["answer", "guess", "nothing"]
"""The outcome of a question: an answer that is asserted, a best guess that is not sure, or nothing."""


@dataclass(frozen=True)
class Place:
    """Where a span stands: its document, heading, location and offsets.

    :ivar start, end: code points of the document's text: ``document_text[start:end] == text``
    :ivar heading: the last heading before the span, "" if there is none
    :ivar location: its page, slide, sheet, row, cell or line as far as known, see ``store.locations``
    """

    passage: int
    document: int
    root: str
    path: str
    title: str
    heading: str
    location: Mapping[str, int | str]
    meta: Mapping[str, Any]
    start: int
    end: int
    text: str

    @property
    def location_in_words(self) -> str:
        """The location in words, such as "sheet Budget, row 12"; '' if nothing is known."""
        return in_words(self.location)

    def document_json(self) -> dict[str, Any]:
        """The ``document`` object of the JSON."""
        return {
            "id": self.document,
            "path": self.path,
            "root": self.root,
            "title": self.title,
            "heading": self.heading or None,
            **{kind: self.location.get(kind) for kind in KINDS},
            "meta": dict(self.meta),
        }


@dataclass(frozen=True)
class Answer:
    """An exact span with its place; for a yes/no question the sentence that supports its label.

    If the label of a yes/no question is not sure enough, the answer is the sentence without it, also in ``long``.

    :ivar score: log-odds of the best span against "no answer in these documents"
    :ivar confidence: probability, between 0 and 1, that this is the answer; answers are ranked by it
    :ivar context: the sentence around the span, ``document_text[context_start:context_start + len(context)]``
    :ivar evidence: other places that say the same, best first
    :ivar label: "yes" or "no" if the question asks for one of them and it is sure enough, else None
    :ivar long: the sentence, step or list around the span in the same document, if the question wants one
    """

    place: Place
    score: float
    confidence: float
    context: str
    context_start: int
    evidence: tuple[Place, ...] = ()
    label: str | None = None
    long: Place | None = None

    @property
    def kind(self) -> str:
        """ "span", "passage" (there is a ``long``) or "yes_no" (there is a ``label``)."""
        if self.label is not None:
            return "yes_no"
        return "span" if self.long is None else "passage"

    def json(self) -> dict[str, Any]:
        """The JSON of one answer, as the command line prints it."""
        return {
            "kind": self.kind,
            "label": self.label,
            "text": self.place.text,
            "score": self.score,
            "confidence": self.confidence,
            "passage": self.place.passage,
            "document": self.place.document_json(),
            "start": self.place.start,
            "end": self.place.end,
            "context": self.context,
            "context_start": self.context_start,
            "long": _part_json(self.long) if self.long else None,
            "evidence": [
                {
                    **_part_json(one),
                    "passage": one.passage,
                    "document": one.document_json(),
                }
                for one in self.evidence
            ],
        }


def _part_json(place: Place) -> dict[str, Any]:
    return {"text": place.text, "start": place.start, "end": place.end}


@dataclass(frozen=True)
class RiskLimit:
    """The least confidence of an answer that is given, so that at most a share ``max_risk`` of these is wrong.

    :ivar delta: the probability that the share is higher nevertheless, over the draw of the questions for the fit
    """

    max_risk: float
    delta: float
    threshold: float

    def allows(self, answer: Answer) -> bool:
        """Whether an answer is sure enough."""
        return answer.confidence >= self.threshold

    def json(self) -> dict[str, Any]:
        """The object ``risk`` in the JSON of an answer."""
        return {"max_risk": self.max_risk, "delta": self.delta, "threshold": self.threshold}


@dataclass(frozen=True)
class Scope:
    """The caller's filter, and how many documents match it.

    :ivar filter: the filter as it was typed
    :ivar n_documents: number of documents that match
    """

    filter: str
    n_documents: int

    def json(self) -> dict[str, Any]:
        """The object ``where`` in the JSON of an answer."""
        return {"filter": self.filter, "documents": self.n_documents}


@dataclass(frozen=True)
class Answers:
    """The result of ``ask``: answers, best first, the outcome, and the probability that none is right.

    :ivar outcome: "answer" if the best one is sure, "guess" if it is not, "nothing" if nothing was found
    :ivar asked: the kind of answer that the question wants
    :ivar nearest: the first retrieved passages if nothing was found, else empty
    :ivar risk: the limit for the caller's ``max_risk``; None if none was given
    :ivar scope: the caller's filter and its matches; None if none was given
    :ivar generation: the store's generation that answered
    :ivar timings_ms: milliseconds of each phase: encode, retrieve, load, read, rank, total
    """

    question: str
    answers: tuple[Answer, ...]
    no_answer_confidence: float
    generation: int
    encoder: str
    timings_ms: Mapping[str, float]
    outcome: Outcome
    asked: Kind = "short"
    risk: RiskLimit | None = None
    scope: Scope | None = None
    nearest: tuple[Place, ...] = ()

    @property
    def nothing_matches(self) -> bool:
        """Whether no document matches the caller's filter."""
        return self.scope is not None and not self.scope.n_documents

    @property
    def sure(self) -> bool:
        """Whether the best answer is sure, not a guess."""
        return self.outcome == "answer"

    @property
    def abstains(self) -> bool:
        """Whether the best answer is not sure enough for the caller's risk; always for yes/no, which has no limit."""
        if self.risk is None:
            return False
        return self.outcome == "nothing" or self.asked == "yes_no" or not self.risk.allows(self.answers[0])

    @property
    def is_given(self) -> bool:
        """Whether the best answer is asserted: allowed by the risk limit, or sure if there is none."""
        return self.sure if self.risk is None else not self.abstains

    @property
    def no_answer_is_best(self) -> bool:
        """Whether the outcome is "nothing"."""
        return self.outcome == "nothing"

    def json(self) -> dict[str, Any]:
        """The JSON of ``qa ask``, schema 1."""
        return {
            "schema": SCHEMA,
            "question": self.question,
            "sure": self.sure,
            "answers": [answer.json() for answer in self.answers],
            "no_answer": {"confidence": self.no_answer_confidence, "is_best": self.no_answer_is_best},
            "risk": self.risk.json() | {"abstains": self.abstains} if self.risk else None,
            "where": self.scope.json() if self.scope else None,
            "generation": self.generation,
            "encoder": self.encoder,
            "timings_ms": dict(self.timings_ms),
        }


@dataclass(frozen=True)
class Found:
    """A retrieved passage.

    :ivar dense: None if the query was not encoded (a search by "bm25" encodes nothing); likewise ``fused``
    :ivar bm25: None if the passage holds none of the query's words
    :ivar method: names the score that it is ranked by
    """

    rank: int
    place: Place
    dense: float | None
    bm25: float | None
    fused: float | None
    method: str = "fused"

    @property
    def score(self) -> float | None:
        """The score that it is ranked by."""
        return {"dense": self.dense, "bm25": self.bm25, "fused": self.fused}[self.method]

    def json(self) -> dict[str, Any]:
        """An element of ``passages`` in the JSON of ``qa search``."""
        return {
            "passage": self.place.passage,
            "rank": self.rank,
            "scores": {"dense": self.dense, "bm25": self.bm25, "fused": self.fused},
            "document": self.place.document_json(),
            "start": self.place.start,
            "end": self.place.end,
            "text": self.place.text,
        }
