"""Fit the ranking: the conditional logit of ``pipeline.rank``, by maximum likelihood on held-back questions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from deformer_qa.lab.fit.mixture import Asked
from deformer_qa.lab.measure.open import OpenQuestion, ReadQuestion, is_right, read_open
from deformer_qa.pipeline import N_CANDIDATES
from deformer_qa.pipeline.answers import ReadSpan, as_if_alone
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.rank import FEATURES, GIVEN_FEATURES, PASSAGE_FEATURES, PRIOR

_PENALTY = 1e-3
_WITHOUT_ANSWER = 0.15
"""The share of answerable questions that are asked as if their own document were missing."""
_UNANSWERABLE = 0.25
"""Weight of a kind of unanswerable questions, relative to an answerable kind. SQuAD's were written to look as if their
paragraph answered them, and few users ask such questions. With both constants about every fifth question has no answer.
"""


@dataclass(frozen=True)
class Judged:
    """A question that was read, and which of its spans are right.

    :ivar spans: the competing spans: all, or those left after its own document was removed
    :ivar right: whether each of these is a right answer
    :ivar in_gold: whether each of these is in the document that answers
    """

    asked: Asked
    read: ReadQuestion
    spans: tuple[ReadSpan, ...]
    right: tuple[bool, ...]
    in_gold: tuple[bool, ...]

    @property
    def rows(self) -> list[list[float]]:
        """The features of the competing spans."""
        return [span.features for span in self.spans]


def judged(
    pipeline: Pipeline,
    questions: Sequence[tuple[Asked, OpenQuestion]],
    *,
    without_answer: float = _WITHOUT_ANSWER,
    seed: int = 7,
    on_question: Callable[[], None] = lambda: None,
) -> list[Judged]:
    """Read every question over the store, a seeded share of the answerable ones as if their document were missing."""
    chance = random.Random(seed)
    made = []
    opened = [one for _, one in questions]
    for (asked, _), read in zip(
        questions, read_open(pipeline, opened, n_candidates=N_CANDIDATES, methods=("fused",)), strict=True
    ):
        take_away = asked.is_answerable and chance.random() < without_answer
        left = [index for index, in_gold in enumerate(read.in_gold) if not (take_away and in_gold)]
        spans = as_if_alone([read.spans[index] for index in left], pipeline.retrieval_weights.bm25_share)
        right = tuple(asked.is_answerable and is_right(read.texts[i], read.golds, read.in_gold[i]) for i in left)
        in_gold = tuple(asked.is_answerable and read.in_gold[i] for i in left)
        made.append(Judged(asked, read, tuple(spans), right, in_gold))
        on_question()
    return made


@dataclass(frozen=True)
class FittedRanking:
    """Fitted weights, with the number of questions and the mean negative log-likelihood per question, in nats.

    :ivar given: weights for passages without a retrieval's scores, fitted on the same spans
    :ivar passages: weights that predict, before reading, which passage is of the right document
    """

    weights: dict[str, float]
    given: dict[str, float]
    passages: dict[str, float]
    n_questions: int
    n_without_answer: int
    loss_before: float
    loss_after: float

    def json(self) -> dict[str, Any]:
        """The JSON that the command line prints."""
        return dict(vars(self))


class _Cases:
    """Questions as padded tensors, each weighted so that its kind has its intended weight."""

    def __init__(
        self, rows: Sequence[Sequence[Sequence[float]]], right: Sequence[Sequence[bool]], kinds: Sequence[str]
    ):
        width = max(map(len, rows))
        self.rows = torch.zeros(len(rows), width, len(FEATURES), dtype=torch.float64)
        self.there = torch.zeros(len(rows), width, dtype=torch.bool)
        self.right = torch.zeros(len(rows), width + 1, dtype=torch.bool)
        for number, (of_one, right_of_one) in enumerate(zip(rows, right, strict=True)):
            self.rows[number, : len(of_one)] = torch.tensor(of_one, dtype=torch.float64)
            self.there[number, : len(of_one)] = True
            self.right[number, : len(of_one)] = torch.tensor(right_of_one)
            self.right[number, width] = not any(right_of_one)
        counts = {kind: kinds.count(kind) for kind in kinds}
        self.shares = torch.tensor([kind_weight(kind) / counts[kind] for kind in kinds], dtype=torch.float64)
        self.shares /= self.shares.sum()

    def loss(self, weights: torch.Tensor) -> torch.Tensor:
        """Mean negative log of the probability of all right spans together, or of "no answer" if none is right."""
        utilities = (self.rows @ weights).masked_fill(~self.there, -torch.inf)
        utilities = torch.cat([utilities, torch.zeros(len(utilities), 1, dtype=torch.float64)], dim=1)
        aimed = utilities.masked_fill(~self.right, -torch.inf)
        return ((torch.logsumexp(utilities, 1) - torch.logsumexp(aimed, 1)) * self.shares).sum()

    def fitted(self, names: Sequence[str]) -> torch.Tensor:
        """Fit the weights of some features, with the others 0. *Shape:* (features,), float64."""
        used = torch.tensor([name in names for name in FEATURES], dtype=torch.float64)
        prior = torch.tensor([PRIOR.get(name, 0.0) for name in FEATURES], dtype=torch.float64)
        weights = prior.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

        def closure() -> float:
            optimizer.zero_grad()
            loss = self.loss(weights * used) + _PENALTY * (weights - prior)[:-1].square().sum()
            (weights.grad,) = torch.autograd.grad(loss, [weights])
            return float(loss.detach())

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        return (weights * used).detach()


def fit_ranking(questions: Sequence[Judged]) -> FittedRanking:
    """Fit weights that make the right spans, or "no answer", likeliest; answerable kinds have equal weight."""
    used = [one for one in questions if one.spans]
    kinds = [one.asked.kind for one in used]
    spans = _Cases([one.rows for one in used], [one.right for one in used], kinds)
    passages = [_passages(one) for one in used]
    read = _Cases([[row for row, _ in one] for one in passages], [[gold for _, gold in one] for one in passages], kinds)
    weights = spans.fitted(FEATURES)
    return FittedRanking(
        weights=_named(weights),
        given=_named(spans.fitted(GIVEN_FEATURES)),
        passages=_named(read.fitted(PASSAGE_FEATURES)),
        n_questions=len(used),
        n_without_answer=sum(not any(one.right) for one in used),
        loss_before=float(spans.loss(torch.zeros(len(FEATURES), dtype=torch.float64))),
        loss_after=float(spans.loss(weights)),
    )


def _passages(one: Judged) -> list[tuple[list[float], bool]]:
    """Return each passage's features before reading, and whether it is of the right document."""
    found: dict[int, tuple[list[float], bool]] = {}
    of_passage = [name in PASSAGE_FEATURES for name in FEATURES]
    for span, in_gold in zip(one.spans, one.in_gold, strict=True):
        row = [value if kept else 0.0 for value, kept in zip(span.features, of_passage, strict=True)]
        found[span.candidate.passage_id] = row, in_gold
    return list(found.values())


def kind_weight(kind: str) -> float:
    """The weight of a kind of questions in the fit."""
    return _UNANSWERABLE if "unanswerable" in kind else 1.0


def _named(weights: torch.Tensor) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(FEATURES, weights, strict=True)}
