"""How large a backbone is, in the terms every family shares."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class BackboneShape:
    """The numbers that fix a backbone's tensors; a family that has more of them has a subclass with them.

    :ivar family: the name of an adapter in ``reader.families``
    :ivar gelu_form: ``none`` (the exact, erf form) or ``tanh``, as ``torch.nn.functional.gelu`` names them
    :ivar n_positions: position embeddings there are, or positions the model was trained on; 0 where nothing limits them
    :ivar n_token_types: 0 where the family has none
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
        """Tokens of a text at most, special tokens included."""
        return self.n_positions or sys.maxsize

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the encoder id."""
        return asdict(self)
