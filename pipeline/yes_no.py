"""A question that asks for yes or no: what the passages say together, and the sentence it rests on.

Retrieval says how likely each passage is the one to ask, or none (the conditional logit of ``ranking``, without what
reading adds); reading says how likely each passage means yes. The label's confidence is the sum over passages of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deformer_qa.pipeline.places import Places
from deformer_qa.pipeline.ranking import RankingWeights, confidences, passage_features
from deformer_qa.pipeline.results import Answer, Place
from deformer_qa.pipeline.retrieval import Candidate
from deformer_qa.reader.passages import sentences
from deformer_qa.reader.reading import PassageLogits, SplitReader, States

_PASSAGES_NAMED = 3
_SHARE_NAMED = 0.1
"""Passages beside the first are evidence where they carry at least this part of the label's confidence."""


def yes_or_no(
    reader: SplitReader,
    weights: RankingWeights,
    question: States,
    chosen: Sequence[Candidate],
    states: Sequence[States],
    logits: Sequence[PassageLogits],
    places: Places,
) -> tuple[list[Answer], float]:
    """The likelier label as an answer, and the confidence that these documents do not say; no answer without passages.

    :param question: *Shape:* (question tokens, hidden), layer-k states; ``states`` and ``logits`` of the candidates.
    """
    if not chosen:
        return [], 1.0
    passages, none = confidences(weights.utilities([passage_features(one) for one in chosen]))
    yes = np.array([_probability_of_yes(made) for made in logits])
    says_yes = bool((passages * yes).sum() >= (passages * (1 - yes)).sum())
    carried = passages * (yes if says_yes else 1 - yes)
    confidence = float(carried.sum())
    order = np.argsort(-carried, kind="stable")[:_PASSAGES_NAMED]
    named = [index for index in order if index == order[0] or carried[index] >= _SHARE_NAMED * confidence]
    found = [_sentence(reader, question, chosen[index], states[index], says_yes, places) for index in named]
    context, context_start = places.context(found[0])
    answer = Answer(
        place=found[0],
        score=math.log(max(confidence, 1e-12) / max(none, 1e-12)),
        confidence=min(1.0, confidence),
        context=context,
        context_start=context_start,
        evidence=tuple(found[1:]),
        label="yes" if says_yes else "no",
    )
    return [answer], none


def _probability_of_yes(made: PassageLogits) -> float:
    return float(1 / (1 + np.exp(made.yes_no[0] - made.yes_no[1])))


def _sentence(
    reader: SplitReader, question: States, candidate: Candidate, states: States, says_yes: bool, places: Places
) -> Place:
    """The sentence whose states the label rests on: without them it loses most (or gains least)."""
    spans = sentences(places.text(candidate.passage_id))
    rows = [places.rows(candidate.passage_id, span.start, span.end) for span in spans]
    n_text_rows = len(states) - 1 - places.first_row(candidate.passage_id)
    tried = [index for index, one in enumerate(rows) if 0 < len(one) < n_text_rows]
    if not tried:
        return places.passage(candidate.passage_id)
    left: list[NDArray[np.float32]] = [np.delete(states, rows[index], axis=0) for index in tried]
    sign = 1.0 if says_yes else -1.0
    without = [sign * float(made.yes_no[1] - made.yes_no[0]) for made in reader.read(question, left)]
    chosen = spans[tried[int(np.argmin(without))]]
    return places.inside(candidate.passage_id, chosen.start, chosen.end)
