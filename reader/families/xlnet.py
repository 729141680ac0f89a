"""XLNet: attention by relative position and segment (Yang et al. 2019); the classification token comes last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families.family import (
    Family,
    ForeignTensors,
    Pair,
    expect,
    gelu_form,
    head_divides,
    numbers,
    padding_bias,
)
from deformer_qa.reader.layers import BackboneShape, Context, Table
from deformer_qa.reader.placement import CLASSIFICATION_SEGMENT, Placement

_NEEDED = ("n_layer", "d_model", "n_head", "d_inner", "vocab_size")
_AS_THEY_ARE = {
    "rel_attn.layer_norm": "attention_norm",
    "ff.layer_1": "feed_in",
    "ff.layer_2": "feed_out",
    "ff.layer_norm": "feed_norm",
}
_OF_HEADS = {"r_w_bias": "content_bias", "r_r_bias": "distance_bias", "r_s_bias": "segment_bias"}


@dataclass(frozen=True)
class XlnetShape(BackboneShape):
    """:ivar longest_distance: larger distances are clipped to it; 0 for no clipping"""

    longest_distance: int


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


class XlnetFamily(Family):
    """The adapter for XLNet."""

    model_types: ClassVar[tuple[str, ...]] = ("xlnet",)
    positions: ClassVar[str] = "relative"
    classification_last: ClassVar[bool] = True
    passage_first: ClassVar[bool] = True

    def shape(self, config: Mapping[str, Any]) -> XlnetShape:
        """The shape in an XLNet ``config.json``; refuses settings that Hugging Face has for Transformer-XL."""
        expect(config, "attn_type", "bi", "attn_type")
        expect(config, "bi_data", False, "bi_data")
        n_layers, width, n_heads, inner, vocabulary = numbers(config, _NEEDED, "an XLNet")
        head_divides(width, n_heads)
        expect({"d_head": config.get("d_head") or width // n_heads}, "d_head", width // n_heads, "d_head")
        return XlnetShape(
            family="xlnet",
            n_layers=n_layers,
            hidden_width=width,
            n_heads=n_heads,
            feed_forward_width=inner,
            vocabulary=vocabulary,
            n_positions=0,
            n_token_types=0,
            layer_norm_eps=float(config.get("layer_norm_eps", 1e-12)),
            gelu_form=gelu_form(config, "ff_activation"),
            padding_id=int(config.get("pad_token_id") or 0),
            longest_distance=max(int(config.get("clamp_len", -1)), 0),
        )

    def backbone_tensors(self, tensors: Mapping[str, Tensor], shape: BackboneShape) -> dict[str, Tensor]:
        """Hugging Face's tensors under our names; its (hidden, heads, head width) become matrices of linear maps."""
        foreign = ForeignTensors(tensors, "transformer.", "XLNet model")
        ours = {"embeddings.words.weight": foreign["word_embedding.weight"]}
        for index in range(shape.n_layers):
            there, here = f"layer.{index}.", f"layers.{index}."
            attention = f"{there}rel_attn."
            matrix = {part: foreign[attention + part].flatten(1) for part in "qkvor"}
            ours[f"{here}qkv.weight"] = torch.cat([matrix[part].T for part in "qkv"])
            ours[f"{here}attention_out.weight"] = matrix["o"]
            ours[f"{here}distance_key.weight"] = matrix["r"].T.contiguous()
            ours[f"{here}segment_key"] = foreign[f"{attention}seg_embed"]
            for name, our_name in _OF_HEADS.items():
                ours[f"{here}{our_name}"] = foreign[attention + name]
            for name, our_name in _AS_THEY_ARE.items():
                for kind in ("weight", "bias"):
                    ours[f"{here}{our_name}.{kind}"] = foreign[f"{there}{name}.{kind}"]
        return ours

    def span_head(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """The head of ``XLNetForQuestionAnsweringSimple``; raises UnsupportedModel for the other, a beam search."""
        if any(name.startswith(("start_logits.", "end_logits.")) for name in tensors):
            raise UnsupportedModel(
                "weights: found the beam-search head of XLNetForQuestionAnswering, supported is that of "
                "XLNetForQuestionAnsweringSimple; fine-tune that one."
            )
        return super().span_head(tensors, config)

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

    def pair(self, question: Sequence[int], passage: Sequence[int], *, passage_first: bool) -> Pair:
        """One text <sep> the other <sep> <cls>; the ids given have <cls> in row 0."""
        first, second = (passage, question) if passage_first else (question, passage)
        ids = (*first[1:], *second[1:], first[0])
        types = (0,) * (len(first) - 1) + (1,) * (len(second) - 1) + (CLASSIFICATION_SEGMENT,)
        begin = 0 if passage_first else len(question) - 1
        return Pair(ids, types, (len(ids) - 1, *range(begin, begin + len(passage) - 1)))
