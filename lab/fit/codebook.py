"""Draw states of paragraphs to fit a codebook on, and measure how much variance it loses."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deformer_qa.lab.data.squad import read_squad
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.passages import with_lead

_SEED = 0
_TOKENS = 131_072


def states_of_paragraphs(data: Path, encoder: Encoder, held_back: set[str]) -> NDArray[np.float32]:
    """Encode paragraphs with their titles, drawn by a fixed seed: at least 131,072 tokens if there are so many.

    *Shape:* (tokens, hidden), float32.
    """
    titles = {one.context: one.title for one in read_squad(data).paragraphs if one.article not in held_back}
    contexts = list(titles)
    random.Random(_SEED).shuffle(contexts)
    found: list[NDArray[np.float32]] = []
    n_tokens = 0
    for context in contexts:
        lead = encoder.lead(titles[context], "")
        for span in encoder.borders.split(context, encoder.tokenizer):
            found.append(encoder.states(with_lead(lead, context[span.start : span.end]), "passage"))
            n_tokens += len(found[-1])
        if n_tokens >= _TOKENS:
            break
    return np.concatenate(found) if found else np.empty((0, encoder.hidden_width), np.float32)


def lost_variance(states: NDArray[np.float32], decoded: NDArray[np.float32]) -> float:
    """Compute the share of the states' variance that is lost after decoding."""
    lost = ((states - decoded) ** 2).sum(dtype="f8")
    return float(lost / ((states - states.mean(axis=0)) ** 2).sum(dtype="f8"))
