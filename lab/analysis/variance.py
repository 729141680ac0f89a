"""Measure how far a passage's states depend on the question, layer by layer, in the undecomposed model (Figure 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deformer_qa.lab.data.squad import SquadParagraph
from deformer_qa.lab.train.start import whole_joint
from deformer_qa.reader.checkpoint import encoder_of
from deformer_qa.reader.description import describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.passages import with_lead


@torch.inference_mode()
def passage_variance(
    encoder: Encoder,
    joint: JointLayers,
    paragraphs: Sequence[SquadParagraph],
    on_paragraph: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Measure for each layer (0 is the embeddings) how far a passage's states move with the question.

    Each passage token has one state for each question of its paragraph; the cosine distance of each state to their
    centroid is taken. ``distance`` is the mean of these over questions, tokens and passages; ``variance`` is the mean
    over tokens and passages of their variance over questions. Tokens of a passage's title count as its own.

    :param joint: all layers of the undecomposed model, over states of layer 0.
    :param paragraphs: paragraphs; those with fewer than two questions are skipped.
    :raises BadTrainingData: if no paragraph has two questions.
    """
    sums = torch.zeros(len(joint.layers) + 1, 2, dtype=torch.float64)
    n = 0
    for paragraph in paragraphs:
        span = next(iter(encoder.borders.split(paragraph.context, encoder.tokenizer)), None)
        asked = paragraph.questions
        if span is None or len(asked) < 2:
            continue
        lead = encoder.lead(paragraph.title, "")
        passage = encoder.backbone.embed(_ids(encoder, with_lead(lead, paragraph.context[span.start : span.end])))
        by_question = []
        for question in asked:
            embedded = encoder.backbone.embed(_ids(encoder, question.question, f"question {question.id}"))
            context = joint.context(embedded, passage, None, None)
            rows = joint.passage_rows(embedded.shape[1], passage.shape[1])
            after = joint.layer_states(joint.mark(embedded, passage), context)
            by_question.append(torch.stack([passage, *(one[:, rows] for one in after)]))
        distance = distances(torch.stack(by_question)[:, :, 0].double())  # (questions, layers, tokens)
        sums[:, 0] += distance.mean((0, 2))
        sums[:, 1] += distance.var(0, unbiased=True).mean(-1)
        n += 1
        on_paragraph()
    if not n:
        raise BadTrainingData("no paragraph has two questions or more; their passages' states cannot be compared.")
    return [
        {"layer": layer, "distance": float(mean) / n, "variance": float(variance) / n, "n_passages": n}
        for layer, (mean, variance) in enumerate(sums)
    ]


def undivided(reader: Path | None) -> tuple[Encoder, JointLayers, str]:
    """Load all layers of a whole reader, or of the default encoder as published; also return its name.

    :raises BadTrainingData: if the reader is a split one.
    """
    if reader is not None:
        joint = whole_joint(reader)
        return encoder_of(describe_reader(reader)), joint.eval(), describe_reader(reader).name
    encoder = Encoder.load(k=0)
    joint = JointLayers(encoder.backbone.shape, encoder.backbone.shape.n_layers)
    for ours, theirs in zip(joint.layers, encoder.backbone.layers, strict=True):
        ours.load_state_dict(theirs.state_dict())
    return encoder, joint.eval(), encoder.source


def distances(states: Tensor) -> Tensor:
    """Compute the cosine distance of each question's states to their centroid.

    :param states: *Shape:* (questions, ..., hidden).
    :return: *Shape:* (questions, ...).
    """
    return (1 - F.cosine_similarity(states, states.mean(0, keepdim=True), dim=-1)).clamp(min=0)  # -0 by rounding


def _ids(encoder: Encoder, text: str, what: str = "passage") -> Tensor:
    return torch.tensor([encoder.tokenizer.tokenize(text, what).ids], device=encoder.device)
