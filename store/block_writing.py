"""How a block segment comes to be: from rows just encoded, or by copying the live rows of older blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import disk, names, ranges
from deformer_qa.store.block import Block, states_sum, vector_sum
from deformer_qa.store.disk import FileSum
from deformer_qa.store.encodings import EncodedStates, Encoding
from deformer_qa.store.manifest import BlockEntry
from deformer_qa.store.records import KEY_BYTES

Pieces = Iterable[NDArray[Any]]


@dataclass(frozen=True)
class PendingRow:
    """A row that waits for its commit: vector (vector_width,) float32 and encoded states."""

    vector: NDArray[np.float32]
    states: EncodedStates

    @property
    def n_bytes(self) -> int:
        return self.vector.nbytes + self.states.n_bytes


def write_rows(
    store: Path, segment: str, encoding: Encoding, rows: dict[bytes, PendingRow], is_live: Callable[[bytes], bool]
) -> BlockEntry:
    """Write and sync a block of these rows; those that no document refers to yet are recorded as dead."""
    keys = list(rows)
    sums = np.array(
        [(vector_sum(key, row.vector), states_sum(key, row.states)) for key, row in rows.items()], dtype="<u8"
    )
    return write_arrays(
        store,
        segment,
        encoding,
        keys=np.frombuffer(b"".join(keys), dtype="u1").reshape(-1, KEY_BYTES),
        n_tokens=np.fromiter((len(row.states.values) for row in rows.values()), dtype=np.int64, count=len(rows)),
        vectors=(row.vector for row in rows.values()),
        values=(row.states.values for row in rows.values()),
        scales=(row.states.scales for row in rows.values()),
        sums=(sums,),
        dead_rows=ranges.from_numbers(number for number, key in enumerate(keys) if not is_live(key)),
    )


def copy_rows(
    store: Path, segment: str, encoding: Encoding, sources: Sequence[Block], waiting: Sequence[bytes]
) -> BlockEntry | None:
    """Write and sync a block of the live rows of others, byte for byte from their maps, checksums included.

    Rows in ``waiting`` are copied dead or alive. Returns None, and writes nothing, where no row is left. Does not look
    at what it copies: the caller has verified the sources' files.
    """
    runs = [run for block in sources for run in _kept_runs(block, waiting)]
    if not runs:
        return None
    dead_rows = _dead_after_copy(runs)
    n_tokens = [np.diff(run.block.files.offsets[run.first : run.end + 1].astype(np.int64)) for run in runs]
    return write_arrays(
        store,
        segment,
        encoding,
        keys=np.concatenate([run.block.files.keys[run.first : run.end] for run in runs]),
        n_tokens=np.concatenate(n_tokens),
        vectors=(run.block.files.vectors[run.first : run.end] for run in runs),
        values=(run.block.files.values[slice(*run.tokens)] for run in runs),
        scales=(run.block.files.scales[slice(*run.tokens)] for run in runs),
        sums=(run.block.files.sums[run.first : run.end] for run in runs),
        dead_rows=dead_rows,
    )


@dataclass(frozen=True)
class _Run:
    """Neighbouring rows of a block, copied in one piece."""

    block: Block
    first: int
    end: int

    @property
    def tokens(self) -> tuple[int, int]:
        offsets = self.block.files.offsets
        return int(offsets[self.first]), int(offsets[self.end])


def rows_to_drop(block: Block, waiting: Sequence[bytes]) -> ranges.Ranges:
    """The dead rows of a block that nobody waits for."""
    return ranges.without(block.entry.dead_rows, block.files.find(waiting))


def _kept_runs(block: Block, waiting: Sequence[bytes]) -> Iterator[_Run]:
    dropped = rows_to_drop(block, waiting)
    borders = (0, *dropped, block.entry.n_rows)
    for first, end in zip(borders[::2], borders[1::2], strict=True):
        if first < end:
            yield _Run(block, first, end)


def _dead_after_copy(runs: Sequence[_Run]) -> ranges.Ranges:
    live = [run.block.are_live(np.arange(run.first, run.end)) for run in runs]
    return ranges.from_numbers(np.flatnonzero(~np.concatenate(live)))


def write_arrays(
    store: Path,
    segment: str,
    encoding: Encoding,
    *,
    keys: NDArray[Any],
    n_tokens: NDArray[np.int64],
    vectors: Pieces,
    values: Pieces,
    scales: Pieces,
    sums: Pieces,
    dead_rows: ranges.Ranges,
) -> BlockEntry:
    """Write and sync the files of a new block segment, and its directory."""
    directory = store / names.SEGMENTS / segment
    disk.make_directory(directory)
    offsets = np.concatenate(([0], np.cumsum(n_tokens))).astype("<u8")
    lookup = np.argsort(np.ascontiguousarray(keys).reshape(-1).view(f"S{KEY_BYTES}"), kind="stable").astype("<u4")
    contents: dict[str, Pieces] = {
        names.VECTORS: vectors,
        names.STATES: values,
        names.OFFSETS: (offsets,),
        names.KEYS: (keys,),
        names.LOOKUP: (lookup,),
        names.SUMS: sums,
    }
    if encoding.has_scales:
        contents[names.SCALES] = scales
    files: dict[str, FileSum] = {file: disk.write_file(directory / file, pieces) for file, pieces in contents.items()}
    disk.sync_directory(directory)
    return BlockEntry(segment, len(keys), int(n_tokens.sum()), dead_rows, files)
