"""What can still be read of a damaged segment: files too short, unreadable in parts, in another's place, or gone."""

from __future__ import annotations

import os
import stat
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from deformer_qa.store import names
from deformer_qa.store.mapping import SegmentFolder

SECTOR_BYTES = 4096  # read apart where a longer read fails, so that one bad place of the disk costs no more


class Leftover:
    """A file read by ``pread``, zeros where nothing can be read. Never mapped: a bad sector in a map kills the process.

    :ivar n_bytes: how many bytes are there; 0 where there is no plain file
    """

    def __init__(self, store: Path, segment: str, file: str) -> None:
        self.n_bytes = 0
        self._fd = -1
        try:
            with SegmentFolder(store, segment) as folder:
                self._fd = folder.open_plain(file)
        except OSError:
            return
        weakref.finalize(self, os.close, self._fd)
        found = os.fstat(self._fd)
        if stat.S_ISREG(found.st_mode):
            self.n_bytes = found.st_size

    def read(self, first: int, end: int) -> bytes:
        """The bytes from ``first`` to ``end``, zeros for those that cannot be read."""
        content = bytearray(end - first)
        readable = memoryview(content)[: max(0, min(end, self.n_bytes) - first)]
        try:
            _fill(self._fd, readable, first)
        except OSError:
            for start in range(0, len(readable), SECTOR_BYTES):
                try:
                    _fill(self._fd, readable[start : start + SECTOR_BYTES], first + start)
                except OSError:
                    readable[start : start + SECTOR_BYTES] = bytes(len(readable[start : start + SECTOR_BYTES]))
        return bytes(content)

    def array(self, dtype: DTypeLike, *shape: int) -> NDArray[Any]:
        """The beginning of the file as an array in memory. *Shape:* as asked for, zeros where nothing can be read."""
        n_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object))
        return np.frombuffer(self.read(0, n_bytes), dtype=dtype).reshape(shape)

    def rows(self, dtype: DTypeLike, width: int, first: int, end: int) -> NDArray[Any]:
        """Some rows of an array that has ``width`` columns. *Shape:* (end - first, width)."""
        row_bytes = np.dtype(dtype).itemsize * width
        return np.frombuffer(self.read(first * row_bytes, end * row_bytes), dtype=dtype).reshape(end - first, width)


@dataclass(frozen=True)
class Remains:
    """What is left of a damaged segment.

    :ivar lost: files whose committed bytes are nowhere
    :ivar misplaced: files whose committed bytes lie in the folder of another segment, by the name of that one
    """

    store: Path
    segment: str
    lost: frozenset[str]
    misplaced: Mapping[str, str]

    def are_whole(self, *files: str) -> bool:
        """Whether every byte of these files is as it was committed, wherever it lies."""
        return self.lost.isdisjoint(files)

    def open(self, file: str) -> Leftover:
        """What can be read of a file."""
        return Leftover(self.store, self.misplaced.get(file, self.segment), file)

    def path(self, file: str) -> Path:
        """Where it lies."""
        return self.store / names.segment_file(self.misplaced.get(file, self.segment), file)


def _fill(fd: int, piece: memoryview, offset: int) -> None:
    """Read until the piece is full or the file ends."""
    while piece.nbytes and (n_read := os.preadv(fd, [piece], offset)):
        piece, offset = piece[n_read:], offset + n_read
