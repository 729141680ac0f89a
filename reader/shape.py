"""How large a backbone is, in the terms every family shares."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class BackboneShape:
    """The numbers that fix a backbone's tensors.

    :ivar family: name of the adapter in ``reader.families``
    :ivar gelu_form: ``none`` (the exact, erf form) or ``tanh``, as ``torch.nn.functional.gelu`` names them
    :ivar n_positions: position embeddings there are; a text, special tokens included, cannot be longer
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

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's JSON."""
        return asdict(self)
