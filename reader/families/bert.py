"""BERT and what is built exactly like it (MiniLM among them): Hugging Face's names in, ours out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.shape import BackboneShape

_GELU_FORMS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "words.weight",
    "embeddings.position_embeddings.weight": "positions.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "embedding_norm.weight",
    "embeddings.LayerNorm.bias": "embedding_norm.bias",
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


class BertFamily:
    """The adapter for ``model_type`` "bert"."""

    model_types: tuple[str, ...] = ("bert",)

    def shape(self, config: Mapping[str, Any]) -> BackboneShape:
        """The shape in a BERT ``config.json``; raises UnsupportedModel for relative positions or another activation."""
        positions = config.get("position_embedding_type", "absolute")
        if positions != "absolute":
            raise UnsupportedModel(f'config.json: found position embeddings "{positions}", supported are: absolute.')
        activation = str(config.get("hidden_act", "gelu"))
        if activation not in _GELU_FORMS:
            known = ", ".join(_GELU_FORMS)
            raise UnsupportedModel(f'config.json: found activation "{activation}", supported are: {known}.')
        missing = [key for key in _NEEDED if not isinstance(config.get(key), int)]
        if missing:
            raise UnsupportedModel(f"config.json: no number under {', '.join(missing)}; it is not a BERT's.")
        return BackboneShape(
            family="bert",
            n_layers=int(config["num_hidden_layers"]),
            hidden_width=int(config["hidden_size"]),
            n_heads=int(config["num_attention_heads"]),
            feed_forward_width=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            n_positions=int(config["max_position_embeddings"]),
            n_token_types=int(config.get("type_vocab_size", 2)),
            layer_norm_eps=float(config.get("layer_norm_eps", 1e-12)),
            gelu_form=_GELU_FORMS[activation],
            padding_id=int(config.get("pad_token_id") or 0),
        )

    def backbone_tensors(self, tensors: Mapping[str, Tensor], shape: BackboneShape) -> dict[str, Tensor]:
        """Hugging Face's BERT tensors under our names; query, key and value become one matrix, in that order."""
        prefix = "bert." if any(name.startswith("bert.") for name in tensors) else ""

        def foreign(name: str) -> Tensor:
            for spelling in (name, name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(".bias", ".beta")):
                if prefix + spelling in tensors:
                    return tensors[prefix + spelling]
            raise UnsupportedModel(f'weights: no tensor "{prefix + name}"; this is not a complete BERT model.')

        ours = {our_name: foreign(name) for name, our_name in _EMBEDDINGS.items()}
        for index in range(shape.n_layers):
            there, here = f"encoder.layer.{index}.", f"layers.{index}."
            for kind in ("weight", "bias"):
                ours[f"{here}qkv.{kind}"] = torch.cat(
                    [foreign(f"{there}attention.self.{part}.{kind}") for part in ("query", "key", "value")]
                )
                for name, our_name in _IN_LAYER.items():
                    ours[f"{here}{our_name}.{kind}"] = foreign(f"{there}{name}.{kind}")
        return ours

    def span_head(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """The head of ``BertForQuestionAnswering``: start logits in row 0, end logits in row 1."""
        if "qa_outputs.weight" not in tensors:
            return None
        return {"weight": tensors["qa_outputs.weight"], "bias": tensors["qa_outputs.bias"]}
