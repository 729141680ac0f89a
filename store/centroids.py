"""Which lists of a vector index lie nearest to a question? Its centroids, compared one by one or by way of a graph.

The graph is FAISS's, which checks nothing that it reads: a changed header crashes it or makes it answer wrongly. So it
sees only bytes whose checksum is the manifest's and whose first four name the one type that we write, and what it made
of them is looked at before it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from deformer_qa.store import names
from deformer_qa.store.disk import FileSum
from deformer_qa.store.errors import StoreDamaged

GRAPH_TYPE = b"IHNf"  # faiss.IndexHNSWFlat
GRAPH_BREADTH = 4  # candidates kept in a search of the graph, per list asked for


def graph_bytes(centroids: NDArray[np.float32], n_links: int) -> NDArray[np.uint8]:
    """An HNSW graph over centroids as FAISS writes it. *Shape:* (n_bytes,), uint8."""
    import faiss

    graph = faiss.IndexHNSWFlat(centroids.shape[1], n_links, faiss.METRIC_INNER_PRODUCT)
    graph.add(centroids)
    written: NDArray[np.uint8] = faiss.serialize_index(graph)
    return written


def read_graph(segment: str, content: bytes, expected: FileSum, n_lists: int, width: int) -> Any:
    """The graph that these bytes hold.

    :raises StoreDamaged: where they are not as committed, or not a graph over that many centroids.
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
    """Whether no number in a graph leads out of it."""
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
