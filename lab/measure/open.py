"""Measure retrieval and reading over a store: recall@k and MRR, EM and F1 of the answers found there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.lab.data.squad import SquadParagraph, SquadQuestion, SquadSet, exact_match, f1
from deformer_qa.lab.measure.confidence import measured
from deformer_qa.pipeline import N_CANDIDATES
from deformer_qa.pipeline.answers import ReadSpan, as_if_alone
from deformer_qa.pipeline.ask import Pipeline, first_answer
from deformer_qa.pipeline.errors import NothingToMeasure
from deformer_qa.pipeline.places import Places
from deformer_qa.pipeline.results import Answer
from deformer_qa.pipeline.retrieve import Method, Retrieved, candidates, retrieve
from deformer_qa.pipeline.risk import known_thresholds
from deformer_qa.store import Snapshot

METHODS: tuple[Method, ...] = ("dense", "bm25", "fused")
DEPTHS = (1, 5, 20)
_RANKS_LOOKED_AT = 100
_RIGHT_F1 = 0.6
WITHOUT_ANSWER = 0.33
"""The share of questions that are asked as if their own document were missing, for measuring confidences."""
RISKS_SHOWN = (0.1, 0.2, 0.3)


@dataclass(frozen=True)
class OpenQuestion:
    """A question and the document that answers it."""

    paragraph: SquadParagraph
    question: SquadQuestion
    gold_document: int


def open_questions(snapshot: Snapshot, squad: SquadSet) -> list[OpenQuestion]:
    """Pair each answerable question with the document whose whole text is the question's paragraph.

    :raises NothingToMeasure: if a paragraph is in no document, since figures over a part would mislead, or if no
        question has an answer.
    """
    by_text = {snapshot.document(info.id).text.strip(): info.id for info in snapshot.iter_documents()}
    missing = [paragraph for paragraph in squad.paragraphs if paragraph.context.strip() not in by_text]
    if missing:
        raise NothingToMeasure(
            f"{len(missing):,} of {len(squad.paragraphs):,} paragraphs of the file are not documents of this store; "
            f'the first: "{missing[0].context[:40]}…"; pass --build to index them into a store of their own.'
        )
    found = [
        OpenQuestion(paragraph, question, by_text[paragraph.context.strip()])
        for paragraph, question in squad.questions()
        if question.answers
    ]
    if not found:
        raise NothingToMeasure("no question of the file has an answer; recall and answers are of those that have one.")
    return found


def retrieval_figures(
    pipeline: Pipeline, questions: Sequence[OpenQuestion], on_question: Callable[[], None] = lambda: None
) -> dict[str, dict[str, float]]:
    """Measure recall@1/5/20 and MRR, in percent, of dense, bm25 and fused, over all questions.

    Only passages of the gold document count; a passage elsewhere does not, even if it contains the answer.
    """
    ranks: dict[Method, list[int | None]] = {method: [] for method in METHODS}
    for one in questions:
        asked = pipeline.reader.encoder.encode_question(one.question.question, f"question {one.question.id}")
        retrieved = _retrieved(pipeline, one, asked.vector)
        for method in METHODS:
            ranks[method].append(_rank_of(one.gold_document, retrieved.by(method), pipeline.snapshot))
        on_question()
    return {method: _figures_of_ranks(found) for method, found in ranks.items()}


def _retrieved(
    pipeline: Pipeline, one: OpenQuestion, vector: NDArray[np.float32], also: Sequence[int] = ()
) -> Retrieved:
    """Retrieve as asking this question does; passages in ``also`` are scored whatever their rank."""
    question, weights = one.question.question, pipeline.retrieval_weights
    return retrieve(pipeline.snapshot, question, vector, _RANKS_LOOKED_AT, weights=weights, also=also)


def _rank_of(document: int, passage_ids: Sequence[int], snapshot: Snapshot) -> int | None:
    for rank, record in enumerate(snapshot.passages(passage_ids[:_RANKS_LOOKED_AT]), start=1):
        if record.document_id == document:
            return rank
    return None


def _figures_of_ranks(ranks: Sequence[int | None]) -> dict[str, float]:
    n = max(len(ranks), 1)
    recalls = {f"recall@{k}": 100 * sum(rank is not None and rank <= k for rank in ranks) / n for k in DEPTHS}
    return {**recalls, "mrr": 100 * sum(1 / rank for rank in ranks if rank) / n}


def sampled(questions: Sequence[OpenQuestion], n: int, seed: int) -> list[OpenQuestion]:
    """Draw ``n`` of the questions by the seed and keep their order; all of them if there are no more."""
    if n >= len(questions):
        return list(questions)
    return [questions[index] for index in sorted(random.Random(seed).sample(range(len(questions)), n))]


@dataclass(frozen=True)
class ReadQuestion:
    """The spans read for one question over the union of all rankings' first passages, each passage once.

    :ivar in_gold: whether each span's passage is of the gold document
    """

    question: OpenQuestion
    retrieved: Retrieved
    spans: tuple[ReadSpan, ...]
    texts: tuple[str, ...]
    in_gold: tuple[bool, ...]
    places: Places

    @property
    def golds(self) -> list[str]:
        """The annotated answers."""
        return [gold.text for gold in self.question.question.answers]


def read_open(
    pipeline: Pipeline,
    questions: Sequence[OpenQuestion],
    *,
    n_candidates: int = N_CANDIDATES,
    methods: Sequence[Method] = METHODS,
    with_gold: bool = False,
) -> Iterator[ReadQuestion]:
    """Read every candidate of each question and yield the spans.

    :param with_gold: whether to read the passages of the question's own document even if they were not retrieved.
    """
    for one in questions:
        asked = pipeline.reader.encoder.encode_question(one.question.question, f"question {one.question.id}")
        own = pipeline.snapshot.document_passages(one.gold_document) if with_gold else []
        also = [record.id for record in own]
        retrieved = _retrieved(pipeline, one, asked.vector, also)
        wanted = {pid for method in methods for pid in retrieved.by(method)[:n_candidates]}.union(also)
        chosen = candidates(retrieved, [pid for pid in retrieved.fused if pid in wanted])
        states = pipeline.snapshot.states([candidate.key for candidate in chosen])
        expected = [retrieved.records[one.passage_id] for one in chosen]
        places = Places(pipeline.snapshot, pipeline.reader.encoder.tokenizer, expected)
        spans = pipeline.spans(one.question.question, asked.states, chosen, states, places)
        found = [places.span(span.candidate.passage_id, span.span) for span in spans]
        yield ReadQuestion(
            one,
            retrieved,
            tuple(spans),
            tuple(place.text for place in found),
            tuple(place.document == one.gold_document for place in found),
            places,
        )


def answer_figures(
    pipeline: Pipeline,
    questions: Sequence[OpenQuestion],
    *,
    n_candidates: int = N_CANDIDATES,
    on_read: Callable[[ReadQuestion, Sequence[int]], None] = lambda read, fused: None,
    on_question: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Measure EM and F1, in percent, of the first answer that asking gives over each ranking's first passages.

    Two more rows follow the rankings: ``given`` is the best span of the question's own document, as if only that had
    been retrieved; ``given_if_retrieved`` is the same if one of its passages is among the fused candidates, else no
    answer. Of the EM missing to 100 %, the reader accounts for 100 - given, retrieval for given - given_if_retrieved,
    and ranking for the rest.

    :param on_read: called with each question read and the spans in the fused ranking's first passages.
    """
    sums: dict[str, NDArray[np.float64]] = {}
    for read in read_open(pipeline, questions, n_candidates=n_candidates, with_gold=True):
        own = [index for index, in_gold in enumerate(read.in_gold) if in_gold]
        texts: dict[str, str] = {method: _asked(pipeline, read, _of(read, method, n_candidates)) for method in METHODS}
        on_read(read, _of(read, "fused", n_candidates))
        texts["given"] = _best_by_margin(read, own)
        texts["given_if_retrieved"] = _best_by_margin(read, sorted({*own} & {*_of(read, "fused", n_candidates)}))
        for name, text in texts.items():
            sums.setdefault(name, np.zeros(2))[:] += (exact_match(text, read.golds), f1(text, read.golds))
        on_question()
    n = max(len(questions), 1)
    return {name: {"exact_match": 100 * total[0] / n, "f1": 100 * total[1] / n} for name, total in sums.items()}


class _Judge:
    """Collect the confidence of the first answer to each question read, and whether it is right (``is_right``).

    A seeded share of the questions is judged as if their own document were missing.
    """

    def __init__(self, pipeline: Pipeline, without_answer: float, seed: int) -> None:
        self._pipeline, self._without_answer, self._chance = pipeline, without_answer, random.Random(seed)
        self._found: list[tuple[float, bool]] = []

    def __call__(self, read: ReadQuestion, chosen: Sequence[int]) -> None:
        take_away = self._chance.random() < self._without_answer
        spans = [read.spans[index] for index in chosen if not (take_away and read.in_gold[index])]
        best = _first_answer(self._pipeline, read, spans)
        in_gold = best is not None and best.place.document == read.question.gold_document
        self._found.append((best.confidence, is_right(best.place.text, read.golds, in_gold)) if best else (0.0, False))

    def found(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        confidence, right = zip(*self._found, strict=True) if self._found else ((), ())
        return np.array(confidence, np.float64), np.array(right, bool)


def is_right(text: str, golds: Sequence[str], in_gold: bool) -> bool:
    """Whether an answer equals an annotated one, or is in the gold document and has F1 of at least 0.6 with one."""
    return exact_match(text, golds) > 0 or (in_gold and f1(text, golds) >= _RIGHT_F1)


def _of(read: ReadQuestion, method: Method, n_candidates: int) -> list[int]:
    """Return the indices of the spans in a ranking's first passages."""
    allowed = set(read.retrieved.by(method)[:n_candidates])
    return [index for index, span in enumerate(read.spans) if span.candidate.passage_id in allowed]


def _asked(pipeline: Pipeline, read: ReadQuestion, chosen: Sequence[int]) -> str:
    """Return the text of the first answer that asking gives with these spans, ignoring "no answer"."""
    best = _first_answer(pipeline, read, [read.spans[index] for index in chosen])
    return best.place.text if best else ""


def _first_answer(pipeline: Pipeline, read: ReadQuestion, some: Sequence[ReadSpan]) -> Answer | None:
    spans = as_if_alone(some, pipeline.retrieval_weights.bm25_share)
    return first_answer(pipeline, read.question.question.question, spans, read.places)[0]


def _best_by_margin(read: ReadQuestion, chosen: Sequence[int]) -> str:
    return read.texts[max(chosen, key=lambda index: read.spans[index].span.margin)] if chosen else ""


def evaluate_open(
    pipeline: Pipeline,
    squad: SquadSet,
    *,
    sample: int,
    seed: int,
    n_candidates: int = N_CANDIDATES,
    on_question: Callable[[str], None] = lambda phase: None,
) -> dict[str, Any]:
    """Compute everything that ``qa eval open`` prints."""
    questions = open_questions(pipeline.snapshot, squad)
    chosen = sampled(questions, sample, seed)
    retrieval = retrieval_figures(pipeline, questions, lambda: on_question("retrieve"))
    judge = _Judge(pipeline, WITHOUT_ANSWER, seed)
    answers = answer_figures(
        pipeline, chosen, n_candidates=n_candidates, on_read=judge, on_question=lambda: on_question("read")
    )
    fitted = pipeline.reader.about.risk if pipeline.reader.about else {}
    return {
        "n_documents": pipeline.snapshot.n_documents,
        "n_passages": pipeline.snapshot.n_passages,
        "retrieval": {"n": len(questions), **retrieval},
        "answers": {"n": len(chosen), "seed": seed, "candidates": n_candidates, **answers},
        "confidence": {
            "without_answer": WITHOUT_ANSWER,
            **measured(*judge.found(), known_thresholds(fitted, RISKS_SHOWN)),
        },
    }
