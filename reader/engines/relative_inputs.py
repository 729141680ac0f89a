"""What XLNet's graphs read beside states: keys of distances, and the segment of each row."""

from __future__ import annotations

from typing import cast

import numpy as np

from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.families.xlnet import CLASSIFICATION_SEGMENT, XlnetShape
from deformer_qa.reader.weights import Array, Arrays

SEGMENTS, DISTANCE_KEY = "segments", "distance_key"
"""The names of inputs; the second follows the prefix of a layer."""
N_SEGMENTS = 3
_FEWEST_ROWS = 64


class RelativeInputs:
    """The keys of distances, computed for as many rows as were ever needed. Thread-safe."""

    def __init__(self, shape: BackboneShape, weights: Arrays) -> None:
        self._shape, self._weights = cast(XlnetShape, shape), weights
        self._names = [name for name in weights if name.endswith(f".{DISTANCE_KEY}.weight")]
        self._known = (0, dict[str, Array]())  # for how many rows, and the keys; replaced as one

    def of(self, *n_rows: int) -> dict[str, Array]:
        """The inputs for texts with so many rows, read one after the other.

        ``segments``: *Shape:* (rows, 3), 1 at the row's own; the last row of a text is its classification token's.
        ``distance_key`` of each layer: *Shape:* (heads, head width, 2 * reach), for the distances reach to 1 - reach.
        """
        if not self._names:
            return {}
        reach, keys = self._known
        if sum(n_rows) > reach:
            reach = max(_FEWEST_ROWS, 1 << (sum(n_rows) - 1).bit_length())
            waves = self._waves(np.arange(reach, -reach, -1, dtype=np.float32))
            keys = {name.removesuffix(".weight"): self._key(waves, self._weights[name]) for name in self._names}
            self._known = reach, keys
        numbers = [[number] * (n - 1) + [CLASSIFICATION_SEGMENT] for number, n in enumerate(n_rows)]
        return {SEGMENTS: np.eye(N_SEGMENTS, dtype=np.float32)[np.concatenate(numbers)], **keys}

    def _waves(self, distances: Array) -> Array:
        """As ``networks.xlnet.RelativeContext.waves``, and rounded as there."""
        width, longest = self._shape.hidden_width, self._shape.longest_distance
        if longest:
            distances = distances.clip(-longest, longest)
        steps = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
        angles = distances[:, None] * (1 / np.float32(10_000) ** steps)
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def _key(self, waves: Array, weights: Array) -> Array:
        keys = (waves @ weights.T).reshape(len(waves), self._shape.n_heads, -1)
        return np.ascontiguousarray(keys.transpose(1, 2, 0))
