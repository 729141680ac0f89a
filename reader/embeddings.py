"""Layer-0 states of the BERT kind: words, positions and token types, each a table, then a layer norm."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from deformer_qa.reader.shape import BackboneShape


class Table(nn.Embedding):
    """An embedding whose rows come from a file; to draw them first, on no device, would load torch's compiler."""

    def reset_parameters(self) -> None:
        """Nothing is drawn."""


class Embeddings(nn.Module):
    """Token ids in, layer-0 states out."""

    def __init__(self, shape: BackboneShape, *, table_width: int = 0, first_position: int = 0) -> None:
        """Tables as the shape says; none of token types where it has none.

        :param table_width: of the tables, where a projection to the hidden width follows; 0 is the hidden width.
        :param first_position: row of the position table that a text's first token takes.
        """
        super().__init__()
        width = table_width or shape.hidden_width
        self.first_position = first_position
        self.words = Table(shape.vocabulary, width)
        self.positions = Table(shape.n_positions, width)
        self.token_types = Table(shape.n_token_types, width) if shape.n_token_types else None
        self.norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.project = nn.Linear(width, shape.hidden_width) if width != shape.hidden_width else None

    def forward(self, token_ids: Tensor, token_types: Tensor | None = None) -> Tensor:
        """Each text's positions count from its own first row ("restart").

        :param token_ids: *Shape:* (batch, tokens), int64.
        :param token_types: *Shape:* as ``token_ids``; None is type 0 throughout.
        :return: *Shape:* (batch, tokens, hidden).
        """
        first = self.first_position
        positions = torch.arange(first, first + token_ids.shape[1], device=token_ids.device)[None]
        states = self.words(token_ids)
        # The order of additions is Hugging Face's, so that the sums round alike.
        if self.token_types is not None:
            states = states + (self.token_types.weight[0] if token_types is None else self.token_types(token_types))
        states = self.norm(states + self.positions(positions))
        return cast(Tensor, states if self.project is None else self.project(states))
