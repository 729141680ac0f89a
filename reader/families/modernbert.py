"""ModernBERT: norm first, gated feed-forward, rotary positions, and windows in most layers (Warner et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families.family import (
    Family,
    ForeignTensors,
    expect,
    gelu_form,
    head_divides,
    numbers,
    padding_bias,
)
from deformer_qa.reader.layers import UNSEEN, BackboneShape, Context, Table
from deformer_qa.reader.placement import Placement

_NEEDED = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "local_attention",
)
_EVERYWHERE, _NEARBY = "full_attention", "sliding_attention"
_IN_LAYER = {
    "attn_norm": "attention_norm",
    "attn.Wqkv": "qkv",
    "attn.Wo": "attention_out",
    "mlp_norm": "feed_norm",
    "mlp.Wo": "feed_out",
}


@dataclass(frozen=True)
class ModernBertShape(BackboneShape):
    """The shape of ModernBERT.

    :ivar windowed: for each layer, whether its rows see only nearby rows
    :ivar window: tokens on either side that such a layer sees
    :ivar rotary_base: of layers without a window
    :ivar windowed_rotary_base: of layers with a window
    :ivar norm_bias, attention_biased, feed_forward_bias, head_bias: whether these maps have biases
    :ivar head_gelu_form: of the span head, as ``gelu_form``
    """

    windowed: tuple[bool, ...]
    window: int
    rotary_base: float
    windowed_rotary_base: float
    norm_bias: bool
    attention_biased: bool
    feed_forward_bias: bool
    head_bias: bool
    head_gelu_form: str

    def norm(self) -> nn.LayerNorm:
        """A layer norm like all in this model."""
        return nn.LayerNorm(self.hidden_width, eps=self.layer_norm_eps, bias=self.norm_bias)


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
        self.attention_norm = shape.norm() if index else nn.Identity()
        self.qkv = nn.Linear(width, 3 * width, bias=shape.attention_biased)
        self.attention_out = nn.Linear(width, width, bias=shape.attention_biased)
        self.feed_norm = shape.norm()
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
        self.norm = shape.norm()

    def forward(self, token_ids: Tensor, token_types: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.norm(self.words(token_ids)))


class _SpanHead(nn.Module):
    """A dense layer and a norm before the logits."""

    def __init__(self, shape: ModernBertShape) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.hidden_width, shape.hidden_width, bias=shape.head_bias)
        self.norm = shape.norm()
        self.logits = nn.Linear(shape.hidden_width, 2)
        nn.init.normal_(self.logits.weight, std=0.02)
        nn.init.zeros_(self.logits.bias)
        self.gelu_form = shape.head_gelu_form

    def forward(self, states: Tensor) -> Tensor:
        return cast(Tensor, self.logits(self.norm(F.gelu(self.dense(states), approximate=self.gelu_form))))


class ModernBertFamily(Family):
    """The adapter for ModernBERT."""

    model_types: ClassVar[tuple[str, ...]] = ("modernbert",)
    positions: ClassVar[str] = "rotary"

    def shape(self, config: Mapping[str, Any]) -> ModernBertShape:
        """The shape in a ModernBERT ``config.json``; raises UnsupportedModel for scaled rotary positions."""
        n_layers, width, n_heads, inner, vocabulary, n_positions, reach = numbers(config, _NEEDED, "a ModernBERT")
        head_divides(width, 2 * n_heads)  # a head needs two halves, see _turned
        return ModernBertShape(
            family="modernbert",
            n_layers=n_layers,
            hidden_width=width,
            n_heads=n_heads,
            feed_forward_width=inner,
            vocabulary=vocabulary,
            n_positions=n_positions,
            n_token_types=0,
            layer_norm_eps=float(config.get("norm_eps", 1e-5)),
            gelu_form=gelu_form(config, "hidden_activation"),
            padding_id=int(config.get("pad_token_id") or 0),
            windowed=_windowed(config, n_layers),
            window=reach // 2,
            rotary_base=_rotary_base(config, _EVERYWHERE, "global_rope_theta", 160_000.0),
            windowed_rotary_base=_rotary_base(config, _NEARBY, "local_rope_theta", 10_000.0),
            norm_bias=bool(config.get("norm_bias", False)),
            attention_biased=bool(config.get("attention_bias", False)),
            feed_forward_bias=bool(config.get("mlp_bias", False)),
            head_bias=bool(config.get("classifier_bias", False)),
            head_gelu_form=gelu_form(config, "classifier_activation"),
        )

    def backbone_tensors(self, tensors: Mapping[str, Tensor], shape: BackboneShape) -> dict[str, Tensor]:
        """Hugging Face's tensors under our names; its first feed-forward matrix holds two."""
        about = cast(ModernBertShape, shape)
        foreign = ForeignTensors(tensors, "model.", "ModernBERT model")
        ours = {"embeddings.words.weight": foreign["embeddings.tok_embeddings.weight"]}
        biased = {
            "attn_norm": about.norm_bias,
            "attn.Wqkv": about.attention_biased,
            "attn.Wo": about.attention_biased,
            "mlp_norm": about.norm_bias,
            "mlp.Wo": about.feed_forward_bias,
        }
        for kind in ("weight", "bias") if about.norm_bias else ("weight",):
            ours[f"embeddings.norm.{kind}"] = foreign[f"embeddings.norm.{kind}"]
            ours[f"finish.{kind}"] = foreign[f"final_norm.{kind}"]
        for index in range(shape.n_layers):
            there = here = f"layers.{index}."
            for name, our_name in _IN_LAYER.items():
                if index or name != "attn_norm":
                    for kind in ("weight", "bias") if biased[name] else ("weight",):
                        ours[f"{here}{our_name}.{kind}"] = foreign[f"{there}{name}.{kind}"]
            for kind in ("weight", "bias") if about.feed_forward_bias else ("weight",):
                both = foreign[f"{there}mlp.Wi.{kind}"].chunk(2)
                ours[f"{here}feed_in.{kind}"], ours[f"{here}feed_gate.{kind}"] = both
        return ours

    def span_head(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """The head of ``ModernBertForQuestionAnswering``; heads of classifiers have the same names."""
        if "ModernBertForQuestionAnswering" not in (config.get("architectures") or []):
            return None
        ours = {name.removeprefix("head."): one for name, one in tensors.items() if name.startswith("head.")}
        return ours | {f"logits.{kind}": tensors[f"classifier.{kind}"] for kind in ("weight", "bias")}

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
        return cast(ModernBertShape, shape).norm()

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


def _windowed(config: Mapping[str, Any], n_layers: int) -> tuple[bool, ...]:
    """For each layer, whether it has a window; older files only say how often one has none."""
    kinds = config.get("layer_types")
    if kinds is None:
        (period,) = numbers({"global_attn_every_n_layers": 3, **config}, ["global_attn_every_n_layers"], "a ModernBERT")
        return tuple(index % period > 0 for index in range(n_layers))
    unknown = sorted({str(kind) for kind in kinds} - {_EVERYWHERE, _NEARBY})
    if unknown or len(kinds) != n_layers:
        found = ", ".join(unknown) or f"{len(kinds)} for {n_layers} layers"
        raise UnsupportedModel(f"config.json: found layer types {found}, supported are: {_EVERYWHERE}, {_NEARBY}.")
    return tuple(kind == _NEARBY for kind in kinds)


def _rotary_base(config: Mapping[str, Any], kind: str, old_key: str, default: float) -> float:
    expect(config, "rope_scaling", None, "rope_scaling")
    found = (config.get("rope_parameters") or {}).get(kind) or {}
    expect(found, "rope_type", "default", "rotary positions of type")
    base = found.get("rope_theta", config.get(old_key, default))
    if not isinstance(base, (int, float)):
        raise UnsupportedModel(f'config.json: found "{base}" under {old_key}, a number is expected.')
    return float(base)
