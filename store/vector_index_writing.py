"""How a vector index comes to be: centroids by k-means, every row in the list of its nearest, coded in int8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import disk, names
from deformer_qa.store.block import Block
from deformer_qa.store.centroids import graph_bytes
from deformer_qa.store.factory import Factory
from deformer_qa.store.manifest import CoveredBlock, IndexEntry

ROWS_AT_ONCE = 16_384
TRAINING_ROWS_PER_LIST = 40
TRAINING_ROUNDS = 8
TRIALS = 128  # questions made up to choose the number of lists to look into ...
TRIAL_DEPTH = 20  # ... so that of this many nearest rows ...
TRIAL_RECALL = 0.98  # ... this share lies in them


class _Rows:
    """The vectors of several blocks as one array. *Shape:* (n_rows, vector_width), float32."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.vectors = [block.files.vectors for block in blocks]
        self.firsts = np.cumsum([0, *map(len, self.vectors)])
        self.n_rows = int(self.firsts[-1])

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """All of them in order, some at a time."""
        for vectors in self.vectors:
            for start in range(0, len(vectors), ROWS_AT_ONCE):
                yield _finite(vectors[start : start + ROWS_AT_ONCE])

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copies of some, in the order of ``rows``."""
        chosen = np.empty((len(rows), self.vectors[0].shape[1]), np.float32)
        for vectors, first, end in zip(self.vectors, self.firsts, self.firsts[1:], strict=False):
            here = np.flatnonzero((rows >= first) & (rows < end))
            chosen[here] = vectors[rows[here] - first]
        return _finite(chosen)


def write_index(store: Path, segment: str, blocks: Sequence[Block], factory: Factory) -> IndexEntry:
    """Write and sync a vector index of all rows of these blocks, dead ones too: they may live again."""
    rows, chance = _Rows(blocks), np.random.default_rng(0)
    centroids = _trained(rows, factory.n_lists, chance)
    lists = _lists(rows, centroids)
    n_probes = _probes(rows, centroids, lists, chance)
    order = np.argsort(lists, kind="stable")
    directory = store / names.SEGMENTS / segment
    disk.make_directory(directory)
    with (
        disk.NewFile(directory / names.LIST_CODES) as codes_file,
        disk.NewFile(directory / names.LIST_SCALES) as scales_file,
    ):
        for start in range(0, rows.n_rows, ROWS_AT_ONCE):
            codes, scales = _coded(rows[order[start : start + ROWS_AT_ONCE]])
            codes_file.write(codes)
            scales_file.write(scales)
        files = {names.LIST_CODES: codes_file.finish(), names.LIST_SCALES: scales_file.finish()}
    contents: dict[str, NDArray[Any]] = {
        names.CENTROIDS: centroids.astype("<f4", copy=False),
        names.LIST_OFFSETS: np.searchsorted(lists[order], np.arange(factory.n_lists + 1)).astype("<u8"),
        names.LIST_ROWS: order.astype("<u4"),
    }
    if factory.n_links:
        contents[names.CENTROID_GRAPH] = graph_bytes(centroids, factory.n_links)
    files |= {file: disk.write_file(directory / file, [array]) for file, array in contents.items()}
    disk.sync_directory(directory)
    covers = tuple(CoveredBlock(block.entry.segment, block.entry.n_rows) for block in blocks)
    return IndexEntry(segment, str(factory), n_probes, covers, files)


def _trained(rows: _Rows, n_lists: int, chance: np.random.Generator) -> NDArray[np.float32]:
    """Centroids of a sample. *Shape:* (n_lists, vector_width), float32."""
    import faiss

    n_sampled = min(rows.n_rows, n_lists * TRAINING_ROWS_PER_LIST)
    sample = rows[np.sort(chance.choice(rows.n_rows, n_sampled, replace=False))]
    if n_sampled <= n_lists:  # k-means wants more points than centroids
        return np.ascontiguousarray(np.resize(sample, (n_lists, sample.shape[1])))
    k_means = faiss.Kmeans(
        sample.shape[1],
        n_lists,
        niter=TRAINING_ROUNDS,
        min_points_per_centroid=1,
        max_points_per_centroid=TRAINING_ROWS_PER_LIST,
        seed=1,
    )
    k_means.train(sample)
    centroids: NDArray[np.float32] = np.ascontiguousarray(k_means.centroids)
    return centroids


def _lists(rows: _Rows, centroids: NDArray[np.float32]) -> NDArray[np.int32]:
    """The list of each row. *Shape:* (n_rows,), int32."""
    import faiss

    quantizer = faiss.IndexFlatL2(centroids.shape[1])
    quantizer.add(centroids)
    found = [quantizer.search(piece, 1)[1][:, 0] for piece in rows.pieces()]
    return np.maximum(np.concatenate(found), 0).astype(np.int32)


def _probes(rows: _Rows, centroids: NDArray[np.float32], lists: NDArray[np.int32], chance: np.random.Generator) -> int:
    """How many lists to look into, by the places of the nearest rows of made-up questions: rows and as much noise."""
    import faiss

    rows_asked = rows[np.sort(chance.choice(rows.n_rows, min(TRIALS, rows.n_rows), replace=False))]
    noise = chance.standard_normal(rows_asked.shape, dtype=np.float32)
    lengths = np.linalg.norm(rows_asked, axis=1, keepdims=True)
    questions = rows_asked + noise * lengths / np.linalg.norm(noise, axis=1, keepdims=True)
    best = faiss.ResultHeap(len(questions), min(TRIAL_DEPTH, rows.n_rows), keep_max=True)
    first = 0
    for piece in rows.pieces():
        scores, found = faiss.knn(questions, piece, min(TRIAL_DEPTH, len(piece)), metric=faiss.METRIC_INNER_PRODUCT)
        best.add_result(scores, found + first)
        first += len(piece)
    best.finalize()
    order = np.argsort(-(questions @ centroids.T), axis=1)
    ranks = np.empty_like(order)  # of each list for each question
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[None], axis=1)
    needed = np.sort(np.take_along_axis(ranks, lists[np.maximum(best.I, 0)].astype(np.int64), axis=1).ravel())
    return int(needed[min(len(needed) - 1, int(TRIAL_RECALL * len(needed)))]) + 1


def _coded(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Vectors in int8, and the factor of each."""
    scales = (np.abs(vectors).max(axis=1) / np.float32(127)).astype("<f4")
    divisors = np.where(scales > 0, scales, np.float32(1))
    return np.rint(vectors / divisors[:, None]).astype(np.int8), scales


def _finite(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors, zeros for damaged ones: k-means takes no others."""
    return vectors if np.isfinite(vectors).all() else np.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)
