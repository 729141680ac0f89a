"""ModernBERT: norm first, gated feed-forward, rotary positions, and windows in most layers (Warner et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families.family import (
    Family,
    ForeignTensors,
    expect,
    gelu_form,
    head_divides,
    numbers,
)
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.weights import Array, Arrays

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

    def backbone_tensors(self, tensors: Arrays, shape: BackboneShape) -> dict[str, Array]:
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
                both = np.split(foreign[f"{there}mlp.Wi.{kind}"], 2)
                ours[f"{here}feed_in.{kind}"], ours[f"{here}feed_gate.{kind}"] = both
        return ours

    def layer_shapes(self, shape: BackboneShape) -> dict[str, tuple[int, ...]]:
        """None: torch checks them."""
        return {}

    def span_head(self, tensors: Arrays, config: Mapping[str, Any]) -> dict[str, Array] | None:
        """The head of ``ModernBertForQuestionAnswering``; heads of classifiers have the same names."""
        if "ModernBertForQuestionAnswering" not in (config.get("architectures") or []):
            return None
        ours = {name.removeprefix("head."): one for name, one in tensors.items() if name.startswith("head.")}
        return ours | {f"logits.{kind}": tensors[f"classifier.{kind}"] for kind in ("weight", "bias")}


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
