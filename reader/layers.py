"""One transformer layer of the BERT kind: attention, feed-forward, layer norm after each (Devlin et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deformer_qa.reader.shape import BackboneShape

UNSEEN = -30_000.0
"""Added to a score, its softmax weight is exactly 0 in every float type; and it fits in half precision."""


def attention_bias(mask: Tensor) -> Tensor:
    """What is added to attention scores so that padding is not seen.

    :param mask: *Shape:* (batch, keys), bool, true where there is a token.
    :return: *Shape:* (batch, 1, 1, keys), float32: 0 at tokens, a number that softmax makes 0 at padding.
    """
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, UNSEEN)[:, None, None, :]


@dataclass(frozen=True)
class Context:
    """What layers take beside states, made once for all layers of a pass; families that need more have a subclass.

    :ivar bias: added to attention scores; *Shape:* broadcastable to (batch, heads, rows, keys). None masks nothing.
    """

    bias: Tensor | None


class TransformerLayer(nn.Module):
    """States in, states out: (batch, tokens, hidden) -> (batch, tokens, hidden).

    No dropout: the encoder is frozen, and the joint layers see each question once or twice in training.
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
        """One layer over ``states``.

        :param states: *Shape:* (batch, tokens, hidden).
        :param rows: those that are computed, the others being read as keys and values; None computes all.
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
        # Written out: on CPU this is faster in training than scaled_dot_product_attention, see docs/decisions.
        scores = (query.transpose(1, 2) * head_width**-0.5) @ key.permute(0, 2, 3, 1)  # (batch, heads, rows, tokens)
        if context.bias is not None:
            scores = scores + context.bias.to(scores.dtype)
        mixed = scores.softmax(-1) @ value.transpose(1, 2)  # (batch, heads, rows, head_width)
        mixed = mixed.transpose(1, 2).reshape(states.shape)
        attended = cast(Tensor, self.attention_norm(states + self.attention_out(mixed)))
        widened = F.gelu(self.feed_in(attended), approximate=self.gelu_form)
        return cast(Tensor, self.feed_norm(attended + self.feed_out(widened)))
