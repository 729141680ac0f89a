"""Hold the networks that training reads but never changes: the encoder, with cached states, and the teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.networks.backbone import pooled, run_layers
from deformer_qa.reader.networks.joint import JointLayers, JointLogits
from deformer_qa.reader.networks.layers import Context

_BYTES_KEPT = 4 << 30
"""The most bytes of layer-k states to cache, in half precision, while training on CPU."""


class Frozen:
    """An encoder, and if there is a teacher, the joint layers of a whole reader of the same encoder."""

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
        """Run ``lower``, but on CPU run each text only once, since a passage has several questions."""
        if ids.device.type != "cpu" or not self._encoder.k:
            return self.lower(ids, mask)
        keys = [row[tokens].numpy().tobytes() for row, tokens in zip(ids, mask, strict=True)]
        new = [row for row, key in enumerate(keys) if key not in self._kept]
        states = torch.zeros(*ids.shape, self.backbone.shape.hidden_width)
        if new:
            states[new] = self.lower(ids[new], mask[new]).half().float()  # rounded as in the cache
        for row, key in enumerate(keys):
            n = int(mask[row].sum())
            if key in self._kept:
                states[row, :n] = self._kept[key]
            elif self._n_bytes + 2 * n * states.shape[2] <= _BYTES_KEPT:
                self._kept[key] = states[row, :n].half()
                self._n_bytes += 2 * n * states.shape[2]
        return states

    @torch.no_grad()
    def embed(self, ids: Tensor) -> Tensor:
        """Compute layer-0 states, each text from position 0."""
        return self.backbone.embed(ids)

    @property
    def has_teacher(self) -> bool:
        return self._teacher is not None

    @torch.no_grad()
    def teacher_states(self, question: Tensor, passage: Tensor, context: Context) -> list[Tensor]:
        """Compute the states after each layer of the teacher, from layer-0 states of question and passage."""
        assert self._teacher is not None
        return self._teacher.layer_states(self._teacher.mark(question, passage), context)

    @torch.no_grad()
    def teacher_logits(self, rows: Tensor) -> JointLogits:
        """Compute logits from the teacher's last states at the passage's rows."""
        assert self._teacher is not None
        return self._teacher.logits(rows)

    def moved(self, ids: Tensor, mask: Tensor, states: Tensor) -> Tensor:
        """Compute the mean of 1 - cosine between vectors from tuned layer-k states and the original encoder's."""
        context, k, n = self.backbone.alone(states, mask), self._encoder.k, self.backbone.shape.n_layers
        with torch.no_grad():
            before = pooled(self.backbone.run(self.lower(ids, mask), context, k, n), mask, self._encoder.pooling)
        after = pooled(self.backbone.run(states, context, k, n), mask, self._encoder.pooling)
        return (1 - F.cosine_similarity(before.float(), after.float(), dim=1)).mean()
