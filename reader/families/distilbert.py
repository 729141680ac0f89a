"""DistilBERT: BERT's layers under other names, without token types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from deformer_qa.reader.families.family import Family, ForeignTensors, gelu_form, head_divides, numbers
from deformer_qa.reader.families.shape import BackboneShape, shapes_like_bert
from deformer_qa.reader.weights import Array, Arrays

_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "embeddings.words.weight",
    "embeddings.position_embeddings.weight": "embeddings.positions.weight",
    "embeddings.LayerNorm.weight": "embeddings.norm.weight",
    "embeddings.LayerNorm.bias": "embeddings.norm.bias",
}
_NEEDED = ("n_layers", "dim", "n_heads", "hidden_dim", "vocab_size", "max_position_embeddings")
_IN_LAYER = {
    "attention.out_lin": "attention_out",
    "sa_layer_norm": "attention_norm",
    "ffn.lin1": "feed_in",
    "ffn.lin2": "feed_out",
    "output_layer_norm": "feed_norm",
}


class DistilBertFamily(Family):
    """The adapter for DistilBERT; its weights hold learned and sinusoidal positions alike as a table."""

    model_types: ClassVar[tuple[str, ...]] = ("distilbert",)

    def shape(self, config: Mapping[str, Any]) -> BackboneShape:
        """The shape in a DistilBERT ``config.json``; raises UnsupportedModel for another activation."""
        form = gelu_form(config, "activation")
        n_layers, width, n_heads, inner, vocabulary, n_positions = numbers(config, _NEEDED, "a DistilBERT")
        head_divides(width, n_heads)
        return BackboneShape(
            family="distilbert",
            n_layers=n_layers,
            hidden_width=width,
            n_heads=n_heads,
            feed_forward_width=inner,
            vocabulary=vocabulary,
            n_positions=n_positions,
            n_token_types=0,
            layer_norm_eps=1e-12,
            gelu_form=form,
            padding_id=int(config.get("pad_token_id") or 0),
        )

    def backbone_shapes(self, shape: BackboneShape) -> dict[str, tuple[int, ...]]:
        """Those of BERT."""
        return shapes_like_bert(shape)

    def backbone_tensors(self, tensors: Arrays, shape: BackboneShape) -> dict[str, Array]:
        """Hugging Face's tensors under our names; query, key and value become one matrix, in that order."""
        foreign = ForeignTensors(tensors, "distilbert.", "DistilBERT model")
        ours = {our_name: foreign[name] for name, our_name in _EMBEDDINGS.items()}
        for index in range(shape.n_layers):
            there, here = f"transformer.layer.{index}.", f"layers.{index}."
            for kind in ("weight", "bias"):
                parts = [foreign[f"{there}attention.{part}_lin.{kind}"] for part in "qkv"]
                ours[f"{here}qkv.{kind}"] = np.concatenate(parts)
                for name, our_name in _IN_LAYER.items():
                    ours[f"{here}{our_name}.{kind}"] = foreign[f"{there}{name}.{kind}"]
        return ours
