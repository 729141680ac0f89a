"""The losses of DeFormer: cross entropy, distillation of the logits, similarity of the layers' states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def span_cross_entropy(logits: Tensor, mask: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Mean of the cross entropies of start and end.

    :param logits: *Shape:* (batch, tokens, 2).
    :param mask: *Shape:* (batch, tokens), bool; padding takes no probability.
    :param start, end: *Shape:* (batch,), rows.
    """
    scores = _masked(logits, mask)
    return (F.cross_entropy(scores[..., 0], start) + F.cross_entropy(scores[..., 1], end)) / 2


def distillation(logits: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) of start and end at a temperature, times its square (Hinton et al. 2015).

    :param logits, teacher: *Shape:* (batch, tokens, 2).
    """
    student_log = F.log_softmax(_masked(logits, mask) / temperature, dim=1)
    teacher_log = F.log_softmax(_masked(teacher, mask) / temperature, dim=1)
    divergence = (teacher_log.exp() * (teacher_log - student_log)).masked_fill(~mask[..., None], 0.0)
    return divergence.sum((1, 2)).mean() * temperature**2 / 2


def choice_distillation(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) over the options at a temperature, times its square.

    :param logits, teacher: *Shape:* (questions, options).
    """
    student_log = F.log_softmax(logits / temperature, dim=1)
    teacher_log = F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True) * temperature**2


def layerwise_similarity(states: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Mean squared difference of student's and teacher's states, over layers and tokens, padding left out.

    :param states, teacher: one (batch, tokens, hidden) for each joint layer.
    :param mask: *Shape:* (batch, tokens), bool.
    """
    per_layer = [
        F.mse_loss(ours.float(), theirs.float(), reduction="none").mean(-1)[mask].mean()
        for ours, theirs in zip(states, teacher, strict=True)
    ]
    return torch.stack(per_layer).mean()


def _masked(logits: Tensor, mask: Tensor) -> Tensor:
    return logits.float().masked_fill(~mask[..., None], -30_000.0)
