"""Hostile vector indexes and codebooks: what is derived or small is no easier way in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from parts.tiny_store import Tiny, tiny_codebook
from torture.hostile_stores import accept, pickle_as, put, rewrite, segment

from deformer_qa.store import Writer, names


def with_array(kind: str, file: str, dtype: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """An array of a segment changed, with right checksums of files."""

    def make(store: Path) -> None:
        place = segment(store, kind) / file
        array = np.frombuffer(place.read_bytes(), dtype).copy()
        change(array)
        place.write_bytes(array.tobytes())
        accept(store, kind)

    return make


def foreign_faiss(kind: str) -> Callable[[Path], None]:
    """A whole faiss index of another type in the place of the graph over the centroids."""

    def make(store: Path) -> None:
        import faiss

        vectors = np.random.default_rng(1).standard_normal((400, Tiny.encoder.vector_width)).astype(np.float32)
        index = faiss.index_factory(Tiny.encoder.vector_width, kind)
        index.train(vectors)
        index.add(vectors)
        (segment(store, "indexes") / names.CENTROID_GRAPH).write_bytes(faiss.serialize_index(index).tobytes())
        accept(store, "indexes")

    return make


def lengthened(file: str, n_bytes: int) -> Callable[[Path], None]:
    def make(store: Path) -> None:
        with (segment(store, "indexes") / file).open("r+b") as stream:
            stream.truncate(n_bytes)
        fields_size(store, file, n_bytes)

    return make


def fields_size(store: Path, file: str, n_bytes: int) -> None:
    rewrite(store, put("indexes", 0, "files", file, {"n_bytes": n_bytes, "xxh3_128": "0" * 32}))


def with_codebook(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """The store made again with a codebook, which is then changed."""

    def make(store: Path) -> None:
        for place in sorted(store.rglob("*"), reverse=True):
            place.rmdir() if place.is_dir() else place.unlink()
        tiny = Tiny()
        for generation in range(3):
            with Writer.open(store, tiny.encoder, codebook=tiny_codebook()) as writer:
                for number in range(6 if not generation else 2):
                    tiny.put(writer, f"{generation}-{number}.txt", f"Number {number} sleeps. {generation} foxes bark")
                writer.commit()
        change(store)

    return make


def _codebook_array(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def make(store: Path) -> None:
        from torture.hostile_stores import fields_of, sum_of

        entry = fields_of(store)["codebook"]
        file = store / "seg" / entry["segment"] / names.CODEBOOK
        array = np.frombuffer(file.read_bytes(), "<f4").copy()
        change(array)
        file.write_bytes(array.tobytes())
        rewrite(store, put("codebook", "files", names.CODEBOOK, sum_of(file)))

    return make


def _set(value: Any) -> Callable[[Any], None]:
    def change(array: Any) -> None:
        array[:] = value

    return change


def _manifest(*place: Any) -> Callable[[Path], None]:
    return lambda store: rewrite(store, put(*place))


_MANY = json.loads("[" + ",".join(['{"segment": "1-00000000", "n_rows": 4000000000}'] * 1000) + "]")

DERIVED: dict[str, Callable[[Path], None]] = {
    **{f"index: a pickle for {file}": pickle_as("indexes", file) for file in ("ann.faiss", "centroids", "list_rows")},
    **{f"index: faiss's {kind} for the graph": foreign_faiss(kind) for kind in ("Flat", "IVF4,Flat", "PQ4", "HNSW4")},
    "index: a terabyte of holes for the graph": lengthened("ann.faiss", 1 << 40),
    "index: centroids that are not finite": with_array("indexes", "centroids", "<f4", _set(np.nan)),
    "index: rows beyond the end": with_array("indexes", "list_rows", "<u4", _set(4_000_000_000)),
    "index: one row a hundred times": with_array("indexes", "list_rows", "<u4", _set(0)),
    "index: lists beyond the end": with_array("indexes", "list_offsets", "<u8", _set(1 << 62)),
    "index: scales without end": with_array("indexes", "list_scales", "<f4", _set(np.inf)),
    "index: 2**40 probes": _manifest("indexes", 0, "n_probes", 1 << 40),
    "index: 10**9 lists": _manifest("indexes", 0, "factory", "IVF1000000000,SQ8"),
    "index: a factory that is code": _manifest("indexes", 0, "factory", "__import__('os')"),
    "index: four billion rows a thousand times": _manifest("indexes", 0, "covers", _MANY),
    "codebook: not finite": with_codebook(_codebook_array(_set(np.nan))),
    "codebook: of huge numbers": with_codebook(_codebook_array(_set(3e38))),
    "codebook: none": with_codebook(_manifest("codebook", None)),
    "codebook: that of another encoding": with_codebook(_manifest("encoding", "pq4")),
}

HARMLESS_DERIVED = {  # rows of an index are proposals: each is scored on its own vector, whose checksum is compared
    *("index: a pickle for centroids", "index: a pickle for list_rows"),
    *("index: lists beyond the end", "index: scales without end", "index: centroids that are not finite"),
    *("index: rows beyond the end", "index: one row a hundred times"),
}
