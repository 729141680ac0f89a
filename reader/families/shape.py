"""The shape of a backbone: the numbers of a configuration that determine its tensors."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class BackboneShape:
    """The numbers that determine a backbone's tensors; families with more numbers have a subclass.

    :ivar family: the name of an adapter in ``reader.families``
    :ivar gelu_form: ``none`` (the exact, erf form) or ``tanh``, as ``torch.nn.functional.gelu`` names them
    :ivar n_positions: number of position embeddings, or of positions trained on; 0 for no limit
    :ivar n_token_types: 0 if the family has none
    """

    family: str
    n_layers: int
    hidden_width: int
    n_heads: int
    feed_forward_width: int
    vocabulary: int
    n_positions: int
    n_token_types: int
    layer_norm_eps: float
    gelu_form: str
    padding_id: int

    @property
    def longest_text(self) -> int:
        """The most tokens of a text, including special tokens."""
        return self.n_positions or sys.maxsize

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the encoder id."""
        return asdict(self)


def shapes_like_bert(shape: BackboneShape, table_width: int = 0) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of embeddings and layers like BERT's.

    :param table_width: of the embedding tables; 0 is the hidden width.
    """
    table = table_width or shape.hidden_width
    tables = {"words": shape.vocabulary, "positions": shape.n_positions, "token_types": shape.n_token_types}
    embeddings = {f"embeddings.{name}.weight": (rows, table) for name, rows in tables.items() if rows}
    norm = {f"embeddings.norm.{kind}": (table,) for kind in ("weight", "bias")}
    layers = {
        f"layers.{index}.{name}": one for index in range(shape.n_layers) for name, one in layer_shapes(shape).items()
    }
    return {**embeddings, **norm, **layers}


def layer_shapes(shape: BackboneShape) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of one layer like BERT's."""
    width, inner = shape.hidden_width, shape.feed_forward_width
    maps = {
        "qkv": (3 * width, width),
        "attention_out": (width, width),
        "feed_in": (inner, width),
        "feed_out": (width, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, matrix in maps.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = matrix, matrix[:1]
    for name in ("attention_norm", "feed_norm"):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)
    return shapes
