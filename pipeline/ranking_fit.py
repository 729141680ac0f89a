"""Fitting the ranking: the conditional logit of ``ranking`` by maximum likelihood on held-back questions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from deformer_qa.pipeline.asking import N_CANDIDATES, Pipeline
from deformer_qa.pipeline.open_evaluation import WITHOUT_ANSWER, OpenQuestion, is_right, read_open
from deformer_qa.pipeline.ranking import FEATURES, GIVEN_FEATURES, PASSAGE_FEATURES, passage_features

_PENALTY = 1e-3

_Case = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class FittedRanking:
    """The weights and what they were fitted on; the likelihoods are means per question, in nats.

    :ivar given: weights for passages without a retrieval's scores, fitted on the same spans
    :ivar passages: weights of passages not yet read: which of them is of the right document?
    """

    weights: dict[str, float]
    given: dict[str, float]
    passages: dict[str, float]
    n_questions: int
    n_without_answer: int
    loss_before: float
    loss_after: float


def fit_ranking(
    pipeline: Pipeline,
    questions: Sequence[OpenQuestion],
    *,
    without_answer: float = WITHOUT_ANSWER,
    seed: int = 7,
    on_question: Callable[[], None] = lambda: None,
) -> FittedRanking:
    """Weights under which the right spans, or "no answer", are likeliest.

    For a seeded share of the questions the gold document's spans are taken away, so that "no answer here" is right.
    """
    chance = random.Random(seed)
    cases: list[_Case] = []
    passage_cases: list[_Case] = []
    n_without = 0
    for read in read_open(pipeline, questions, n_candidates=N_CANDIDATES, methods=("fused",)):
        take_away = chance.random() < without_answer
        rows, right = [], []
        passages: dict[int, tuple[list[float], bool]] = {}
        for span, text, in_gold in zip(read.spans, read.texts, read.in_gold, strict=True):
            if take_away and in_gold:
                continue
            rows.append(span.features)
            right.append(is_right(text, read.golds, in_gold))
            passages[span.candidate.passage_id] = passage_features(span.candidate), in_gold
        if rows:
            cases.append((torch.tensor(rows, dtype=torch.float64), torch.tensor(right)))
            n_without += not any(right)
            of_passages, in_golds = zip(*passages.values(), strict=True)
            passage_cases.append((torch.tensor(of_passages, dtype=torch.float64), torch.tensor(in_golds)))
        on_question()
    before = float(_loss(torch.zeros(len(FEATURES), dtype=torch.float64), cases))
    weights = _fitted(cases, FEATURES)
    after = float(_loss(weights, cases))
    given, passages_weights = _fitted(cases, GIVEN_FEATURES), _fitted(passage_cases, PASSAGE_FEATURES)
    return FittedRanking(_named(weights), _named(given), _named(passages_weights), len(cases), n_without, before, after)


def _fitted(cases: Sequence[_Case], names: Sequence[str]) -> torch.Tensor:
    """The likeliest weights of some features, the others 0. *Shape:* (features,), float64."""
    weights = torch.zeros(len(FEATURES), dtype=torch.float64, requires_grad=True)
    used = torch.tensor([name in names for name in FEATURES], dtype=torch.float64)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = _loss(weights * used, cases) + _PENALTY * weights[:-1].square().sum()
        (weights.grad,) = torch.autograd.grad(loss, [weights])
        return float(loss.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return (weights * used).detach()


def _named(weights: torch.Tensor) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(FEATURES, weights, strict=True)}


def _loss(weights: torch.Tensor, cases: Sequence[_Case]) -> torch.Tensor:
    """Mean negative log of the probability of all right spans together, or of "no answer" where none is right."""
    losses = []
    for rows, right in cases:
        utilities = torch.cat([rows @ weights, torch.zeros(1, dtype=torch.float64)])
        target = torch.cat([right, ~right.any()[None]])
        losses.append(torch.logsumexp(utilities, 0) - torch.logsumexp(utilities[target], 0))
    return torch.stack(losses).mean()
