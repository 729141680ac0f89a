"""The network as it is trained: frozen lower layers, joint layers, and beside them a frozen teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deformer_qa.reader.backbone import Backbone
from deformer_qa.reader.joint import JointLayers
from deformer_qa.reader.layers import attention_bias
from deformer_qa.reader.training.losses import distillation, layerwise_similarity, span_cross_entropy
from deformer_qa.reader.training.recipe import Recipe


class ReaderInTraining(nn.Module):
    """``forward(batch)`` gives the loss and the logits; only the joint layers are its parameters.

    The backbone and the teacher are not submodules, so that neither a checkpoint nor the optimizer holds them.
    """

    def __init__(self, backbone: Backbone, joint: JointLayers, teacher: JointLayers | None, recipe: Recipe) -> None:
        super().__init__()
        self.joint = joint
        self.recipe = recipe
        frozen = [module for module in (backbone, teacher) if module is not None]
        self._frozen = tuple(module.eval().requires_grad_(False) for module in frozen)

    def forward(
        self, question: Tensor, question_mask: Tensor, passage: Tensor, passage_mask: Tensor, start: Tensor, end: Tensor
    ) -> dict[str, Tensor]:
        """Loss (scalar) and logits (batch, passage tokens, 2) of a padded batch, see ``examples.collate``."""
        backbone = self._frozen[0].to(question.device)
        assert isinstance(backbone, Backbone)
        both_mask = torch.cat([question_mask, passage_mask], dim=1)
        bias = attention_bias(both_mask)
        teacher = self._frozen[1].to(question.device) if len(self._frozen) > 1 else None
        with torch.no_grad():
            together = teacher is not None or not self.recipe.split
            joined = lower_together(backbone, question, passage, bias, self.recipe.k) if together else None
            apart = (
                lower_apart(backbone, question, question_mask, passage, passage_mask, self.recipe.k)
                if self.recipe.split
                else joined
            )
        assert apart is not None
        states = self.joint.layer_states(self.joint.mark(*apart), bias)
        n_question = question.shape[1]
        logits = self.joint.logits(states[-1][:, n_question:]).float()
        loss = self.recipe.ce * span_cross_entropy(logits, passage_mask, start, end)
        if teacher is not None and joined is not None:
            assert isinstance(teacher, JointLayers)
            with torch.no_grad():
                aim = teacher.layer_states(teacher.mark(*joined), bias)
                aim_logits = teacher.logits(aim[-1][:, n_question:])
            loss = loss + self.recipe.kd * distillation(logits, aim_logits, passage_mask, self.recipe.temperature)
            if self.recipe.lrs:
                loss = loss + self.recipe.lrs * layerwise_similarity(states, aim, both_mask)
        return {"loss": loss, "logits": logits}


def lower_apart(
    backbone: Backbone, question: Tensor, question_mask: Tensor, passage: Tensor, passage_mask: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Layer-k states of question and passage, neither having seen the other."""
    return (
        backbone.run(backbone.embed(question), attention_bias(question_mask), 0, k),
        backbone.run(backbone.embed(passage), attention_bias(passage_mask), 0, k),
    )


def lower_together(
    backbone: Backbone, question: Tensor, passage: Tensor, bias: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """The same embeddings and layers, question and passage seeing each other: the undecomposed model."""
    states = torch.cat([backbone.embed(question), backbone.embed(passage)], dim=1)
    states = backbone.run(states, bias, 0, k)
    return states[:, : question.shape[1]], states[:, question.shape[1] :]
