"""Which rows of a damaged block are still right, and how they are carried over into a new one.

A row is right where its own checksums say so, or where the files that hold it are, as wholes, those that the manifest
names. So a lost ``sums`` or ``lookup`` costs no row. Lost ``offsets`` are found again row by row, from the checksum of
the states; lost ``keys`` by trying the keys that are missed, in the order that ``lookup`` gives.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import names, ranges
from deformer_qa.store.block import STATES_SUM, VECTOR_SUM, states_sum, vector_sum
from deformer_qa.store.block_writing import write_arrays
from deformer_qa.store.encodings import EncodedStates, encoding_named
from deformer_qa.store.leftovers import Remains
from deformer_qa.store.manifest import BlockEntry
from deformer_qa.store.records import KEY_BYTES, EncoderInfo

KEY_TYPE = f"S{KEY_BYTES}"
MOST_TOKENS = 1024  # of a row whose end is looked for
MOST_CLAIMED = 1 << 16  # tokens of a row by damaged offsets: more is not read at once to be compared
MOST_TRIED = 64  # neighbouring keys tried for a row whose own key is lost


class SalvagedRows:
    """The rows of a damaged block. Only keys, checksums and places are held in memory.

    :ivar entry: the block as the manifest has it
    :ivar is_right: *Shape* (rows that are there,), bool
    :ivar keys: *Shape* (rows,), ``S16``; true where ``is_right`` is
    :ivar is_proven: whether the committed files, and not only the rows' own checksums, speak for the right ones. Where
        not, all of it may be a whole block of another store, put in the place of this one.
    """

    def __init__(self, entry: BlockEntry, remains: Remains, encoder: EncoderInfo, encoding: str) -> None:
        self.entry = entry
        self.encoding = encoding_named(encoding)
        self._remains = remains
        self._vector_width = encoder.vector_width
        self._n_values, self._n_scales = self.encoding.widths(encoder.hidden_width)
        files = {file: remains.open(file) for file in entry.files}
        self._vectors, self._states, self._scales = files[names.VECTORS], files[names.STATES], files.get(names.SCALES)
        self.n_rows = min(entry.n_rows, self._vectors.n_bytes // (4 * encoder.vector_width))  # no vector, no row
        self._n_tokens = min(entry.n_tokens, self._states.n_bytes // (self.encoding.dtype.itemsize * self._n_values))
        self.keys = files[names.KEYS].array(KEY_TYPE, self.n_rows).copy()
        self._claimed = files[names.OFFSETS].array("<u8", self.n_rows + 1)
        self._lookup = files[names.LOOKUP].array("<u4", entry.n_rows if self._remains.are_whole(names.LOOKUP) else 0)
        self._old_sums = files[names.SUMS].array("<u8", self.n_rows, 2)
        self._sums = np.zeros((self.n_rows, 2), dtype="<u8")
        self._places = np.zeros((self.n_rows, 2), dtype=np.int64)  # first and end token
        self.is_right = np.zeros(self.n_rows, dtype=np.bool_)
        content = {names.KEYS, names.OFFSETS, names.STATES, *([names.SCALES] if names.SCALES in entry.files else [])}
        self._vectors_proven = self._remains.are_whole(names.VECTORS, names.KEYS)
        self._states_proven = self._remains.are_whole(*content)
        self.is_proven = self._remains.are_whole(names.SUMS) or (self._vectors_proven and self._states_proven)
        cursor = 0
        for row in range(self.n_rows):
            key = self._key(row)
            cursor = self._find_states(row, key, cursor)
            self.is_right[row] = cursor >= 0 and self._vector_is_right(row, key)

    @property
    def committed_keys(self) -> NDArray[np.bytes_]:
        """The keys that this block is known to have held. *Shape:* (keys,), ``S16``."""
        found: NDArray[np.bytes_] = self.keys if self._remains.are_whole(names.KEYS) else self.keys[self.is_right]
        return found

    @property
    def lost_keys(self) -> bool:
        """Whether it held keys that ``committed_keys`` may lack."""
        return not self._remains.are_whole(names.KEYS)

    @property
    def n_right(self) -> int:
        """How many rows are right."""
        return int(np.count_nonzero(self.is_right))

    def identify(self, missed: NDArray[np.bytes_]) -> None:
        """Give rows whose keys are lost those of the missed keys that their checksums cover.

        :param missed: *Shape* (keys,), ``S16``, ascending; those that no row has.
        """
        if self._remains.are_whole(names.KEYS) or not self._remains.are_whole(names.LOOKUP, names.SUMS):
            return
        place = 0
        for row in self._lookup:
            if row >= self.n_rows or self.is_right[row]:
                continue
            for tried in range(place, min(place + MOST_TRIED, len(missed))):
                key = _padded(missed[tried])
                if self._vector_is_right(row, key):
                    self.is_right[row] = self._find_states(row, key, -1) >= 0
                    self.keys[row], place = missed[tried], tried + 1
                    break

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Take rows for wrong. ``rows``: *Shape* (rows that are there,), bool."""
        self.is_right &= ~rows

    def row(self, row: int) -> tuple[NDArray[np.float32], EncodedStates]:
        """The vector and the coded states of a row that is right."""
        first, end = (int(place) for place in self._places[row])
        return self._vector(row), self._encoded(first, end)

    def write(self, segment: str, live: NDArray[np.bool_]) -> BlockEntry | None:
        """Write and sync a block of the rows that are right; None, and nothing is written, where none is.

        ``live``: *Shape* (rows that are there,), bool: whether a live passage refers to each.
        """
        kept = np.flatnonzero(self.is_right)
        if not len(kept):
            return None
        keys = self.keys[kept]
        return write_arrays(
            self._remains.store,
            segment,
            self.encoding,
            keys=keys.view("u1").reshape(-1, KEY_BYTES),
            n_tokens=np.diff(self._places[kept], axis=1)[:, 0],
            vectors=(self._vector(int(row)) for row in kept),
            values=(encoded.values for encoded in self._all_encoded(kept)),
            scales=(encoded.scales for encoded in self._all_encoded(kept)),
            sums=(self._sums[kept],),
            dead_rows=ranges.from_numbers(np.flatnonzero(~live[kept])),
        )

    def _key(self, row: int) -> bytes:
        return _padded(self.keys[row])

    def _vector_is_right(self, row: int, key: bytes) -> bool:
        found = vector_sum(key, self._vector(row))
        self._sums[row, VECTOR_SUM] = found
        return self._vectors_proven or found == int(self._old_sums[row, VECTOR_SUM])

    def _find_states(self, row: int, key: bytes, cursor: int) -> int:
        """Note the tokens of a row, checked; returns where the next row's should begin, -1 where they are not found.

        ``cursor``: where they should begin, -1 where that is not known.
        """
        first, end = (int(place) for place in self._claimed[row : row + 2])
        lost = not self._remains.are_whole(names.OFFSETS)
        is_possible = 0 <= first < end <= self._n_tokens and not (lost and end - first > MOST_CLAIMED)
        if is_possible and self._states_are_right(row, key, first, self._encoded(first, end)):
            return end
        if not lost or not self._remains.are_whole(names.KEYS):
            return -1
        for start in {cursor, first}:
            longest = min(MOST_TOKENS, self._n_tokens - start) if start >= 0 else 0
            following = self._encoded(start, start + max(longest, 0))
            for n in range(1, longest + 1):
                tried = EncodedStates(following.values[:n], following.scales[:n])
                if self._states_are_right(row, key, start, tried):
                    return start + n
        return -1

    def _states_are_right(self, row: int, key: bytes, first: int, encoded: EncodedStates) -> bool:
        found = states_sum(key, encoded)
        self._sums[row, STATES_SUM] = found
        self._places[row] = first, first + len(encoded.values)
        return self._states_proven or found == int(self._old_sums[row, STATES_SUM])

    def _vector(self, row: int) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self._vectors.rows("<f4", self._vector_width, row, row + 1)[0]
        return vector

    def _encoded(self, first: int, end: int) -> EncodedStates:
        scales = np.empty((end - first, 0), dtype=self.encoding.scale_dtype)
        if self._scales is not None:
            scales = self._scales.rows(self.encoding.scale_dtype, self._n_scales, first, end)
        return EncodedStates(self._states.rows(self.encoding.dtype, self._n_values, first, end), scales)

    def _all_encoded(self, rows: NDArray[np.intp]) -> Iterator[EncodedStates]:
        return (self._encoded(int(first), int(end)) for first, end in self._places[rows])


def _padded(key: np.bytes_) -> bytes:
    """A key as 16 bytes; numpy drops the zeros at its end."""
    return bytes(key).ljust(KEY_BYTES, b"\0")
