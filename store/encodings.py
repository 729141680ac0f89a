"""How states become bytes and states again: one class per encoding, named in the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store.errors import InvalidRecord

DEFAULT_ENCODING = "int8"


@dataclass(frozen=True)
class EncodedStates:
    """The states of one row as they lie on disk.

    ``values``: *Shape* (n_tokens, hidden_width), the encoding's dtype. ``scales``: *Shape* (n_tokens,), float32, one
    factor per token, or (0,) where the encoding has none.
    """

    values: NDArray[np.generic]
    scales: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes


class Encoding(Protocol):
    """An encoding of states: ``decode(encode(states))`` is close to ``states``."""

    name: str
    dtype: np.dtype[np.generic]
    has_scales: bool

    def encode(self, states: NDArray[np.float32]) -> EncodedStates: ...

    def decode(self, encoded: EncodedStates) -> NDArray[np.float32]: ...


class Int8:
    """Symmetric int8 per token: ``scale = absmax / 127``; the error of a value is at most half a scale."""

    name = "int8"
    dtype: np.dtype[np.generic] = np.dtype("i1")
    has_scales = True

    def encode(self, states: NDArray[np.float32]) -> EncodedStates:
        """States (n_tokens, hidden_width) as int8 with a float32 scale per token."""
        scales = (np.abs(states).max(axis=1) / np.float32(127)).astype("<f4")
        divisors = np.where(scales > 0, scales, np.float32(1))  # a token of zeros has scale 0 and stays zeros
        values = np.clip(np.rint(states / divisors[:, None]), -127, 127).astype(np.int8)
        values[scales == 0] = 0
        return EncodedStates(values, scales)

    def decode(self, encoded: EncodedStates) -> NDArray[np.float32]:
        """*Shape:* (n_tokens, hidden_width), float32."""
        decoded: NDArray[np.float32] = np.multiply(encoded.values, encoded.scales[:, None], dtype=np.float32)
        return decoded


class Float16:
    """IEEE half precision; values beyond its range are refused, not clamped."""

    name = "fp16"
    dtype: np.dtype[np.generic] = np.dtype("<f2")
    has_scales = False

    def encode(self, states: NDArray[np.float32]) -> EncodedStates:
        """States (n_tokens, hidden_width) as float16."""
        largest = float(np.abs(states).max(initial=0.0))
        if largest > float(np.finfo(np.float16).max):
            raise InvalidRecord(f"states: found a value of {largest:g}, fp16 holds up to 65504. Use int8 instead.")
        return EncodedStates(states.astype("<f2"), np.empty(0, dtype="<f4"))

    def decode(self, encoded: EncodedStates) -> NDArray[np.float32]:
        """*Shape:* (n_tokens, hidden_width), float32."""
        return encoded.values.astype(np.float32)


_ENCODINGS: dict[str, Encoding] = {encoding.name: encoding for encoding in (Int8(), Float16())}
ENCODING_NAMES = tuple(_ENCODINGS)


def encoding_named(name: str) -> Encoding:
    """The encoding of this name.

    :raises InvalidRecord: for a name that this version does not know.
    """
    if name not in _ENCODINGS:
        raise InvalidRecord(f"encoding: found {name!r}, expected one of {', '.join(ENCODING_NAMES)}.")
    return _ENCODINGS[name]
