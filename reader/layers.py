"""One transformer layer of the BERT kind: attention, feed-forward, layer norm after each (Devlin et al. 2019)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deformer_qa.reader.shape import BackboneShape

_UNSEEN = -30_000.0
"""Added to a score, its softmax weight is exactly 0 in every float type; and it fits in half precision."""


def attention_bias(mask: Tensor) -> Tensor:
    """What is added to attention scores so that padding is not seen.

    :param mask: *Shape:* (batch, keys), bool, true where there is a token.
    :return: *Shape:* (batch, 1, 1, keys), float32: 0 at tokens, a number that softmax makes 0 at padding.
    """
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, _UNSEEN)[:, None, None, :]


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

    def forward(self, states: Tensor, bias: Tensor | None, first_row: int = 0) -> Tensor:
        """One layer over ``states``.

        :param states: *Shape:* (batch, tokens, hidden).
        :param bias: *Shape:* broadcastable to (batch, heads, rows, tokens); None where nothing is masked.
        :param first_row: rows below it are read as keys and values but not computed.
        :return: *Shape:* (batch, tokens - first_row, hidden).
        """
        batch, tokens, width = states.shape
        head_width = width // self.n_heads
        if first_row == 0:
            query, key, value = self.qkv(states).view(batch, tokens, 3, self.n_heads, head_width).unbind(2)
        else:
            query = F.linear(states[:, first_row:], self.qkv.weight[:width], self.qkv.bias[:width])
            query = query.view(batch, tokens - first_row, self.n_heads, head_width)
            key_value = F.linear(states, self.qkv.weight[width:], self.qkv.bias[width:])
            key, value = key_value.view(batch, tokens, 2, self.n_heads, head_width).unbind(2)
        # Written out: on CPU this is faster in training than scaled_dot_product_attention, see docs/decisions.
        scores = (query.transpose(1, 2) * head_width**-0.5) @ key.permute(0, 2, 3, 1)  # (batch, heads, rows, tokens)
        if bias is not None:
            scores = scores + bias.to(scores.dtype)
        mixed = scores.softmax(-1) @ value.transpose(1, 2)  # (batch, heads, rows, head_width)
        mixed = mixed.transpose(1, 2).reshape(batch, tokens - first_row, width)
        rows = cast(Tensor, self.attention_norm(states[:, first_row:] + self.attention_out(mixed)))
        widened = F.gelu(self.feed_in(rows), approximate=self.gelu_form)
        return cast(Tensor, self.feed_norm(rows + self.feed_out(widened)))
