"""A pre-trained transformer encoder that runs in parts: embeddings, then any range of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families import family_named
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.networks.layers import Context
from deformer_qa.reader.networks.placement import Placement, TextRows
from deformer_qa.reader.networks.registry import network_of
from deformer_qa.reader.weights import Arrays


class Backbone(nn.Module):
    """Embeddings and layers 1..n of a pre-trained encoder; it must be given its tensors before use."""

    def __init__(self, shape: BackboneShape) -> None:
        super().__init__()
        self.shape = shape
        self.family, self.network = family_named(shape.family), network_of(shape.family)
        self.embeddings = self.network.embeddings(shape)
        self.layers = nn.ModuleList(self.network.layer(shape, index) for index in range(shape.n_layers))
        self.finish = self.network.finish(shape)

    def embed(self, token_ids: Tensor, token_types: Tensor | None = None) -> Tensor:
        """Compute layer-0 states.

        :param token_ids: *Shape:* (batch, tokens), int64.
        :param token_types: *Shape:* as ``token_ids``; None is type 0 throughout.
        :return: *Shape:* (batch, tokens, hidden).
        """
        return cast(Tensor, self.embeddings(token_ids, token_types))

    def alone(self, states: Tensor, mask: Tensor | None = None) -> Context:
        """The layers' context for texts that are each encoded alone, with states of *Shape:* (batch, tokens, hidden).

        :param mask: *Shape:* (batch, tokens), bool, true at tokens; None without padding.
        """
        texts = [TextRows(states.shape[1], mask)]
        last = self.family.classification_last
        return self.network.context(self.shape, Placement.of_texts(texts, states.device, classification_last=last))

    def run(self, states: Tensor, context: Context | None, first: int, last: int) -> Tensor:
        """States after layer ``last``, from those after layer ``first``; layers count from 1, 0 is the embeddings.

        After the very last layer they are finished, as a head or a pooling reads them.

        :param context: None for texts encoded alone and without padding.
        """
        context = context or self.alone(states)
        states = run_layers(self.layers[first:last], states, context)
        return cast(Tensor, self.finish(states)) if last == self.shape.n_layers else states


def run_layers(layers: Iterable[nn.Module], states: Tensor, context: Context) -> Tensor:
    """States after running some layers in sequence."""
    for layer in layers:
        states = layer(states, context)
    return states


def load_arrays(module: nn.Module, arrays: Arrays, where: str) -> None:
    """Give a module its weights; raises UnsupportedModel if their shapes do not fit."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    try:
        module.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise UnsupportedModel(
            f"{where}: the weights are not those that its configuration describes ({first})"
        ) from error


def pooled(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector for each text, not normalised, *Shape:* (batch, hidden).

    :param states: *Shape:* (batch, tokens, hidden), after the last layer.
    :param mask: *Shape:* (batch, tokens), bool, true at tokens.
    :param pooling: as ``reader.encoder.Pooling``.
    """
    if pooling == "cls":
        return states[:, 0]
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
