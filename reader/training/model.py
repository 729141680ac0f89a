"""The network as it is trained: lower layers, joint layers, and beside them a frozen whole reader."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deformer_qa.reader.backbone import run_layers
from deformer_qa.reader.encoder import Encoder, pooled
from deformer_qa.reader.joint import JointLayers
from deformer_qa.reader.layers import Context
from deformer_qa.reader.training.examples import NO_VERDICT
from deformer_qa.reader.training.losses import distillation, layerwise_similarity, span_cross_entropy
from deformer_qa.reader.training.recipe import Recipe

_ROWS_COMPARED = 2
"""Of each batch, where tuned layers are held to the vectors of before: on all rows that would double a step."""
_BYTES_KEPT = 4 << 30
"""Of layer-k states, in half precision, while training on CPU."""


class ReaderInTraining(nn.Module):
    """``forward(batch)`` gives the loss and the span logits; its parameters are the layers that learn.

    What stays as it is, the encoder and the teacher, is no submodule, so that neither a checkpoint nor the optimizer
    holds it; both are on the device where this will be.

    :param teacher: the joint layers of a whole reader (k = 0) of the same encoder, to distil from.
    :param lower: layers 1..k as they begin, where the recipe tunes them.
    """

    def __init__(
        self,
        encoder: Encoder,
        joint: JointLayers,
        teacher: JointLayers | None,
        recipe: Recipe,
        lower: nn.ModuleList | None = None,
    ) -> None:
        super().__init__()
        self.joint = joint
        self.recipe = recipe
        self.lower = copy.deepcopy(lower if lower is not None else nn.ModuleList()).requires_grad_(True)
        self._frozen = _Frozen(encoder, teacher)

    def forward(
        self,
        question: Tensor,
        question_mask: Tensor,
        passage: Tensor,
        passage_mask: Tensor,
        start: Tensor,
        end: Tensor,
        verdict: Tensor,
    ) -> dict[str, Tensor]:
        """Loss (scalar) and logits (batch, passage tokens, 2) of a padded batch, see ``examples.collate``."""
        frozen, recipe = self._frozen, self.recipe
        texts = ((question, question_mask), (passage, passage_mask))
        apart = [self._tuned(ids, mask) if recipe.tune_lower else frozen.lower_once(ids, mask) for ids, mask in texts]
        both_mask = self.joint.beside(question_mask, passage_mask)
        context = self.joint.context(question, passage, question_mask, passage_mask)
        states = self.joint.layer_states(self.joint.mark(*apart), context)
        passage_rows = self.joint.passage_rows(question.shape[1], passage.shape[1])
        rows = states[-1][:, passage_rows]
        logits, yes_no = (one.float() for one in self.joint.logits(rows))
        aim = frozen.teacher_states(question, passage, context)
        spans = verdict == NO_VERDICT
        share = spans.float().mean()  # losses are means over the batch, of either kind its share
        loss = logits.new_zeros(())
        if spans.any():
            ce = span_cross_entropy(logits[spans], passage_mask[spans], start[spans], end[spans])
            loss = loss + share * recipe.ce * ce
            if aim and recipe.kd:
                aimed = frozen.teacher_logits(aim[-1][:, passage_rows])
                kd = distillation(logits[spans], aimed[spans], passage_mask[spans], recipe.temperature)
                loss = loss + share * recipe.kd * kd
        if not spans.all():
            loss = loss + (1 - share) * recipe.ce * F.cross_entropy(yes_no[~spans], verdict[~spans])
        if aim and recipe.lrs:
            loss = loss + recipe.lrs * layerwise_similarity(states, aim[-len(states) :], both_mask)
        if recipe.tune_lower and recipe.retrieval:
            some = slice(_ROWS_COMPARED)
            moved = [
                frozen.moved(ids[some], mask[some], states[some])
                for (ids, mask), states in zip(texts, apart, strict=True)
            ]
            loss = loss + recipe.retrieval * torch.stack(moved).mean()
        return {"loss": loss, "logits": logits}

    def _tuned(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Layer-k states of one text of each pair, by the layers that learn."""
        with torch.no_grad():
            states = self._frozen.backbone.embed(ids)
        return run_layers(self.lower, states, self._frozen.backbone.alone(states, mask))


class _Frozen:
    """What training reads and never changes."""

    def __init__(self, encoder: Encoder, teacher: JointLayers | None) -> None:
        self.backbone = encoder.backbone
        self._encoder = encoder
        self._teacher = teacher.eval().requires_grad_(False) if teacher else None
        self._kept: dict[bytes, Tensor] = {}
        self._n_bytes = 0

    @torch.no_grad()
    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.backbone.embed(ids)
        return run_layers(self._encoder.lower, states, self.backbone.alone(states, mask))

    def lower_once(self, ids: Tensor, mask: Tensor) -> Tensor:
        """As ``lower``; on CPU a text met before is not run again, a passage has several questions."""
        if ids.device.type != "cpu" or not self._encoder.k:
            return self.lower(ids, mask)
        keys = [row[tokens].numpy().tobytes() for row, tokens in zip(ids, mask, strict=True)]
        new = [row for row, key in enumerate(keys) if key not in self._kept]
        states = torch.zeros(*ids.shape, self.backbone.shape.hidden_width)
        if new:
            states[new] = self.lower(ids[new], mask[new]).half().float()  # rounded the first time as every time
        for row, key in enumerate(keys):
            n = int(mask[row].sum())
            if key in self._kept:
                states[row, :n] = self._kept[key]
            elif self._n_bytes + 2 * n * states.shape[2] <= _BYTES_KEPT:
                self._kept[key] = states[row, :n].half()
                self._n_bytes += 2 * n * states.shape[2]
        return states

    @torch.no_grad()
    def teacher_states(self, question: Tensor, passage: Tensor, context: Context) -> list[Tensor]:
        """After each layer of the whole reader; empty without a teacher."""
        if self._teacher is None:
            return []
        together = self._teacher.mark(self.backbone.embed(question), self.backbone.embed(passage))
        return self._teacher.layer_states(together, context)

    @torch.no_grad()
    def teacher_logits(self, rows: Tensor) -> Tensor:
        assert self._teacher is not None
        return self._teacher.logits(rows).spans

    def moved(self, ids: Tensor, mask: Tensor, states: Tensor) -> Tensor:
        """Mean of 1 - cosine between vectors that tuned layer-k states lead to and the encoder's own as it was."""
        context, k, n = self.backbone.alone(states, mask), self._encoder.k, self.backbone.shape.n_layers
        with torch.no_grad():
            before = pooled(self.backbone.run(self.lower(ids, mask), context, k, n), mask, self._encoder.pooling)
        after = pooled(self.backbone.run(states, context, k, n), mask, self._encoder.pooling)
        return (1 - F.cosine_similarity(before.float(), after.float(), dim=1)).mean()
