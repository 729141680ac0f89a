"""Answer a yes/no question: sum up all passages, and find the sentence that supports the label.

Retrieval gives the probability that each passage is the one to ask, or none (the conditional logit of ``rank``, without
the features of reading). Reading gives the probability that each passage means yes. The label's confidence is the sum
over passages of the product of both. A label is given only if its probability, provided that a passage answers at all,
reaches the least in the reader's description; otherwise the caller shows the sentence of the best span alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.pipeline.outcomes import is_number
from deformer_qa.pipeline.places import Places
from deformer_qa.pipeline.rank import RankingWeights, confidences, passage_features
from deformer_qa.pipeline.results import Answer, Place
from deformer_qa.pipeline.retrieve import Candidate
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.passages import Span, sentences
from deformer_qa.reader.reading import PassageLogits, SplitReader, States

LEAST_CONFIDENCE = 0.8
"""The least probability of a label, provided that a passage answers, if the reader's description names no other."""
_PASSAGES_NAMED = 3
_SHARE_NAMED = 0.1
"""Passages after the first are evidence if they carry at least this share of the label's confidence."""


def least_confidence(yes_no: Mapping[str, Any]) -> float:
    """Read from ``yes_no`` of reader.json how likely a label must be to be given.

    :raises UnsupportedModel: if its ``label`` is not a number.
    """
    label = yes_no.get("label", None if yes_no else LEAST_CONFIDENCE)
    if not is_number(label):
        raise UnsupportedModel(f'reader.json: yes_no: expected {{"label": a number}}, found {dict(yes_no)}.')
    return float(label)


def yes_or_no(
    reader: SplitReader,
    weights: RankingWeights,
    question: States,
    chosen: Sequence[Candidate],
    states: Sequence[States],
    logits: Sequence[PassageLogits],
    places: Places,
    least: float = LEAST_CONFIDENCE,
) -> tuple[list[Answer], float]:
    """Return the likelier label as an answer, and the probability that these documents do not say.

    There is no answer without passages, or if the label's probability, provided that a passage answers, is below
    ``least``.

    :param question: layer-k states, *Shape:* (question tokens, hidden).
    :param states, logits: those of the candidates ``chosen``, in their order.
    """
    if not chosen:
        return [], 1.0
    passages, none = confidences(
        weights.utilities([passage_features(one, place) for place, one in enumerate(chosen, start=1)])
    )
    yes = np.array([_probability_of_yes(made) for made in logits])
    says_yes = bool((passages * yes).sum() >= (passages * (1 - yes)).sum())
    carried = passages * (yes if says_yes else 1 - yes)
    confidence = float(carried.sum())
    if confidence < least * float(passages.sum()):
        return [], none
    order = np.argsort(-carried, kind="stable")[:_PASSAGES_NAMED]
    named = [index for index in order if index == order[0] or carried[index] >= _SHARE_NAMED * confidence]
    found = _sentences(reader, question, [chosen[i] for i in named], [states[i] for i in named], says_yes, places)
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


def _sentences(
    reader: SplitReader,
    question: States,
    named: Sequence[Candidate],
    states: Sequence[States],
    says_yes: bool,
    places: Places,
) -> list[Place]:
    """Find in each passage the sentence that supports the label: leaving out its states costs the label most.

    All passages are read in one batch, each once without each of its sentences.
    """
    tried: list[tuple[int, Span]] = []
    left: list[NDArray[np.float32]] = []
    for number, (candidate, made) in enumerate(zip(named, states, strict=True)):
        n_text_rows = len(made) - 1 - places.first_row(candidate.passage_id)
        for span in _whole_sentences(candidate.passage_id, places):
            rows = places.rows(candidate.passage_id, span.start, span.end)
            if 0 < len(rows) < n_text_rows:
                tried.append((number, span))
                left.append(np.delete(made, rows, axis=0))
    sign = 1.0 if says_yes else -1.0
    without = [sign * float(made.yes_no[1] - made.yes_no[0]) for made in reader.read(question, left)]
    found = []
    for number, candidate in enumerate(named):
        of_it = [index for index, (passage, _) in enumerate(tried) if passage == number]
        if not of_it:
            found.append(places.passage(candidate.passage_id))
            continue
        _, span = tried[min(of_it, key=lambda index: without[index])]
        found.append(places.inside(candidate.passage_id, span.start, span.end))
    return found


def _whole_sentences(passage_id: int, places: Places) -> list[Span]:
    """Return a passage's sentences without headings and fragments, or all if nothing else is left."""
    spans = sentences(places.text(passage_id))
    whole = [span for span in spans if places.is_sentence(places.inside(passage_id, span.start, span.end))]
    return whole or spans
