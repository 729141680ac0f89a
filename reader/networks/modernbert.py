"""ModernBERT's layers: norm first, gated feed-forward, rotary positions, and windows in most layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families.modernbert import ModernBertShape
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.networks.layers import UNSEEN, Context, Table
from deformer_qa.reader.networks.network import Network, padding_bias
from deformer_qa.reader.networks.placement import Placement


def _norm(shape: ModernBertShape) -> nn.LayerNorm:
    """A layer norm like all in this model."""
    return nn.LayerNorm(shape.hidden_width, eps=shape.layer_norm_eps, bias=shape.norm_bias)


@dataclass(frozen=True)
class _Sight(Context):
    """The context of one kind of layer: the bias, and the rotation of each row's query and key.

    :ivar cosine, sine: *Shape:* (batch or 1, rows, 1, head width)
    """

    cosine: Tensor
    sine: Tensor


@dataclass(frozen=True)
class RotaryContext(Context):
    """The contexts of layers without a window (``bias`` is theirs) and of layers with one."""

    everywhere: _Sight
    nearby: _Sight


class ModernBertLayer(nn.Module):
    """One layer; the first has no norm before its attention, because the embeddings end with one."""

    def __init__(self, shape: ModernBertShape, index: int) -> None:
        super().__init__()
        width, inner = shape.hidden_width, shape.feed_forward_width
        self.n_heads, self.windowed, self.gelu_form = shape.n_heads, shape.windowed[index], shape.gelu_form
        self.attention_norm = _norm(shape) if index else nn.Identity()
        self.qkv = nn.Linear(width, 3 * width, bias=shape.attention_biased)
        self.attention_out = nn.Linear(width, width, bias=shape.attention_biased)
        self.feed_norm = _norm(shape)
        self.feed_in = nn.Linear(width, inner, bias=shape.feed_forward_bias)
        self.feed_gate = nn.Linear(width, inner, bias=shape.feed_forward_bias)
        self.feed_out = nn.Linear(inner, width, bias=shape.feed_forward_bias)

    def forward(self, states: Tensor, context: RotaryContext, rows: slice | None = None) -> Tensor:
        """As ``TransformerLayer.forward``."""
        sight = context.nearby if self.windowed else context.everywhere
        batch, tokens, width = states.shape
        rows = rows or slice(None)
        normed = self.attention_norm(states)
        matrix, bias = self.qkv.weight, self.qkv.bias
        own, others = (None, None) if bias is None else (bias[:width], bias[width:])
        query = F.linear(normed[:, rows], matrix[:width], own).view(batch, -1, self.n_heads, width // self.n_heads)
        key_value = F.linear(normed, matrix[width:], others)
        key, value = key_value.view(batch, tokens, 2, self.n_heads, width // self.n_heads).unbind(2)
        query = _turned(query, sight.cosine[:, rows], sight.sine[:, rows]) * (width // self.n_heads) ** -0.5
        key = _turned(key, sight.cosine, sight.sine)
        scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)  # (batch, heads, rows, keys)
        if sight.bias is not None:
            unseen = sight.bias if sight.bias.shape[2] == 1 else sight.bias[:, :, rows]
            scores = scores + unseen.to(scores.dtype)
        mixed = scores.softmax(-1) @ value.transpose(1, 2)  # (batch, heads, rows, head_width)
        attended = states[:, rows] + self.attention_out(mixed.transpose(1, 2).flatten(2))
        normed = self.feed_norm(attended)
        widened = F.gelu(self.feed_in(normed), approximate=self.gelu_form) * self.feed_gate(normed)
        return cast(Tensor, attended + self.feed_out(widened))


def _turned(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021): the two halves of a head are the coordinates to rotate.

    :param heads: *Shape:* (batch, rows, heads, head width).
    """
    left, right = heads.chunk(2, dim=-1)
    return (heads * cosine + torch.cat([-right, left], dim=-1) * sine).to(heads.dtype)


class _Words(nn.Module):
    """Layer 0: word embeddings and a norm."""

    def __init__(self, shape: ModernBertShape) -> None:
        super().__init__()
        self.words = Table(shape.vocabulary, shape.hidden_width)
        self.norm = _norm(shape)

    def forward(self, token_ids: Tensor, token_types: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.norm(self.words(token_ids)))


class _SpanHead(nn.Module):
    """A dense layer and a norm before the logits."""

    def __init__(self, shape: ModernBertShape) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.hidden_width, shape.hidden_width, bias=shape.head_bias)
        self.norm = _norm(shape)
        self.logits = nn.Linear(shape.hidden_width, 2)
        nn.init.normal_(self.logits.weight, std=0.02)
        nn.init.zeros_(self.logits.bias)
        self.gelu_form = shape.head_gelu_form

    def forward(self, states: Tensor) -> Tensor:
        return cast(Tensor, self.logits(self.norm(F.gelu(self.dense(states), approximate=self.gelu_form))))


class ModernBertNetwork(Network):
    """Makes the modules of ModernBERT."""

    def embeddings(self, shape: BackboneShape) -> nn.Module:
        """Word embeddings and a norm."""
        return _Words(cast(ModernBertShape, shape))

    def layer(self, shape: BackboneShape, index: int) -> nn.Module:
        """A layer; the first lacks one norm, and each has its own window. Raises UnsupportedModel for a missing one."""
        if not 0 <= index < shape.n_layers:
            raise UnsupportedModel(f"a ModernBERT of {shape.n_layers} layers has no layer {index + 1} to build.")
        return ModernBertLayer(cast(ModernBertShape, shape), index)

    def finish(self, shape: BackboneShape) -> nn.Module:
        """The norm after the last layer, because every layer only begins with its own."""
        return _norm(cast(ModernBertShape, shape))

    def head(self, shape: BackboneShape) -> nn.Module:
        """Dense, GELU, norm, logits."""
        return _SpanHead(cast(ModernBertShape, shape))

    def context(self, shape: BackboneShape, placement: Placement) -> RotaryContext:
        """Rotations for both kinds of layers, and the windows."""
        about = cast(ModernBertShape, shape)
        positions = placement.positions
        bias = near = padding_bias(placement)
        if any(about.windowed) and positions.shape[1] - 1 > about.window:
            far = (positions[:, :, None] - positions[:, None]).abs() > about.window
            near = torch.zeros(far.shape, device=far.device).masked_fill(far, UNSEEN)[:, None]
            near = near if bias is None else near + bias
        width = shape.hidden_width // shape.n_heads
        return RotaryContext(
            bias,
            everywhere=_sight(bias, positions, about.rotary_base, width),
            nearby=_sight(near, positions, about.windowed_rotary_base, width),
        )


def _sight(bias: Tensor | None, positions: Tensor, base: float, head_width: int) -> _Sight:
    steps = torch.arange(0, head_width, 2, device=positions.device) / head_width
    angles = positions[..., None] * (1.0 / base**steps)
    angles = torch.cat([angles, angles], dim=-1)[:, :, None]
    return _Sight(bias, angles.cos(), angles.sin())
