"""Reads and writes block segments: vectors and states by row, rows by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from deformer_qa.store import disk, names
from deformer_qa.store.disk import FileSum
from deformer_qa.store.encodings import EncodedStates, Encoding, encoding_named
from deformer_qa.store.errors import StoreDamaged
from deformer_qa.store.manifest import BlockEntry
from deformer_qa.store.records import KEY_BYTES, EncoderInfo
from deformer_qa.store.segments import ranges
from deformer_qa.store.segments.folder import SegmentFolder

VECTOR_SUM, STATES_SUM = 0, 1  # columns of the file of row checksums


def vector_sum(key: bytes, vector: NDArray[np.float32]) -> int:
    """The checksum of a row's vector: xxh3-64 over the key and the vector's bytes."""
    hasher = xxhash.xxh3_64(key)
    hasher.update(vector.data)
    return hasher.intdigest()


def states_sum(key: bytes, encoded: EncodedStates) -> int:
    """The checksum of a row's states: xxh3-64 over the key, the scales' bytes and the values' bytes."""
    hasher = xxhash.xxh3_64(key)
    hasher.update(encoded.scales.data)
    hasher.update(encoded.values.data)
    return hasher.intdigest()


class BlockFiles:
    """The mapped files of one block; immutable, shared by the snapshots of several generations.

    ``vectors``: *Shape* (n_rows, vector_width) float32. ``values``: (n_tokens, value width) and ``scales``: (n_tokens,
    scale width), the encoding's dtypes. ``offsets``: (n_rows + 1,) uint64, tokens. ``keys``: (n_rows, 16) uint8.
    ``lookup``: (n_rows,) uint32, rows in ascending order of key. ``sums``: (n_rows, 2) uint64.
    """

    def __init__(self, store: Path, entry: BlockEntry, encoder: EncoderInfo, encoding: str) -> None:
        self.segment = entry.segment
        self.n_rows = entry.n_rows
        self.n_tokens = entry.n_tokens
        self.encoding = encoding_named(encoding)

        with SegmentFolder(store, entry.segment) as folder:

            def mapped(file: str, dtype: str | np.dtype[np.generic], *shape: int) -> NDArray[Any]:
                return folder.map_array(file, entry.files[file], dtype, shape)

            n_values, n_scales = self.encoding.widths(encoder.hidden_width)
            self.vectors: NDArray[np.float32] = mapped(names.VECTORS, "<f4", self.n_rows, encoder.vector_width)
            self.values: NDArray[np.generic] = mapped(names.STATES, self.encoding.dtype, self.n_tokens, n_values)
            self.scales: NDArray[np.floating] = np.empty((self.n_tokens, 0), dtype=self.encoding.scale_dtype)
            if n_scales:
                self.scales = mapped(names.SCALES, self.encoding.scale_dtype, self.n_tokens, n_scales)
            self.offsets = mapped(names.OFFSETS, "<u8", self.n_rows + 1)
            self.keys = mapped(names.KEYS, "u1", self.n_rows, KEY_BYTES)
            self.lookup = mapped(names.LOOKUP, "<u4", self.n_rows)
            self.sums = mapped(names.SUMS, "<u8", self.n_rows, 2)
        self._sortable_keys = self.keys.reshape(-1).view(f"S{KEY_BYTES}")
        self._key_bytes = self.keys.reshape(-1).data
        self._checked = np.zeros((self.n_rows, 2), dtype=np.bool_)  # zero pages cost no memory until a row is touched

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """The row of each key, -1 if it is not here, by bisection of the mapped lookup.

        *Shape:* (n_keys,), int64.
        """
        if not keys:
            return np.empty(0, dtype=np.int64)
        wanted = np.frombuffer(b"".join(keys), dtype=f"S{KEY_BYTES}")
        low = np.zeros(len(wanted), dtype=np.int64)
        high = np.full(len(wanted), self.n_rows, dtype=np.int64)
        while (open_ones := low < high).any():
            middle = (low + high) // 2
            before = open_ones & (self._key_at(np.minimum(middle, self.n_rows - 1)) < wanted)
            low = np.where(before, middle + 1, low)
            high = np.where(open_ones & ~before, middle, high)
        place = np.minimum(low, self.n_rows - 1)
        found = (low < self.n_rows) & (self._key_at(place) == wanted)
        return np.where(found, self._rows_at(place), -1)

    def find_one(self, key: bytes) -> int:
        """The row of one key, -1 if it is not here; faster than ``find`` for a single key."""
        low, high = 0, self.n_rows
        while low < high:
            middle = (low + high) // 2
            if self.key(self._row_at(middle)) < key:
                low = middle + 1
            else:
                high = middle
        row = self._row_at(low) if low < self.n_rows else -1
        return row if row >= 0 and self.key(row) == key else -1

    def key(self, row: int) -> bytes:
        """The key of a row, unchecked: the row's checksums cover it."""
        return bytes(self._key_bytes[row * KEY_BYTES : (row + 1) * KEY_BYTES])

    def vector(self, row: int) -> NDArray[np.float32]:
        """The vector of a row, checked. *Shape:* (vector_width,), float32, read-only.

        :raises StoreDamaged: naming file and row.
        """
        vector: NDArray[np.float32] = self.vectors[row]
        if not self._checked[row, VECTOR_SUM]:
            self._check(row, VECTOR_SUM, names.VECTORS, vector_sum(self.key(row), vector), vector)
        return vector

    def encoded_states(self, row: int) -> EncodedStates:
        """The encoded states of a row, from the map, checked.

        :raises StoreDamaged: naming file and row.
        """
        start, end = int(self.offsets[row]), int(self.offsets[row + 1])
        if not 0 <= start < end <= self.n_tokens:
            raise self._damaged(names.OFFSETS, f"row {row}: found tokens {start} to {end} of {self.n_tokens}")
        encoded = EncodedStates(self.values[start:end], self.scales[start:end])
        if not self._checked[row, STATES_SUM]:
            floats = encoded.values if encoded.values.dtype.kind == "f" else encoded.scales
            self._check(row, STATES_SUM, names.STATES, states_sum(self.key(row), encoded), floats)
        return encoded

    def _check(self, row: int, column: int, file: str, found: int, content: NDArray[Any]) -> None:
        if int(self.sums[row, column]) != found:
            raise self._damaged(file, f"row {row}: the checksum does not match the content")
        if not np.isfinite(content).all():  # no writer of ours writes such values
            raise self._damaged(file, f"row {row}: found a value that is not finite")
        self._checked[row, column] = True

    def _damaged(self, file: str, problem: str) -> StoreDamaged:
        return StoreDamaged(names.segment_file(self.segment, file), problem)

    def _rows_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows at places of the lookup; a damaged lookup gives some row, whose key then does not match."""
        return np.minimum(self.lookup[places].astype(np.int64), self.n_rows - 1)

    def _row_at(self, place: int) -> int:
        return min(int(self.lookup[place]), self.n_rows - 1)

    def _key_at(self, places: NDArray[np.int64]) -> NDArray[np.bytes_]:
        return self._sortable_keys[self._rows_at(places)]


class Block:
    """A block as one generation sees it: its files, and which of its rows are live."""

    def __init__(self, entry: BlockEntry, files: BlockFiles) -> None:
        self.entry = entry
        self.files = files

    def are_live(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a live passage refers to each row. *Shape:* that of ``rows``."""
        return ~ranges.contains(self.entry.dead_rows, rows)

    @cached_property
    def dead_numbers(self) -> NDArray[np.int64]:
        """The dead rows. *Shape:* (n,), int64, ascending."""
        return ranges.to_numbers(self.entry.dead_rows)


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

    Rows in ``waiting`` are copied dead or alive. Returns None, and writes nothing, if no row is left. It does not check
    the rows: the caller has verified the sources' files.
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
    """The dead rows of a block that no document waits for."""
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
