"""Compute the losses of DeFormer: cross entropy, distillation of the logits, similarity of the layers' states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def compared_cross_entropy(logits: Tensor, mask: Tensor, of_example: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Mean cross entropy of start and end over all tokens of an example's passages, or "none of them".

    The logits of "no answer here" (row 0) are subtracted from each passage's logits, and "none of them" is 0. For a
    single passage this is the cross entropy over its tokens and row 0. For several it is the shared normalisation of
    Clark and Gardner (2018), which makes margins comparable across passages.

    :param logits: *Shape:* (passages, tokens, 2).
    :param mask: *Shape:* (passages, tokens), bool; padding gets no probability.
    :param of_example: *Shape:* (passages,), ascending from 0: the example of each passage; ``start`` and ``end`` refer
        to an example's first passage.
    :param start, end: *Shape:* (examples,), rows; 0 for "none of them".
    """
    scores = _masked(logits - logits[:, :1].float(), mask)
    n_examples = len(start)
    of_passage = torch.logsumexp(scores[:, 1:], dim=1)  # (passages, 2)
    first = torch.searchsorted(of_example, torch.arange(n_examples, device=of_example.device))
    place = torch.arange(len(of_example), device=of_example.device) - first[of_example]
    table = scores.new_full((n_examples, int(place.max()) + 2, 2), -30_000.0)
    table = table.index_put((of_example, place + 1), of_passage)
    table = torch.cat([torch.zeros_like(table[:, :1]), table[:, 1:]], dim=1)
    aimed = torch.stack([scores[first, start, 0], scores[first, end, 1]], dim=1)
    return (torch.logsumexp(table, dim=1) - aimed).mean()


def distillation(logits: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) of start and end at a temperature, times the temperature squared (Hinton et al. 2015).

    :param logits, teacher: *Shape:* (batch, tokens, 2).
    """
    student_log = F.log_softmax(_masked(logits, mask) / temperature, dim=1)
    teacher_log = F.log_softmax(_masked(teacher, mask) / temperature, dim=1)
    divergence = (teacher_log.exp() * (teacher_log - student_log)).masked_fill(~mask[..., None], 0.0)
    return divergence.sum((1, 2)).mean() * temperature**2 / 2


def choice_distillation(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) over the options at a temperature, times the temperature squared.

    :param logits, teacher: *Shape:* (questions, options).
    """
    student_log = F.log_softmax(logits / temperature, dim=1)
    teacher_log = F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True) * temperature**2


def layerwise_similarity(states: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Mean squared difference of student's and teacher's states, over layers and tokens, without padding.

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
