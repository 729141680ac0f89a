"""What lies in a block segment: vectors and states by row, rows by key, each checked when first touched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from deformer_qa.store import names, ranges
from deformer_qa.store.encodings import EncodedStates, encoding_named
from deformer_qa.store.errors import StoreDamaged
from deformer_qa.store.manifest import BlockEntry
from deformer_qa.store.mapping import SegmentFolder
from deformer_qa.store.records import KEY_BYTES, EncoderInfo

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
        self._checked = np.zeros((self.n_rows, 2), dtype=np.bool_)  # pages of zeros cost nothing until a row is touched

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """The row of each key, -1 where it is not here, by bisection of the mapped lookup.

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
        """The row of one key, -1 where it is not here; for one key faster than ``find``."""
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
        """The states of a row as they lie in the map, checked.

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
        if not np.isfinite(content).all():  # no writer of ours wrote that
            raise self._damaged(file, f"row {row}: found a value that is not finite")
        self._checked[row, column] = True

    def _damaged(self, file: str, problem: str) -> StoreDamaged:
        return StoreDamaged(names.segment_file(self.segment, file), problem)

    def _rows_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows at places of the lookup; a damaged lookup leads to some row, whose key then does not match."""
        return np.minimum(self.lookup[places].astype(np.int64), self.n_rows - 1)

    def _row_at(self, place: int) -> int:
        return min(int(self.lookup[place]), self.n_rows - 1)

    def _key_at(self, places: NDArray[np.int64]) -> NDArray[np.bytes_]:
        return self._sortable_keys[self._rows_at(places)]


class Block:
    """A block as one generation sees it: its files, and which of its rows live."""

    def __init__(self, entry: BlockEntry, files: BlockFiles) -> None:
        self.entry = entry
        self.files = files

    def are_live(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a live passage refers to each row. *Shape:* that of ``rows``."""
        return ~ranges.contains(self.entry.dead_rows, rows)

    @cached_property
    def live_bits(self) -> NDArray[np.uint8]:
        """One bit per row, lowest first: whether it lives. *Shape:* (n_rows / 8 rounded up,), uint8."""
        return np.packbits(self.are_live(np.arange(self.entry.n_rows)), bitorder="little")
