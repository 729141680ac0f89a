"""The torch engine: every family, every device, and the form that training knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from deformer_qa.reader.engines.engine import PassageLogits
from deformer_qa.reader.engines.names import EngineName
from deformer_qa.reader.networks.backbone import Backbone, run_layers
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.weights import Array

_TOKENS_PER_BATCH = 2_048
_LENGTH_STEP = 16


class TorchEncoder:
    """The encoder in torch, fp32."""

    name: EngineName = "torch"

    def __init__(self, backbone: Backbone, lower: nn.ModuleList | None, k: int, device: str = "cpu") -> None:
        """:param lower: layers 1..k that make the states, if others make the vector; None if the same do."""
        self._backbone, self._own_lower, self._k, self._device = backbone, lower, k, device

    @torch.inference_mode()
    def encode(self, ids: Sequence[int]) -> tuple[Array, Array]:
        """As ``EncoderEngine.encode``."""
        embedded, states = self._lower(ids)
        first = (states, self._k) if self._own_lower is None else (embedded, 0)
        top = self._backbone.run(first[0], None, first[1], self._backbone.shape.n_layers)
        return states[0].cpu().numpy(), top[0].cpu().numpy()

    @torch.inference_mode()
    def states(self, ids: Sequence[int]) -> Array:
        """As ``EncoderEngine.states``."""
        made: Array = self._lower(ids)[1][0].cpu().numpy()
        return made

    def _lower(self, ids: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """States after the embeddings and after layer k, *Shape:* (1, tokens, hidden) each."""
        embedded = self._backbone.embed(torch.tensor([ids], device=self._device))
        layers = self._own_lower if self._own_lower is not None else self._backbone.layers[: self._k]
        return embedded, run_layers(layers, embedded, self._backbone.alone(embedded))


class TorchJoint:
    """The joint layers in torch, fp32 or bf16, over batches of passages of similar length."""

    def __init__(self, joint: JointLayers, device: str = "cpu", *, bf16: bool = False) -> None:
        self._joint, self._device, self._bf16 = joint, torch.device(device), bf16
        self.name: EngineName = "torch-bf16" if bf16 else "torch"

    @torch.inference_mode()
    def read(self, question: Array, passages: Sequence[Array]) -> list[PassageLogits]:
        """As ``JointEngine.read``."""
        device = self._device
        asked = torch.from_numpy(np.ascontiguousarray(question))[None].to(device)
        logits: dict[int, PassageLogits] = {}
        for batch in length_batches([len(states) for states in passages]):
            lengths = [len(passages[index]) for index in batch]
            padded = torch.zeros(len(batch), max(lengths), asked.shape[2])
            mask = torch.zeros(len(batch), max(lengths), dtype=torch.bool)
            for row, index in enumerate(batch):
                padded[row, : lengths[row]] = torch.from_numpy(passages[index])
                mask[row, : lengths[row]] = True
            unequal = min(lengths) < max(lengths)
            with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
                made = self._joint(asked, padded.to(device), mask.to(device) if unequal else None)
            spans, yes_no = (one.float().cpu().numpy() for one in (made.spans, made.yes_no))
            for row, index in enumerate(batch):
                logits[index] = PassageLogits(spans[row, : lengths[row]], yes_no[row])
        return [logits[index] for index in range(len(passages))]

    @torch.inference_mode()
    def choose(self, asked: Sequence[Array], article: Sequence[Array]) -> Array:
        """As ``SplitReader.choose``."""
        device = self._device
        passage = torch.from_numpy(np.concatenate(article))[None].to(device)
        logits = []
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            for one in asked:
                option = torch.from_numpy(np.ascontiguousarray(one))[None].to(device)
                logits.append(self._joint(option, passage).choice.float())
        made: Array = torch.cat(logits).cpu().numpy()
        return made


def length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group indices into batches of similar length (within 16 tokens) and at most 2,048 tokens with padding."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    batch: list[int] = []
    for index in order:
        step = -(-lengths[index] // _LENGTH_STEP)
        if batch and (
            step != -(-lengths[batch[0]] // _LENGTH_STEP) or (len(batch) + 1) * step * _LENGTH_STEP > _TOKENS_PER_BATCH
        ):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
