"""What asking and searching give back: frozen values, and their JSON (schema 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 1


@dataclass(frozen=True)
class Place:
    """Where a span stands.

    :ivar start, end: code points of the document's text: ``document_text[start:end] == text``
    :ivar heading: the last heading before it, "" where there is none
    """

    passage: int
    document: int
    root: str
    path: str
    title: str
    heading: str
    page: int | None
    meta: Mapping[str, Any]
    start: int
    end: int
    text: str

    def document_json(self) -> dict[str, Any]:
        """The ``document`` object of the JSON."""
        return {
            "id": self.document,
            "path": self.path,
            "root": self.root,
            "title": self.title,
            "heading": self.heading or None,
            "page": self.page,
            "meta": dict(self.meta),
        }


@dataclass(frozen=True)
class Answer:
    """An exact span with its place.

    :ivar score: log-odds of its best span against "no answer in these documents"
    :ivar confidence: probability, between 0 and 1, that this is the answer; what answers are ranked by
    :ivar context: the sentence around, ``document_text[context_start:context_start + len(context)]``
    :ivar evidence: other places that say the same, best first
    """

    place: Place
    score: float
    confidence: float
    context: str
    context_start: int
    evidence: tuple[Place, ...] = ()

    def json(self) -> dict[str, Any]:
        """The answer as the command line and the REST interface print it."""
        return {
            "kind": "span",
            "label": None,
            "text": self.place.text,
            "score": self.score,
            "confidence": self.confidence,
            "passage": self.place.passage,
            "document": self.place.document_json(),
            "start": self.place.start,
            "end": self.place.end,
            "context": self.context,
            "context_start": self.context_start,
            "evidence": [
                {
                    "text": one.text,
                    "passage": one.passage,
                    "document": one.document_json(),
                    "start": one.start,
                    "end": one.end,
                }
                for one in self.evidence
            ],
        }


@dataclass(frozen=True)
class Answers:
    """What ``ask`` returns: answers, best first, and how sure it is that there is none.

    :ivar generation: of the store that answered
    :ivar timings_ms: milliseconds of each phase: encode, retrieve, load, read, total
    """

    question: str
    answers: tuple[Answer, ...]
    no_answer_confidence: float
    generation: int
    encoder: str
    timings_ms: Mapping[str, float]

    @property
    def no_answer_is_best(self) -> bool:
        """Whether "these documents do not say" is likelier than the best answer."""
        return not self.answers or self.no_answer_confidence > self.answers[0].confidence

    def json(self) -> dict[str, Any]:
        """Schema 1."""
        return {
            "schema": SCHEMA,
            "question": self.question,
            "answers": [answer.json() for answer in self.answers],
            "no_answer": {"confidence": self.no_answer_confidence, "is_best": self.no_answer_is_best},
            "generation": self.generation,
            "encoder": self.encoder,
            "timings_ms": dict(self.timings_ms),
        }


@dataclass(frozen=True)
class Found:
    """A retrieved passage; a score is None where that retrieval did not find it."""

    rank: int
    place: Place
    dense: float
    bm25: float | None
    fused: float

    def json(self) -> dict[str, Any]:
        """One of ``passages`` in the JSON of ``qa search``."""
        return {
            "passage": self.place.passage,
            "rank": self.rank,
            "scores": {"dense": self.dense, "bm25": self.bm25, "fused": self.fused},
            "document": self.place.document_json(),
            "start": self.place.start,
            "end": self.place.end,
            "text": self.place.text,
        }
