"""XLNet's layers: attention by relative position and segment (Yang et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.families.xlnet import XlnetShape
from deformer_qa.reader.networks.layers import Context, Table
from deformer_qa.reader.networks.network import Network, padding_bias
from deformer_qa.reader.networks.placement import Placement


@dataclass(frozen=True)
class RelativeContext(Context):
    """The context of XLNet's layers: distances and segments of all pairs of rows.

    :ivar waves: *Shape:* (2 * rows - 1, hidden); sinusoids of the distances 1 - rows to rows - 1
    :ivar distances: *Shape:* (batch or 1, 1, rows, keys), int64; rows of ``waves``
    :ivar differ: *Shape:* (batch or 1, 1, rows, keys), bool; whether row and key are of different segments
    """

    waves: Tensor
    distances: Tensor
    differ: Tensor


class XlnetLayer(nn.Module):
    """The content stream of XLNet, the only one used after training."""

    def __init__(self, shape: BackboneShape) -> None:
        super().__init__()
        width, self.n_heads = shape.hidden_width, shape.n_heads
        of_heads = (self.n_heads, width // self.n_heads)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.distance_key = nn.Linear(width, width, bias=False)
        self.segment_key = nn.Parameter(torch.zeros(2, *of_heads))  # for the same segment, for another
        self.content_bias = nn.Parameter(torch.zeros(of_heads))
        self.distance_bias = nn.Parameter(torch.zeros(of_heads))
        self.segment_bias = nn.Parameter(torch.zeros(of_heads))
        self.attention_out = nn.Linear(width, width, bias=False)
        self.attention_norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.feed_in = nn.Linear(width, shape.feed_forward_width)
        self.feed_out = nn.Linear(shape.feed_forward_width, width)
        self.feed_norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.gelu_form = shape.gelu_form

    def forward(self, states: Tensor, context: RelativeContext, rows: slice | None = None) -> Tensor:
        """As ``TransformerLayer.forward``."""
        batch, tokens, width = states.shape
        rows = rows or slice(None)
        scale = (width // self.n_heads) ** -0.5
        query_weight, key_value_weight = self.qkv.weight[:width], self.qkv.weight[width:]
        key, value = F.linear(states, key_value_weight).view(batch, tokens, 2, self.n_heads, -1).unbind(2)
        states = states[:, rows]
        n_rows = states.shape[1]
        query = F.linear(states, query_weight).view(batch, n_rows, self.n_heads, -1)

        def asked(bias: Tensor) -> Tensor:
            biased: Tensor = (query + bias) * scale
            return biased.transpose(1, 2)  # (batch, heads, rows, head_width)

        scores = asked(self.content_bias) @ key.permute(0, 2, 3, 1)  # (batch, heads, rows, keys)
        distance_key = self.distance_key(context.waves).view(-1, self.n_heads, width // self.n_heads)
        by_distance = asked(self.distance_bias) @ distance_key.permute(1, 2, 0)  # (batch, heads, rows, 2 * keys - 1)
        chosen = context.distances[:, :, rows].expand(batch, self.n_heads, -1, -1)
        by_segment = asked(self.segment_bias) @ self.segment_key.permute(1, 2, 0)  # (batch, heads, rows, 2)
        same, other = by_segment[..., :1], by_segment[..., 1:]
        scores = scores + by_distance.gather(3, chosen) + torch.where(context.differ[:, :, rows], other, same)
        if context.bias is not None:
            scores = scores + context.bias.to(scores.dtype)
        mixed = scores.softmax(-1) @ value.transpose(1, 2)  # (batch, heads, rows, head_width)
        mixed = mixed.transpose(1, 2).reshape(batch, n_rows, width)
        attended = cast(Tensor, self.attention_norm(states + self.attention_out(mixed)))
        widened = F.gelu(self.feed_in(attended), approximate=self.gelu_form)
        return cast(Tensor, self.feed_norm(attended + self.feed_out(widened)))


class _Words(nn.Module):
    """XLNet's layer 0: only word embeddings, since its layers see distances and segments themselves."""

    def __init__(self, shape: BackboneShape) -> None:
        super().__init__()
        self.words = Table(shape.vocabulary, shape.hidden_width)

    def forward(self, token_ids: Tensor, token_types: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.words(token_ids))


class XlnetNetwork(Network):
    """Makes the modules of XLNet."""

    def embeddings(self, shape: BackboneShape) -> nn.Module:
        """Word embeddings."""
        return _Words(shape)

    def layer(self, shape: BackboneShape, index: int) -> nn.Module:
        """All layers are alike."""
        return XlnetLayer(shape)

    def context(self, shape: BackboneShape, placement: Placement) -> RelativeContext:
        """Distances and segments of all pairs of rows."""
        n_rows = placement.positions.shape[1]
        device = placement.positions.device
        reach = cast(XlnetShape, shape).longest_distance or n_rows
        distance = torch.arange(1 - n_rows, n_rows, device=device).clamp(-reach, reach)
        steps = torch.arange(0, shape.hidden_width, 2, device=device) / shape.hidden_width
        angles = distance[:, None] * (1 / 10_000.0**steps)  # the wave lengths of Vaswani et al. (2017)
        apart = placement.positions[:, :, None] - placement.positions[:, None]
        return RelativeContext(
            bias=padding_bias(placement),
            waves=torch.cat([angles.sin(), angles.cos()], dim=1),
            distances=(apart + n_rows - 1)[:, None],
            differ=(placement.segments[:, :, None] != placement.segments[:, None])[:, None],
        )
