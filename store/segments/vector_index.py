"""Writes, opens and searches vector indexes: inverted lists of int8 codes that propose rows to compare.

FAISS reads the graph without checks: a changed header crashes it or makes it answer wrongly. So it gets only bytes
whose checksum is the manifest's and whose first four name the one type that we write, and the graph that it makes is
checked before use.

Proposed rows are scored again on the raw vectors, whose checksums are compared. So damage can only cost hits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from deformer_qa.store import disk, names
from deformer_qa.store.disk import FileSum
from deformer_qa.store.errors import StoreDamaged
from deformer_qa.store.index_choice import Factory, parsed
from deformer_qa.store.manifest import CoveredBlock, IndexEntry
from deformer_qa.store.segments.block import Block
from deformer_qa.store.segments.folder import SegmentFolder

GRAPH_TYPE = b"IHNf"  # faiss.IndexHNSWFlat
GRAPH_BREADTH = 4  # candidates kept in a search of the graph, per requested list


def graph_bytes(centroids: NDArray[np.float32], n_links: int) -> NDArray[np.uint8]:
    """An HNSW graph over centroids as FAISS writes it. *Shape:* (n_bytes,), uint8."""
    import faiss

    graph = faiss.IndexHNSWFlat(centroids.shape[1], n_links, faiss.METRIC_INNER_PRODUCT)
    graph.add(centroids)
    written: NDArray[np.uint8] = faiss.serialize_index(graph)
    return written


def read_graph(segment: str, content: bytes, expected: FileSum, n_lists: int, width: int) -> Any:
    """Read a graph from its bytes.

    :raises StoreDamaged: if they differ from the committed ones, or are no graph over that many centroids.
    """
    shown = names.segment_file(segment, names.CENTROID_GRAPH)
    if FileSum(len(content), xxhash.xxh3_128_hexdigest(content)) != expected:
        raise StoreDamaged(shown, "the checksum does not match the content")
    if content[:4] != GRAPH_TYPE:
        raise StoreDamaged(shown, f"found a FAISS index of type {content[:4]!r}, expected {GRAPH_TYPE!r}")
    import faiss

    try:
        graph = faiss.deserialize_index(np.frombuffer(content, np.uint8))
    except (RuntimeError, MemoryError) as error:
        raise StoreDamaged(shown, f"FAISS cannot read it ({str(error).splitlines()[0]})") from error
    if not _is_sound(graph, n_lists, width):
        raise StoreDamaged(shown, f"expected a graph over {n_lists} centroids of {width} numbers, found another")
    return graph


def _is_sound(graph: Any, n_lists: int, width: int) -> bool:
    """Whether every number in a graph stays within it."""
    import faiss

    storage = faiss.downcast_index(graph.storage)
    if (graph.ntotal, graph.d, storage.ntotal, storage.d) != (n_lists, width, n_lists, width):
        return False
    if not isinstance(storage, faiss.IndexFlat) or storage.codes.size() != 4 * n_lists * width:
        return False
    hnsw = graph.hnsw
    levels, offsets = faiss.vector_to_array(hnsw.levels), faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    neighbours, sizes = faiss.vector_to_array(hnsw.neighbors), faiss.vector_to_array(hnsw.cum_nneighbor_per_level)
    if len(levels) != n_lists or len(offsets) != n_lists + 1 or len(sizes) <= hnsw.max_level + 1:
        return False
    if levels.min() < 1 or levels.max() != hnsw.max_level + 1 or (np.diff(sizes) < 0).any() or sizes[0] != 0:
        return False
    if not 0 <= hnsw.entry_point < n_lists or levels[hnsw.entry_point] != hnsw.max_level + 1:
        return False
    if offsets[0] != 0 or offsets[-1] != len(neighbours) or (np.diff(offsets) != sizes[levels]).any():
        return False
    return bool(neighbours.min() >= -1 and neighbours.max() < n_lists)


def nearest_lists(centroids: NDArray[np.float32], graph: Any, query: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """The n lists whose centroids have the largest inner product with the query, best first. *Shape:* (n,), int64."""
    n_lists = len(centroids)
    if graph is not None and n < n_lists:
        import faiss

        breadth = faiss.SearchParametersHNSW(efSearch=GRAPH_BREADTH * n)  # type: ignore[attr-defined]
        found = graph.search(query[None], n, params=breadth)[1][0]
        lists: NDArray[np.int64] = found[found >= 0]
        return lists
    with np.errstate(over="ignore", invalid="ignore"):  # of damaged centroids
        order: NDArray[np.int64] = np.argsort(-(centroids @ query), kind="stable")[:n]
    return order


SPARE = 64  # codes are coarse: this many candidates, plus 1.5 times the number requested, are compared exactly

Candidate = tuple[float, Block, int]


class IndexFiles:
    """The mapped files of one vector index; immutable, shared by the snapshots of several generations.

    ``centroids``: *Shape* (n_lists, vector_width) float32. ``offsets``: (n_lists + 1,) uint64; list i has the places
    ``offsets[i]`` to ``offsets[i + 1]``. By place: ``rows``: (n_rows,) uint32, numbered through the covered blocks;
    ``codes``: (n_rows, vector_width) int8; ``scales``: (n_rows,) float32, the factor of each code.
    """

    def __init__(self, store: Path, entry: IndexEntry, vector_width: int) -> None:
        self.n_lists, self.n_rows = entry.n_lists, entry.n_rows
        self.graph: Any = None
        with SegmentFolder(store, entry.segment) as folder:

            def mapped(file: str, dtype: str, *shape: int) -> NDArray[Any]:
                return folder.map_array(file, entry.files[file], dtype, shape)

            self.centroids = mapped(names.CENTROIDS, "<f4", self.n_lists, vector_width)
            self.offsets = mapped(names.LIST_OFFSETS, "<u8", self.n_lists + 1)
            self.rows = mapped(names.LIST_ROWS, "<u4", self.n_rows)
            self.codes = mapped(names.LIST_CODES, "i1", self.n_rows, vector_width)
            self.scales = mapped(names.LIST_SCALES, "<f4", self.n_rows)
            if parsed(entry.factory).n_links:
                expected = entry.files[names.CENTROID_GRAPH]
                with os.fdopen(folder.open_file(names.CENTROID_GRAPH, expected), "rb") as file:
                    content = file.read(expected.n_bytes)
                self.graph = read_graph(entry.segment, content, expected, self.n_lists, vector_width)

    def scored(self, list_number: int, query: NDArray[np.float32]) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """The rows of a list, and their approximate inner products with the query. *Shape* of both: (n,)."""
        places = slice(int(self.offsets[list_number]), int(self.offsets[list_number + 1]))
        rows = self.rows[places]
        with np.errstate(over="ignore", invalid="ignore"):  # of damaged scales
            scores: NDArray[np.float32] = (self.codes[places].astype(np.float32) @ query) * self.scales[places]
        if len(rows) and int(rows.max()) >= self.n_rows:  # damaged: no candidates
            inside = rows < self.n_rows
            rows, scores = rows[inside], scores[inside]
        return rows, scores


class VectorIndex:
    """A vector index as one generation sees it: some of its blocks may be gone, and some of their rows dead.

    ``blocks``: the existing ones, by name.
    """

    def __init__(self, entry: IndexEntry, files: IndexFiles, blocks: Mapping[str, Block]) -> None:
        self.entry = entry
        self.files = files
        self._blocks = [blocks.get(covered.segment) for covered in entry.covers]
        self._firsts = np.cumsum([0, *(covered.n_rows for covered in entry.covers)])

    @cached_property
    def usable(self) -> NDArray[np.bool_] | None:
        """Whether each row is live, in an existing block; None if all are. *Shape:* (n_rows,), by row."""
        if all(block is not None and not block.entry.dead_rows for block in self._blocks):
            return None
        usable = np.zeros(self.entry.n_rows, np.bool_)
        for block, first in zip(self._blocks, self._firsts, strict=False):
            if block is not None:
                usable[first : first + block.entry.n_rows] = block.are_live(np.arange(block.entry.n_rows))
        return usable

    def covers(self, block: Block) -> bool:
        """Whether the rows of a block are in this index."""
        return block in self._blocks

    def search(self, query: NDArray[np.float32], n: int) -> list[Candidate]:
        """About the n nearest usable rows with the inner products of their raw vectors in float32, best first.

        It searches more lists until it has n rows, or all rows.
        """
        found: list[tuple[NDArray[np.uint32], NDArray[np.float32]]] = []
        n_found = n_seen = 0
        n_probes = self.entry.n_probes
        while True:
            lists = nearest_lists(self.files.centroids, self.files.graph, query, n_probes)
            for number in lists[n_seen:].tolist():
                rows, scores = self.files.scored(number, query)
                if self.usable is not None:
                    kept = self.usable[rows]
                    rows, scores = rows[kept], scores[kept]
                found.append((rows, scores))
                n_found += len(rows)
            n_seen = len(lists)
            if n_found >= n or n_probes == self.files.n_lists:
                break
            n_probes = min(2 * n_probes, self.files.n_lists)
        return self._compared(
            np.concatenate([rows for rows, _ in found]), np.concatenate([scores for _, scores in found]), query, n
        )

    def _compared(
        self, rows: NDArray[np.uint32], scores: NDArray[np.float32], query: NDArray[np.float32], n: int
    ) -> list[Candidate]:
        """The best of the proposed rows, by their raw vectors."""
        n_compared = n + n // 2 + SPARE
        if len(rows) > n_compared:
            rows = rows[np.argpartition(-scores, n_compared)[:n_compared]]
        rows = np.unique(rows).astype(np.int64)  # damage may name a row twice
        candidates: list[Candidate] = []
        for block, first, end in zip(self._blocks, self._firsts, self._firsts[1:], strict=False):
            there = rows[np.searchsorted(rows, first) : np.searchsorted(rows, end)] - first
            if block is not None and len(there):
                exact = block.files.vectors[there] @ query
                candidates += [(score, block, row) for score, row in zip(exact.tolist(), there.tolist(), strict=True)]
        return sorted(candidates, key=lambda candidate: -candidate[0])[:n]


def open_indexes(
    entries: Sequence[IndexEntry], blocks: Sequence[Block], open_files: Callable[[IndexEntry], IndexFiles]
) -> tuple[tuple[VectorIndex, ...], str | None]:
    """Open the usable vector indexes; also returns the errors of others, whose rows are compared one by one."""
    by_name = {block.entry.segment: block for block in blocks}
    indexes, problem = [], None
    for entry in entries:
        try:
            indexes.append(VectorIndex(entry, open_files(entry), by_name))
        except StoreDamaged as error:
            problem = f"{error.file}: {error.problem}; searching without this vector index, more slowly"
    return tuple(indexes), problem


ROWS_AT_ONCE = 16_384
TRAINING_ROWS_PER_LIST = 40
TRAINING_ROUNDS = 8
TRIALS = 128  # made-up questions to choose the number of lists to search ...
TRIAL_DEPTH = 20  # ... so that of this many nearest rows ...
TRIAL_RECALL = 0.98  # ... this share lies in them


class _Rows:
    """The vectors of several blocks as one array. *Shape:* (n_rows, vector_width), float32."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.vectors = [block.files.vectors for block in blocks]
        self.firsts = np.cumsum([0, *map(len, self.vectors)])
        self.n_rows = int(self.firsts[-1])

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield all vectors in order, in pieces."""
        for vectors in self.vectors:
            for start in range(0, len(vectors), ROWS_AT_ONCE):
                yield _finite(vectors[start : start + ROWS_AT_ONCE])

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copies of some vectors, in the order of ``rows``."""
        chosen = np.empty((len(rows), self.vectors[0].shape[1]), np.float32)
        for vectors, first, end in zip(self.vectors, self.firsts, self.firsts[1:], strict=False):
            here = np.flatnonzero((rows >= first) & (rows < end))
            chosen[here] = vectors[rows[here] - first]
        return _finite(chosen)


def write_index(store: Path, segment: str, blocks: Sequence[Block], factory: Factory) -> IndexEntry:
    """Write and sync a vector index of all rows of these blocks, even dead ones, which may become live again."""
    from threadpoolctl import threadpool_limits

    rows, chance = _Rows(blocks), np.random.default_rng(0)
    with threadpool_limits(os.cpu_count(), user_api="blas"):  # commands start with one thread for matrices
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
    """Train centroids on a sample. *Shape:* (n_lists, vector_width), float32."""
    import faiss

    n_sampled = min(rows.n_rows, n_lists * TRAINING_ROWS_PER_LIST)
    sample = rows[np.sort(chance.choice(rows.n_rows, n_sampled, replace=False))]
    if n_sampled <= n_lists:  # k-means needs more points than centroids
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
    """The number of lists to search, from the nearest rows of made-up questions, which are rows plus equal noise."""
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
    """Encode vectors as int8, with a factor for each."""
    scales = (np.abs(vectors).max(axis=1) / np.float32(127)).astype("<f4")
    divisors = np.where(scales > 0, scales, np.float32(1))
    return np.rint(vectors / divisors[:, None]).astype(np.int8), scales


def _finite(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors, with zeros for damaged ones, because k-means takes only finite values."""
    return vectors if np.isfinite(vectors).all() else np.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)
