"""BERT and models built exactly like it, such as MiniLM: translates Hugging Face's names into ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from deformer_qa.reader.families.family import Family, ForeignTensors, expect, gelu_form, head_divides, numbers
from deformer_qa.reader.families.shape import BackboneShape, shapes_like_bert
from deformer_qa.reader.weights import Array, Arrays

_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "embeddings.words.weight",
    "embeddings.position_embeddings.weight": "embeddings.positions.weight",
    "embeddings.token_type_embeddings.weight": "embeddings.token_types.weight",
    "embeddings.LayerNorm.weight": "embeddings.norm.weight",
    "embeddings.LayerNorm.bias": "embeddings.norm.bias",
}
_NEEDED = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
)
_IN_LAYER = {
    "attention.output.dense": "attention_out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feed_in",
    "output.dense": "feed_out",
    "output.LayerNorm": "feed_norm",
}


class BertFamily(Family):
    """The adapter for BERT; those for ELECTRA and RoBERTa override the differences."""

    model_types: ClassVar[tuple[str, ...]] = ("bert",)
    pair_has_types: ClassVar[bool] = True
    title: ClassVar[str] = "BERT"
    prefix: ClassVar[str] = "bert."

    def shape(self, config: Mapping[str, Any]) -> BackboneShape:
        """The shape in a ``config.json``; refuses relative positions, decoders and other activations."""
        expect(config, "position_embedding_type", "absolute", "position embeddings")
        expect(config, "is_decoder", False, "is_decoder")
        form = gelu_form(config, "hidden_act")
        n_layers, width, n_heads, inner, vocabulary, n_positions = numbers(config, _NEEDED, f"a {self.title}")
        head_divides(width, n_heads)
        return BackboneShape(
            family=self.model_types[0],
            n_layers=n_layers,
            hidden_width=width,
            n_heads=n_heads,
            feed_forward_width=inner,
            vocabulary=vocabulary,
            n_positions=n_positions,
            n_token_types=int(config.get("type_vocab_size", 2)),
            layer_norm_eps=float(config.get("layer_norm_eps", 1e-12)),
            gelu_form=form,
            padding_id=int(config.get("pad_token_id") or 0),
        )

    def backbone_shapes(self, shape: BackboneShape) -> dict[str, tuple[int, ...]]:
        """Those of BERT."""
        return shapes_like_bert(shape)

    def backbone_tensors(self, tensors: Arrays, shape: BackboneShape) -> dict[str, Array]:
        """Hugging Face's tensors under our names; query, key and value become one matrix, in that order."""
        foreign = ForeignTensors(tensors, self.prefix, f"{self.title} model")
        ours = {our_name: foreign[name] for name, our_name in _EMBEDDINGS.items()}
        for index in range(shape.n_layers):
            there, here = f"encoder.layer.{index}.", f"layers.{index}."
            for kind in ("weight", "bias"):
                ours[f"{here}qkv.{kind}"] = np.concatenate(
                    [foreign[f"{there}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
                )
                for name, our_name in _IN_LAYER.items():
                    ours[f"{here}{our_name}.{kind}"] = foreign[f"{there}{name}.{kind}"]
        return ours
