"""Product quantisation of states: which rotation and which centroids turn several values into one byte.

States are centred and rotated, then cut into groups of neighbouring values; each group becomes the number of its
nearest centroid of 256 (Jégou, Douze, Schmid 2011). The rotation is made of the eigenvectors of the states' covariance,
dealt out so that every group has about the same product of eigenvalues (Ge, He, Ke, Sun 2013, the parametric solution).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store.errors import InvalidRecord

VALUES_PER_CODE = {"pq4": 4, "pq6": 6}
"""Encodings by how many values of a state share a byte."""
N_CENTROIDS = 256
LEAST_TOKENS = 39 * N_CENTROIDS  # faiss asks for 39 points a centroid
MOST_TOKENS = 65_536
LARGEST_VALUE = 1e30  # of mean and centroids, so that states are finite
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Codebook:
    """What codes of states mean. Fitted on states of one encoder, of use for those only.

    ``mean``: *Shape* (hidden_width,). ``rotation``: (hidden_width, hidden_width), orthogonal; states times it are
    rotated. ``centroids``: (codes per token, 256, values per code). All float32.

    :raises InvalidRecord: where the shapes do not go together or a value is not finite.
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
        """The codebook that lies in a file: mean, rotation, centroids, one after the other. *Shape:* (n,), float32."""
        shapes = codebook_shapes(width, VALUES_PER_CODE[encoding])
        borders = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        mean, rotation, centroids = (
            np.ascontiguousarray(part, dtype=np.float32).reshape(shape)
            for part, shape in zip(np.split(flat, borders), shapes, strict=True)
        )
        return cls(mean, rotation, centroids)

    @property
    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Mean, rotation, centroids: what its file holds, in this order."""
        return self.mean, self.rotation, self.centroids

    @property
    def encoding(self) -> str:
        """The name of the encoding that it is for."""
        return next(name for name, per_code in VALUES_PER_CODE.items() if per_code == self.centroids.shape[2])

    def codes(self, states: NDArray[np.float32]) -> NDArray[np.uint8]:
        """States (n_tokens, hidden_width) as codes. *Shape:* (n_tokens, codes per token), uint8."""
        rotated = np.ascontiguousarray((states - self.mean) @ self.rotation, dtype=np.float32)
        codes: NDArray[np.uint8] = self._quantiser.compute_codes(rotated)
        return codes

    def states(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The states that codes (n_tokens, codes per token) stand for. *Shape:* (n_tokens, hidden_width), float32."""
        places = codes.astype(np.intp) + self._first_centroids
        rotated = self._flat_centroids[places].reshape(len(codes), len(self.mean))
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
    """A codebook for states like these.

    ``states``: *Shape* (n_tokens, hidden_width), float32, of many texts; of more than 65,536 tokens a seeded
    draw counts.

    :raises InvalidRecord: where there are too few tokens, or the width is no multiple of the encoding's group.
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
