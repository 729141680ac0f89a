"""Train the network: lower layers and joint layers, beside a frozen whole reader as the teacher."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deformer_qa.lab.train.examples import NO_VERDICT
from deformer_qa.lab.train.frozen import Frozen
from deformer_qa.lab.train.losses import compared_cross_entropy, distillation, layerwise_similarity
from deformer_qa.lab.train.recipe import Recipe
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.networks.backbone import run_layers
from deformer_qa.reader.networks.joint import JointLayers

_ROWS_COMPARED = 2
"""How many rows of a batch keep tuned layers close to the original vectors; all rows would double a step's time."""


class LayersInTraining(nn.Module):
    """Hold the layers that learn as parameters; a subclass has the loss of one kind of example.

    Encoder and teacher stay unchanged. They are no submodules, so that neither a checkpoint nor the optimizer contains
    them; both must already be on the device where this module will be.

    :param teacher: the joint layers of a whole reader (k = 0) of the same encoder, to distil from.
    :param lower: layers 1..k at the start, if the recipe tunes them.
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
        self._frozen = Frozen(encoder, teacher)

    def _apart(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Compute layer-k states of each text alone: with tuned lower layers if any, else frozen and cached."""
        if not self.recipe.tune_lower:
            return self._frozen.lower_once(ids, mask)
        states = self._frozen.embed(ids)
        return run_layers(self.lower, states, self._frozen.backbone.alone(states, mask))


class ReaderInTraining(LayersInTraining):
    """Train spans and yes/no: ``forward(batch)`` returns the loss and the span logits."""

    def forward(
        self,
        question: Tensor,
        question_mask: Tensor,
        passage: Tensor,
        passage_mask: Tensor,
        of_example: Tensor,
        start: Tensor,
        end: Tensor,
        verdict: Tensor,
    ) -> dict[str, Tensor]:
        """Return loss (scalar) and logits (passages, tokens, 2) of a padded batch, see ``examples.collate``."""
        frozen, recipe = self._frozen, self.recipe
        texts = ((question, question_mask), (passage, passage_mask))
        apart = [self._apart(ids, mask) for ids, mask in texts]
        both_mask = self.joint.beside(question_mask, passage_mask)
        context = self.joint.context(question, passage, question_mask, passage_mask)
        states = self.joint.layer_states(self.joint.mark(*apart), context)
        passage_rows = self.joint.passage_rows(question.shape[1], passage.shape[1])
        made = self.joint.logits(states[-1][:, passage_rows])
        logits, yes_no = made.spans.float(), made.yes_no.float()
        aim = []
        if frozen.has_teacher:
            aim = frozen.teacher_states(frozen.embed(question), frozen.embed(passage), context)
        spans = verdict == NO_VERDICT
        rows = spans[of_example]
        share = spans.float().mean()  # the loss is a mean over the batch, so each kind has its share
        loss = logits.new_zeros(())
        if spans.any():
            numbers = (torch.cumsum(spans, 0) - 1)[of_example[rows]]
            ce = compared_cross_entropy(logits[rows], passage_mask[rows], numbers, start[spans], end[spans])
            loss = loss + share * recipe.ce * ce
            if aim and recipe.kd:
                aimed = frozen.teacher_logits(aim[-1][:, passage_rows]).spans
                kd = distillation(logits[rows], aimed[rows], passage_mask[rows], recipe.temperature)
                loss = loss + share * recipe.kd * kd
        if not spans.all():  # each yes/no question has one passage
            loss = loss + (1 - share) * recipe.ce * F.cross_entropy(yes_no[~rows], verdict[~spans])
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
