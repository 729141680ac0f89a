"""XLNet: attention by relative position and segment (Yang et al. 2019); the classification token comes last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families.family import (
    Family,
    ForeignTensors,
    Pair,
    expect,
    gelu_form,
    head_divides,
    numbers,
)
from deformer_qa.reader.families.shape import BackboneShape, layer_shapes
from deformer_qa.reader.weights import Array, Arrays

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


CLASSIFICATION_SEGMENT = 2
"""The segment of classification tokens after their text: they belong to neither text, as in XLNet's token types."""


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

    def backbone_shapes(self, shape: BackboneShape) -> dict[str, tuple[int, ...]]:
        """Those of word embeddings and layers."""
        of_layer = self.layer_shapes(shape).items()
        layers = {f"layers.{index}.{name}": one for index in range(shape.n_layers) for name, one in of_layer}
        return {"embeddings.words.weight": (shape.vocabulary, shape.hidden_width), **layers}

    def layer_shapes(self, shape: BackboneShape) -> dict[str, tuple[int, ...]]:
        """BERT's without biases in the attention, with keys and biases of distances and segments."""
        width, of_heads = shape.hidden_width, (shape.n_heads, shape.hidden_width // shape.n_heads)
        shapes = {**layer_shapes(shape), "distance_key.weight": (width, width), "segment_key": (2, *of_heads)}
        del shapes["qkv.bias"], shapes["attention_out.bias"]
        return shapes | dict.fromkeys(("content_bias", "distance_bias", "segment_bias"), of_heads)

    def backbone_tensors(self, tensors: Arrays, shape: BackboneShape) -> dict[str, Array]:
        """Hugging Face's tensors under our names; its (hidden, heads, head width) become matrices of linear maps."""
        foreign = ForeignTensors(tensors, "transformer.", "XLNet model")
        ours = {"embeddings.words.weight": foreign["word_embedding.weight"]}
        for index in range(shape.n_layers):
            there, here = f"layer.{index}.", f"layers.{index}."
            attention = f"{there}rel_attn."
            matrix = {part: foreign[attention + part] for part in "qkvor"}
            matrix = {part: one.reshape(len(one), -1) for part, one in matrix.items()}
            ours[f"{here}qkv.weight"] = np.concatenate([matrix[part].T for part in "qkv"])
            ours[f"{here}attention_out.weight"] = matrix["o"]
            ours[f"{here}distance_key.weight"] = np.ascontiguousarray(matrix["r"].T)
            ours[f"{here}segment_key"] = foreign[f"{attention}seg_embed"]
            for name, our_name in _OF_HEADS.items():
                ours[f"{here}{our_name}"] = foreign[attention + name]
            for name, our_name in _AS_THEY_ARE.items():
                for kind in ("weight", "bias"):
                    ours[f"{here}{our_name}.{kind}"] = foreign[f"{there}{name}.{kind}"]
        return ours

    def span_head(self, tensors: Arrays, config: Mapping[str, Any]) -> dict[str, Array] | None:
        """The head of ``XLNetForQuestionAnsweringSimple``; raises UnsupportedModel for the other, a beam search."""
        if any(name.startswith(("start_logits.", "end_logits.")) for name in tensors):
            raise UnsupportedModel(
                "weights: found the beam-search head of XLNetForQuestionAnswering, supported is that of "
                "XLNetForQuestionAnsweringSimple; fine-tune that one."
            )
        return super().span_head(tensors, config)

    def pair(self, question: Sequence[int], passage: Sequence[int], *, passage_first: bool) -> Pair:
        """One text <sep> the other <sep> <cls>; the ids given have <cls> in row 0."""
        first, second = (passage, question) if passage_first else (question, passage)
        ids = (*first[1:], *second[1:], first[0])
        types = (0,) * (len(first) - 1) + (1,) * (len(second) - 1) + (CLASSIFICATION_SEGMENT,)
        begin = 0 if passage_first else len(question) - 1
        return Pair(ids, types, (len(ids) - 1, *range(begin, begin + len(passage) - 1)))
