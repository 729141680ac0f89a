"""Measure how many of the passages that an exact search finds the search with indexes finds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import Hit, Snapshot

NOISE = 1.0
"""Length of the noise in a made-up question's vector, relative to the passage's vector: their cosine is then 0.7."""
WORDS_PER_QUESTION = 6


@dataclass(frozen=True)
class MadeQuestion:
    """A made-up question for measuring recall.

    :ivar vector: *Shape:* (vector_width,), float32
    """

    text: str
    vector: NDArray[np.float32]


@dataclass(frozen=True)
class Recall:
    """The recall of one ranking against the exact search.

    :ivar method: dense or bm25
    :ivar recall: the share of the exact search's passages that are found, mean over questions
    :ivar lowest: the recall of the worst question
    :ivar same_scores: the share of questions whose scores equal those of the exact search, in order
    :ivar milliseconds: median time of a search; ``exact_milliseconds`` of the exact one
    """

    method: str
    depth: int
    n_questions: int
    recall: float
    lowest: float
    same_scores: float
    milliseconds: float
    exact_milliseconds: float

    def json(self) -> dict[str, Any]:
        """The JSON that the command line prints."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in vars(self).items()}


def made_questions(snapshot: Snapshot, n: int, seed: int = 0) -> list[MadeQuestion]:
    """Make questions from passages drawn at random: a passage's vector plus equal noise, and some of its words."""
    chance = np.random.default_rng(seed)
    ids = sorted(chance.choice(snapshot.passage_ids(), min(n, snapshot.n_passages), replace=False).tolist())
    texts = snapshot.passage_texts(ids)
    vectors = snapshot.vectors([record.key for record in snapshot.passages(ids)])
    noise = chance.standard_normal(vectors.shape, dtype=np.float32)
    noise *= NOISE * np.linalg.norm(vectors, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    made = []
    for text, vector in zip(texts, vectors + noise, strict=True):
        words = text.split()
        chosen = chance.choice(len(words), min(WORDS_PER_QUESTION, len(words)), replace=False)
        made.append(MadeQuestion(" ".join(words[place] for place in chosen), vector))
    return made


def recall(snapshot: Snapshot, questions: Sequence[MadeQuestion], depth: int) -> list[Recall]:
    """Measure the recall of the dense and the BM25 ranking at a depth."""
    return [
        _compared("dense", depth, questions, lambda one, exact: snapshot.nearest(one.vector, depth, exact=exact)),
        _compared("bm25", depth, questions, lambda one, exact: snapshot.bm25(one.text, depth, exact=exact)),
    ]


def _compared(
    method: str,
    depth: int,
    questions: Sequence[MadeQuestion],
    search: Callable[[MadeQuestion, bool], list[Hit]],
) -> Recall:
    shares, same, seconds, exact_seconds = [], [], [], []
    for question in questions:
        began = time.perf_counter()
        found = search(question, False)
        between = time.perf_counter()
        wanted = search(question, True)
        exact_seconds.append(time.perf_counter() - between)
        seconds.append(between - began)
        if wanted:
            least = wanted[-1].score  # passages that tie with the last count as found
            n_found = sum(hit.score >= least for hit in found)
            shares.append(n_found / len(wanted))
            same.append([hit.score for hit in found] == [hit.score for hit in wanted])
    return Recall(
        method=method,
        depth=depth,
        n_questions=len(shares),
        recall=statistics.fmean(shares) if shares else 1.0,
        lowest=min(shares, default=1.0),
        same_scores=statistics.fmean(same) if same else 1.0,
        milliseconds=1000 * statistics.median(seconds) if seconds else 0.0,
        exact_milliseconds=1000 * statistics.median(exact_seconds) if exact_seconds else 0.0,
    )
