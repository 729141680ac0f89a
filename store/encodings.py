"""Encodes states as bytes and decodes them: one class per encoding, named in the manifest.

Product quantisation centres and rotates states, and cuts them into groups of neighbouring values. Each group becomes
the number of its nearest of 256 centroids (Jégou, Douze, Schmid 2011). The rotation consists of the eigenvectors of the
states' covariance, dealt out so that every group has about the same product of eigenvalues (Ge, He, Ke, Sun 2013, the
parametric solution).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store.errors import InvalidRecord

VALUES_PER_CODE = {"pq4": 4, "pq6": 6}
"""Encodings by how many values of a state share a byte."""
N_CENTROIDS = 256
LEAST_TOKENS = 39 * N_CENTROIDS  # faiss asks for 39 points per centroid
MOST_TOKENS = 65_536
LARGEST_VALUE = 1e30  # of mean and centroids, so that states are finite
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Codebook:
    """The meaning of codes of states. It is fitted on states of one encoder and valid only for those.

    ``mean``: *Shape* (hidden_width,). ``rotation``: (hidden_width, hidden_width), orthogonal; states times it are
    rotated. ``centroids``: (codes per token, 256, values per code). All float32.

    :raises InvalidRecord: if the shapes do not match or a value is not finite.
    """

    mean: NDArray[np.float32]
    rotation: NDArray[np.float32]
    centroids: NDArray[np.float32]

    def __post_init__(self) -> None:
        width = len(self.mean)
        found = (self.mean.shape, self.rotation.shape, self.centroids.shape)
        per_code = self.centroids.shape[-1]
        if per_code not in VALUES_PER_CODE.values() or found != codebook_shapes(width, per_code):
            raise InvalidRecord(f"codebook: found arrays of shapes {found}, which do not go together.")
        if not all(np.abs(array).max() < LARGEST_VALUE for array in self.arrays) or np.abs(self.rotation).max() > 2:
            raise InvalidRecord("codebook: found a value that is not finite or out of range, expected numbers.")

    @classmethod
    def from_array(cls, flat: NDArray[np.float32], width: int, encoding: str) -> Self:
        """The codebook in a flat array: mean, rotation, centroids, one after the other. *Shape:* (n,), float32."""
        shapes = codebook_shapes(width, VALUES_PER_CODE[encoding])
        borders = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        mean, rotation, centroids = (
            np.ascontiguousarray(part, dtype=np.float32).reshape(shape)
            for part, shape in zip(np.split(flat, borders), shapes, strict=True)
        )
        return cls(mean, rotation, centroids)

    @property
    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Mean, rotation, centroids: the content of its file, in this order."""
        return self.mean, self.rotation, self.centroids

    @property
    def encoding(self) -> str:
        """The name of the encoding that uses it."""
        return next(name for name, per_code in VALUES_PER_CODE.items() if per_code == self.centroids.shape[2])

    def codes(self, states: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Encode states (n_tokens, hidden_width) as codes. *Shape:* (n_tokens, codes per token), uint8."""
        rotated = np.ascontiguousarray((states - self.mean) @ self.rotation, dtype=np.float32)
        codes: NDArray[np.uint8] = self._quantiser.compute_codes(rotated)
        return codes

    def states(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Decode codes (n_tokens, codes per token) into states. *Shape:* (n_tokens, hidden_width), float32."""
        places = codes.astype(np.intp) + self._first_centroids
        rotated = self._flat_centroids.take(places, axis=0).reshape(len(codes), len(self.mean))
        states: NDArray[np.float32] = rotated @ self.rotation.T + self.mean
        return states

    @cached_property
    def _flat_centroids(self) -> NDArray[np.float32]:
        return self.centroids.reshape(-1, self.centroids.shape[2])

    @cached_property
    def _first_centroids(self) -> NDArray[np.intp]:
        return np.arange(len(self.centroids), dtype=np.intp) * N_CENTROIDS

    @cached_property
    def _quantiser(self) -> Any:
        import faiss

        quantiser = faiss.ProductQuantizer(len(self.mean), len(self.centroids), 8)
        faiss.copy_array_to_vector(self.centroids.ravel(), quantiser.centroids)
        return quantiser


def codebook_shapes(width: int, values_per_code: int) -> tuple[tuple[int, ...], ...]:
    """The shapes of mean, rotation and centroids."""
    return (width,), (width, width), (width // values_per_code, N_CENTROIDS, values_per_code)


def fit_codebook(states: NDArray[np.float32], encoding: str, seed: int = 0) -> Codebook:
    """Fit a codebook to states like these.

    ``states``: *Shape* (n_tokens, hidden_width), float32, of many texts; of more than 65,536 tokens a seeded
    draw counts.

    :raises InvalidRecord: if there are too few tokens, or the width is not a multiple of the encoding's group.
    """
    import faiss

    per_code = VALUES_PER_CODE[encoding]
    n_tokens, width = states.shape
    if width % per_code:
        raise InvalidRecord(
            f"codebook: found states {width} wide, expected a multiple of {per_code}. Use int8 instead."
        )
    if n_tokens < LEAST_TOKENS:
        raise InvalidRecord(f"codebook: found {n_tokens:,} tokens, expected {LEAST_TOKENS:,} or more.")
    if n_tokens > MOST_TOKENS:
        states = states[np.random.default_rng(seed).choice(n_tokens, MOST_TOKENS, replace=False)]
    mean = states.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = states - mean
    rotation = _balanced_rotation(centred, per_code)
    quantiser = faiss.ProductQuantizer(width, width // per_code, 8)
    quantiser.cp.niter, quantiser.cp.seed = _ROUNDS, seed
    quantiser.train(np.ascontiguousarray(centred @ rotation, dtype=np.float32))
    centroids = faiss.vector_to_array(quantiser.centroids).reshape(-1, N_CENTROIDS, per_code)
    return Codebook(mean, rotation, centroids.astype(np.float32))


def _balanced_rotation(centred: NDArray[np.float32], per_code: int) -> NDArray[np.float32]:
    """Eigenvectors of the covariance as columns, each dealt to the group whose product of eigenvalues is smallest."""
    values, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    logs = np.log(np.maximum(values, values.max() * 1e-9))
    logs -= logs.min()
    groups: list[list[int]] = [[] for _ in range(len(values) // per_code)]
    products = np.zeros(len(groups))
    for column in np.argsort(-logs, kind="stable"):
        free = [number for number, group in enumerate(groups) if len(group) < per_code]
        chosen = min(free, key=lambda number: (products[number], number))
        groups[chosen].append(int(column))
        products[chosen] += logs[column]
    return np.ascontiguousarray(vectors[:, np.concatenate(groups)], dtype=np.float32)


DEFAULT_ENCODING = "int8"  # for an encoder without a codebook
INT4_GROUP = 32


@dataclass(frozen=True)
class EncodedStates:
    """The states of one row as stored on disk.

    ``values``: *Shape* (n_tokens, value width), the encoding's dtype. ``scales``: *Shape* (n_tokens, scale width), its
    dtype of scales; no columns if the encoding has none. See ``Encoding.widths``.
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
        """The number of values and the number of scales per token.

        :raises InvalidRecord: if states of this width cannot be encoded this way.
        """
        ...

    def encode(self, states: NDArray[np.float32]) -> EncodedStates:
        """Encode states, *Shape* (n_tokens, hidden_width)."""
        ...

    def decode(self, encoded: EncodedStates) -> NDArray[np.float32]:
        """Decode states. *Shape:* (n_tokens, hidden_width), float32."""
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

    The error of a value is at most half a scale, plus the loss of the largest value from rounding the scale. Two values
    share a byte, the first in its lower half, each plus 8.
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
    """One byte for several values, by a codebook in the store; see the docstring of this module.

    Without a codebook only its widths are known.
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
        """The codebook. :raises InvalidRecord: if none was given."""
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

    :param codebook: for encodings that need one.
    :raises InvalidRecord: for a name unknown to this version, or a codebook of another encoding.
    """
    if name in _PLAIN:
        return _PLAIN[name]
    if name not in VALUES_PER_CODE:
        raise InvalidRecord(f"encoding: found {name!r}, expected one of {', '.join(ENCODING_NAMES)}.")
    if codebook is not None and codebook.encoding != name:
        raise InvalidRecord(f"encoding {name}: found a codebook of {codebook.encoding}, expected its own.")
    return ProductQuantised(name, codebook)
