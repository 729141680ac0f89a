"""Compare codes of states of about 100 bytes a token by their loss: the figures of decision 10 beside its table.

python benchmarks/state_codes.py --data squad-v1.1-train.json.xz
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deformer_qa.lab.fit.codebook import lost_variance, states_of_paragraphs
from deformer_qa.reader.reading import SplitReader
from deformer_qa.store.encodings import N_CENTROIDS, Codebook, fit_codebook

States = NDArray[np.float32]
GAUSSIAN_2_BITS = np.array([-1.510, -0.4528, 0.4528, 1.510], np.float32)  # Max 1960, of a unit normal
MOST_BITS = 5
FITTED = 60_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the SQuAD file the shipped reader was trained on")
    given = parser.parse_args()
    reader = SplitReader.load()
    assert reader.about is not None
    states = states_of_paragraphs(given.data, reader.encoder, set(reader.about.training["held_back_articles"]))
    fitted, others = states[:FITTED], states[FITTED : 2 * FITTED]
    for name, n_bytes, made in (
        ("two bits a value, random rotation", 98, two_bits(fitted)),
        ("bits by eigenvalue", 96, bits_by_eigenvalue(fitted)),
        ("product quantisation, no rotation", 96, unrotated(fitted)),
        ("pq4", 96, coded(fit_codebook(fitted, "pq4"))),
        ("pq6", 64, coded(fit_codebook(fitted, "pq6"))),
    ):
        print(
            f"{100 * lost_variance(others, made(others)):5.1f} % of the variance lost, {n_bytes} bytes a token: {name}",
            flush=True,
        )


def coded(book: Codebook) -> Callable[[States], States]:
    return lambda states: book.states(book.codes(states))


def unrotated(fitted: States) -> Callable[[States], States]:
    import faiss

    width = fitted.shape[1]
    quantiser = faiss.ProductQuantizer(width, width // 4, 8)
    mean = fitted.mean(axis=0)
    quantiser.train(np.ascontiguousarray(fitted - mean))
    centroids = faiss.vector_to_array(quantiser.centroids).reshape(-1, N_CENTROIDS, 4)
    return coded(Codebook(mean, np.eye(width, dtype=np.float32), centroids))


def two_bits(fitted: States) -> Callable[[States], States]:
    """Round each value of the rotated token to the nearest of four levels times its standard deviation."""
    width = fitted.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0].astype(np.float32)
    mean = fitted.mean(axis=0)

    def made(states: States) -> States:
        rotated = (states - mean) @ rotation
        scales = rotated.std(axis=1, keepdims=True)
        levels = np.searchsorted((GAUSSIAN_2_BITS[1:] + GAUSSIAN_2_BITS[:-1]) / 2, rotated / scales)
        return np.asarray((GAUSSIAN_2_BITS[levels] * scales) @ rotation.T + mean, np.float32)

    return made


def bits_by_eigenvalue(fitted: States) -> Callable[[States], States]:
    """Quantise the token along the covariance's eigenvectors, giving each bit where it reduces the error most."""
    mean = fitted.mean(axis=0)
    vectors = np.linalg.eigh(np.cov((fitted - mean).T))[1].astype(np.float32)
    rotated = (fitted - mean) @ vectors
    width = rotated.shape[1]
    levels = [
        [_levels(np.sort(rotated[::4, column]), bits) for bits in range(MOST_BITS + 1)] for column in range(width)
    ]
    errors = np.array([[_error(rotated[::4, column], one) for one in levels[column]] for column in range(width)])
    bits = np.zeros(width, dtype=int)
    for _ in range(2 * width):
        gains = errors[np.arange(width), bits] - errors[np.arange(width), np.minimum(bits + 1, MOST_BITS)]
        bits[gains.argmax()] += 1

    def made(states: States) -> States:
        along = (states - mean) @ vectors
        for column in range(width):
            along[:, column] = _nearest(along[:, column], levels[column][bits[column]])
        return np.asarray(along @ vectors.T + mean, np.float32)

    return made


def _levels(ordered: States, bits: int) -> States:
    """Compute Lloyd's levels of ordered numbers."""
    n = 2**bits
    levels = np.quantile(ordered, (np.arange(n) + 0.5) / n).astype(np.float32)
    for _ in range(25):
        places = np.searchsorted((levels[1:] + levels[:-1]) / 2, ordered)
        counts = np.bincount(places, minlength=n)
        levels = np.where(counts > 0, np.bincount(places, ordered, n) / np.maximum(counts, 1), levels).astype(
            np.float32
        )
    return levels


def _nearest(values: States, levels: States) -> States:
    return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, values)]


def _error(values: States, levels: States) -> float:
    return float(((values - _nearest(values, levels)) ** 2).mean())


if __name__ == "__main__":
    main()
