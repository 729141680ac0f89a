"""A pre-trained transformer encoder that runs in parts: embeddings, then any range of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from deformer_qa.reader.families import family_named
from deformer_qa.reader.layers import BackboneShape, Context
from deformer_qa.reader.placement import Placement, TextRows


class Backbone(nn.Module):
    """Embeddings and layers 1..n of a pre-trained encoder; it must be given its tensors before use."""

    def __init__(self, shape: BackboneShape) -> None:
        super().__init__()
        self.shape = shape
        self.family = family_named(shape.family)
        self.embeddings = self.family.embeddings(shape)
        self.layers = nn.ModuleList(self.family.layer(shape, index) for index in range(shape.n_layers))
        self.finish = self.family.finish(shape)

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
        return self.family.context(self.shape, Placement.of_texts(texts, states.device, classification_last=last))

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
