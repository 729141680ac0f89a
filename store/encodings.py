"""How states become bytes and states again: one class per encoding, named in the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store.codebook import VALUES_PER_CODE, Codebook
from deformer_qa.store.errors import InvalidRecord

DEFAULT_ENCODING = "int8"  # where the encoder comes without a codebook
INT4_GROUP = 32


@dataclass(frozen=True)
class EncodedStates:
    """The states of one row as they lie on disk.

    ``values``: *Shape* (n_tokens, value width), the encoding's dtype. ``scales``: *Shape* (n_tokens, scale width), its
    dtype of scales; no columns where the encoding has none. See ``Encoding.widths``.
    """

    values: NDArray[np.generic]
    scales: NDArray[np.floating]

    @property
    def n_bytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes


class Encoding(Protocol):
    """An encoding of states: ``decode(encode(states))`` is close to ``states``."""

    name: str
    dtype: np.dtype[np.generic]
    has_scales: bool
    scale_dtype: np.dtype[np.floating]

    def widths(self, hidden_width: int) -> tuple[int, int]:
        """How many values and how many scales a token takes.

        :raises InvalidRecord: where states of this width cannot be encoded so.
        """
        ...

    def encode(self, states: NDArray[np.float32]) -> EncodedStates:
        """States, *Shape* (n_tokens, hidden_width)."""
        ...

    def decode(self, encoded: EncodedStates) -> NDArray[np.float32]:
        """*Shape:* (n_tokens, hidden_width), float32."""
        ...


class Float16:
    """IEEE half precision; values beyond its range are refused, not clamped."""

    name = "fp16"
    dtype: np.dtype[np.generic] = np.dtype("<f2")
    has_scales = False
    scale_dtype: np.dtype[np.floating] = np.dtype("<f4")

    def widths(self, hidden_width: int) -> tuple[int, int]:
        return hidden_width, 0

    def encode(self, states: NDArray[np.float32]) -> EncodedStates:
        largest = float(np.abs(states).max(initial=0.0))
        if largest > float(np.finfo(np.float16).max):
            raise InvalidRecord(f"states: found a value of {largest:g}, fp16 holds up to 65504. Use int8 instead.")
        return EncodedStates(states.astype("<f2"), np.empty((len(states), 0), dtype="<f4"))

    def decode(self, encoded: EncodedStates) -> NDArray[np.float32]:
        return encoded.values.astype(np.float32)


class Int8:
    """Symmetric int8 per token: ``scale = absmax / 127``; the error of a value is at most half a scale."""

    name = "int8"
    dtype: np.dtype[np.generic] = np.dtype("i1")
    has_scales = True
    scale_dtype: np.dtype[np.floating] = np.dtype("<f4")

    def widths(self, hidden_width: int) -> tuple[int, int]:
        return hidden_width, 1

    def encode(self, states: NDArray[np.float32]) -> EncodedStates:
        scales = (np.abs(states).max(axis=1, keepdims=True) / np.float32(127)).astype("<f4")
        divisors = np.where(scales > 0, scales, np.float32(1))  # a token of zeros has scale 0 and stays zeros
        values = np.clip(np.rint(states / divisors), -127, 127).astype(np.int8)
        return EncodedStates(np.where(scales > 0, values, np.int8(0)), scales)

    def decode(self, encoded: EncodedStates) -> NDArray[np.float32]:
        decoded: NDArray[np.float32] = np.multiply(encoded.values, encoded.scales, dtype=np.float32)
        return decoded


class Int4:
    """Symmetric int4 per group of 32 neighbouring values: ``scale = absmax / 7``, in half precision.

    The error of a value is at most half a scale, and what rounding the scale takes from the largest. Two values share
    a byte, the first in its lower half, each plus 8.
    """

    name = "int4"
    dtype: np.dtype[np.generic] = np.dtype("u1")
    has_scales = True
    scale_dtype: np.dtype[np.floating] = np.dtype("<f2")

    def widths(self, hidden_width: int) -> tuple[int, int]:
        if hidden_width % 2:
            raise InvalidRecord(f"encoding int4: found states {hidden_width} wide, expected an even number. Use int8.")
        return hidden_width // 2, -(-hidden_width // INT4_GROUP)

    def encode(self, states: NDArray[np.float32]) -> EncodedStates:
        n_tokens, width = states.shape
        grouped = np.pad(states, ((0, 0), (0, -width % INT4_GROUP))).reshape(n_tokens, -1, INT4_GROUP)
        largest = np.abs(grouped).max(axis=2)
        if not (largest / 7 <= np.finfo(np.float16).max).all():
            raise InvalidRecord(
                f"states: found a value of {float(largest.max()):g}, int4 holds up to 458528. Use int8."
            )
        scales = (largest / np.float32(7)).astype("<f2")
        divisors = np.where(scales > 0, scales, np.float16(1)).astype(np.float32)[:, :, None]
        coded = np.where(scales[:, :, None] > 0, np.clip(np.rint(grouped / divisors), -7, 7), 0)
        halves = (coded.reshape(n_tokens, -1)[:, :width] + 8).astype(np.uint8)
        return EncodedStates(halves[:, ::2] | halves[:, 1::2] << 4, scales)

    def decode(self, encoded: EncodedStates) -> NDArray[np.float32]:
        packed: NDArray[np.uint8] = encoded.values.astype(np.uint8, copy=False)
        halves = np.stack((packed & 15, packed >> 4), axis=2).reshape(len(packed), -1)
        scales = np.repeat(encoded.scales.astype(np.float32), INT4_GROUP, axis=1)[:, : halves.shape[1]]
        return (halves.astype(np.float32) - 8) * scales


class ProductQuantised:
    """One byte for several values, by a codebook that the store keeps; see ``store.codebook``.

    Without a codebook it knows its shape only.
    """

    dtype: np.dtype[np.generic] = np.dtype("u1")
    has_scales = False
    scale_dtype: np.dtype[np.floating] = np.dtype("<f4")

    def __init__(self, name: str, codebook: Codebook | None = None) -> None:
        self.name = name
        self.values_per_code = VALUES_PER_CODE[name]
        self._codebook = codebook

    def widths(self, hidden_width: int) -> tuple[int, int]:
        if hidden_width % self.values_per_code:
            raise InvalidRecord(
                f"encoding {self.name}: found states {hidden_width} wide, expected a multiple of "
                f"{self.values_per_code}. Use int8 instead."
            )
        return hidden_width // self.values_per_code, 0

    @property
    def codebook(self) -> Codebook:
        """:raises InvalidRecord: where none was given."""
        if self._codebook is None:
            raise InvalidRecord(
                f"encoding {self.name}: this encoder comes without a codebook. Use int8, or fit one: qa train codebook."
            )
        return self._codebook

    def encode(self, states: NDArray[np.float32]) -> EncodedStates:
        return EncodedStates(self.codebook.codes(states), np.empty((len(states), 0), dtype="<f4"))

    def decode(self, encoded: EncodedStates) -> NDArray[np.float32]:
        return self.codebook.states(encoded.values.astype(np.uint8, copy=False))


_PLAIN: dict[str, Encoding] = {encoding.name: encoding for encoding in (Float16(), Int8(), Int4())}
ENCODING_NAMES = (*_PLAIN, *VALUES_PER_CODE)


def encoding_named(name: str, codebook: Codebook | None = None) -> Encoding:
    """The encoding of this name.

    :param codebook: for those that need one.
    :raises InvalidRecord: for a name that this version does not know, or another's codebook.
    """
    if name in _PLAIN:
        return _PLAIN[name]
    if name not in VALUES_PER_CODE:
        raise InvalidRecord(f"encoding: found {name!r}, expected one of {', '.join(ENCODING_NAMES)}.")
    if codebook is not None and codebook.encoding != name:
        raise InvalidRecord(f"encoding {name}: found a codebook of {codebook.encoding}, expected its own.")
    return ProductQuantised(name, codebook)
