"""A pre-trained transformer encoder whose layers can be run apart: embeddings, then any range of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from deformer_qa.reader.layers import TransformerLayer
from deformer_qa.reader.shape import BackboneShape


class _Table(nn.Embedding):
    """An embedding whose rows come from a file; to draw them first, on no device, would load torch's compiler."""

    def reset_parameters(self) -> None:
        """Nothing is drawn."""


class Backbone(nn.Module):
    """Embeddings and layers 1..n of a pre-trained encoder; without meaning until it is given its tensors."""

    def __init__(self, shape: BackboneShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.hidden_width
        self.words = _Table(shape.vocabulary, width)
        self.positions = _Table(shape.n_positions, width)
        self.token_types = _Table(shape.n_token_types, width)
        self.embedding_norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.layers = nn.ModuleList(TransformerLayer(shape) for _ in range(shape.n_layers))

    def embed(self, token_ids: Tensor, token_types: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Layer-0 states.

        :param token_ids: *Shape:* (batch, tokens), int64.
        :param token_types: *Shape:* as ``token_ids``; None is type 0 throughout.
        :param positions: *Shape:* as ``token_ids`` or (1, tokens); None counts each text from 0 ("restart").
        :return: *Shape:* (batch, tokens, hidden).
        """
        if positions is None:
            positions = torch.arange(token_ids.shape[1], device=token_ids.device)[None]
        types = self.token_types.weight[0] if token_types is None else self.token_types(token_types)
        # The order of additions is Hugging Face's, so that the sums round alike.
        return cast(Tensor, self.embedding_norm(self.words(token_ids) + types + self.positions(positions)))

    def run(self, states: Tensor, bias: Tensor | None, first: int, last: int) -> Tensor:
        """States after layer ``last``, from those after layer ``first``; layers count from 1, 0 is the embeddings."""
        return run_layers(self.layers[first:last], states, bias)


def run_layers(layers: Iterable[nn.Module], states: Tensor, bias: Tensor | None) -> Tensor:
    """States after some layers, one upon another."""
    for layer in layers:
        states = layer(states, bias)
    return states
