"""One transformer layer of the BERT kind: attention, feed-forward, layer norm after each (Devlin et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deformer_qa.reader.families.shape import BackboneShape


class Table(nn.Embedding):
    """An embedding whose rows come from a file; initialising them on no device would load torch's compiler."""

    def reset_parameters(self) -> None:
        """Do not initialise."""


class Embeddings(nn.Module):
    """Maps token ids to layer-0 states."""

    def __init__(self, shape: BackboneShape, *, table_width: int = 0, first_position: int = 0) -> None:
        """Make the tables of the shape; without one for token types if it has none.

        :param table_width: of the tables, if a projection to the hidden width follows; 0 is the hidden width.
        :param first_position: row of the position table for a text's first token.
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
        """Compute layer-0 states; each text's positions count from its own first row ("restart").

        :param token_ids: *Shape:* (batch, tokens), int64.
        :param token_types: *Shape:* as ``token_ids``; None is type 0 throughout.
        :return: *Shape:* (batch, tokens, hidden).
        """
        first = self.first_position
        positions = torch.arange(first, first + token_ids.shape[1], device=token_ids.device)[None]
        states = self.words(token_ids)
        # The order of additions is that of Hugging Face, so that the sums round alike.
        if self.token_types is not None:
            states = states + (self.token_types.weight[0] if token_types is None else self.token_types(token_types))
        states = self.norm(states + self.positions(positions))
        return cast(Tensor, states if self.project is None else self.project(states))


UNSEEN = -30_000.0
"""A score with this added gets a softmax weight of exactly 0 in every float type; it fits in half precision."""


def attention_bias(mask: Tensor) -> Tensor:
    """The bias on attention scores that hides padding.

    :param mask: *Shape:* (batch, keys), bool, true at tokens.
    :return: *Shape:* (batch, 1, 1, keys), float32: 0 at tokens, a number that softmax turns into 0 at padding.
    """
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, UNSEEN)[:, None, None, :]


@dataclass(frozen=True)
class Context:
    """Input of layers beside states, made once for all layers of a pass; families that need more have a subclass.

    :ivar bias: added to attention scores; *Shape:* broadcastable to (batch, heads, rows, keys). None masks nothing.
    """

    bias: Tensor | None


class TransformerLayer(nn.Module):
    """Maps states to states: (batch, tokens, hidden) -> (batch, tokens, hidden).

    There is no dropout: the encoder is frozen, and the joint layers see each question once or twice in training.
    """

    def __init__(self, shape: BackboneShape) -> None:
        super().__init__()
        width = shape.hidden_width
        self.n_heads = shape.n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.feed_in = nn.Linear(width, shape.feed_forward_width)
        self.feed_out = nn.Linear(shape.feed_forward_width, width)
        self.feed_norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.gelu_form = shape.gelu_form

    def forward(self, states: Tensor, context: Context, rows: slice | None = None) -> Tensor:
        """Run the layer over ``states``.

        :param states: *Shape:* (batch, tokens, hidden).
        :param rows: the rows to compute; the others serve only as keys and values. None computes all.
        :return: *Shape:* (batch, rows, hidden).
        """
        batch, tokens, width = states.shape
        head_width = width // self.n_heads
        if rows is None:
            query, key, value = self.qkv(states).view(batch, tokens, 3, self.n_heads, head_width).unbind(2)
        else:
            query = F.linear(states[:, rows], self.qkv.weight[:width], self.qkv.bias[:width])
            query = query.view(batch, -1, self.n_heads, head_width)
            key_value = F.linear(states, self.qkv.weight[width:], self.qkv.bias[width:])
            key, value = key_value.view(batch, tokens, 2, self.n_heads, head_width).unbind(2)
            states = states[:, rows]
        # Written out: on CPU this is faster in training than scaled_dot_product_attention (decision 2).
        scores = (query.transpose(1, 2) * head_width**-0.5) @ key.permute(0, 2, 3, 1)  # (batch, heads, rows, tokens)
        if context.bias is not None:
            scores = scores + context.bias.to(scores.dtype)
        mixed = scores.softmax(-1) @ value.transpose(1, 2)  # (batch, heads, rows, head_width)
        mixed = mixed.transpose(1, 2).reshape(states.shape)
        attended = cast(Tensor, self.attention_norm(states + self.attention_out(mixed)))
        widened = F.gelu(self.feed_in(attended), approximate=self.gelu_form)
        return cast(Tensor, self.feed_norm(attended + self.feed_out(widened)))
