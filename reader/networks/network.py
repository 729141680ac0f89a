"""The modules of a family: embeddings, layers, heads, and the context that its layers read."""

from __future__ import annotations

from torch import Tensor, nn

from deformer_qa.reader.families.electra import ElectraShape
from deformer_qa.reader.families.roberta import RobertaShape
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.networks.layers import Context, Embeddings, TransformerLayer, attention_bias
from deformer_qa.reader.networks.placement import Placement


class Network:
    """Makes the modules of BERT and of the families with its layers; others override the differences."""

    def embeddings(self, shape: BackboneShape) -> nn.Module:
        """The module that maps token ids (batch, tokens), and token types or None, to layer-0 states."""
        return Embeddings(
            shape,
            table_width=shape.table_width if isinstance(shape, ElectraShape) else 0,
            first_position=shape.first_position if isinstance(shape, RobertaShape) else 0,
        )

    def layer(self, shape: BackboneShape, index: int) -> nn.Module:
        """Layer ``index`` (from 0) of the backbone; called as ``TransformerLayer`` is, with this family's context."""
        return TransformerLayer(shape)

    def finish(self, shape: BackboneShape) -> nn.Module:
        """The module applied to states after the last layer, before anything reads them."""
        return nn.Identity()

    def head(self, shape: BackboneShape) -> nn.Module:
        """The module that maps finished states to start and end logits, *Shape:* (..., 2)."""
        head = nn.Linear(shape.hidden_width, 2)
        nn.init.normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        return head

    def context(self, shape: BackboneShape, placement: Placement) -> Context:
        """The layers' context for rows with this placement."""
        return Context(padding_bias(placement))


def padding_bias(placement: Placement) -> Tensor | None:
    """The attention bias for padding, *Shape:* (batch, 1, 1, keys); None without padding."""
    return None if placement.mask is None else attention_bias(placement.mask)
