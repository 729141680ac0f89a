"""Which rows are worth comparing with a question's vector? Inverted lists of coded vectors, mapped; they only propose.

What is found here is scored again on the raw vectors, whose checksums are compared. So damage can cost a hit, and
nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import names
from deformer_qa.store.block import Block
from deformer_qa.store.centroids import nearest_lists, read_graph
from deformer_qa.store.errors import StoreDamaged
from deformer_qa.store.factory import parsed
from deformer_qa.store.manifest import IndexEntry
from deformer_qa.store.mapping import SegmentFolder

SPARE = 64  # codes are coarse: this many candidates, and half as many again as asked for, are compared exactly

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
        """The rows of a list, and about their inner products with the query. *Shape* of both: (n,)."""
        places = slice(int(self.offsets[list_number]), int(self.offsets[list_number + 1]))
        rows = self.rows[places]
        with np.errstate(over="ignore", invalid="ignore"):  # of damaged scales
            scores: NDArray[np.float32] = (self.codes[places].astype(np.float32) @ query) * self.scales[places]
        if len(rows) and int(rows.max()) >= self.n_rows:  # damaged: no candidates
            inside = rows < self.n_rows
            rows, scores = rows[inside], scores[inside]
        return rows, scores


class VectorIndex:
    """A vector index as one generation sees it: of the blocks it covers some may be gone, of their rows some dead.

    ``blocks``: those that are there, by name.
    """

    def __init__(self, entry: IndexEntry, files: IndexFiles, blocks: Mapping[str, Block]) -> None:
        self.entry = entry
        self.files = files
        self._blocks = [blocks.get(covered.segment) for covered in entry.covers]
        self._firsts = np.cumsum([0, *(covered.n_rows for covered in entry.covers)])

    @cached_property
    def usable(self) -> NDArray[np.bool_] | None:
        """Whether each row lives in a block that is there; None where all do. *Shape:* (n_rows,), by row."""
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

        Looks into more lists until it has n rows, or has them all.
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
        """The best of the rows found, by their raw vectors."""
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
    """The vector indexes that can be used, and what is wrong with one that cannot: its rows are compared one by one."""
    by_name = {block.entry.segment: block for block in blocks}
    indexes, problem = [], None
    for entry in entries:
        try:
            indexes.append(VectorIndex(entry, open_files(entry), by_name))
        except StoreDamaged as error:
            problem = f"{error.file}: {error.problem}; searching without this vector index, more slowly"
    return tuple(indexes), problem
