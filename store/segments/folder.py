"""Maps committed files as read-only arrays, safely even if names, links or lengths in a store are damaged."""

from __future__ import annotations

import math
import mmap
import os
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from deformer_qa.store import names
from deformer_qa.store.disk import FileSum
from deformer_qa.store.errors import StoreDamaged, reading_refused


class SegmentFolder:
    """A segment's folder while its files are opened. It is opened once for all of them and follows no link."""

    def __init__(self, store: Path, segment: str) -> None:
        self._store = store
        self._segment = segment
        self._fd = -1

    def open_file(self, file: str, expected: FileSum) -> int:
        """A descriptor of a committed file that has the committed size; links are not followed.

        :raises StoreDamaged: if it is missing (as when a writer collects it), or not a plain file of that size.
        :raises StoreAccess: if it may not be read.
        """
        try:
            fd = self.open_plain(file)
        except FileNotFoundError:
            raise self._damaged(file, f"expected {expected.n_bytes:,} bytes, found no file") from None
        except OSError as error:
            if refused := reading_refused(self._path(file), error):
                raise refused from error
            raise self._damaged(file, f"expected a plain file, cannot open it ({error.strerror})") from error
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size != expected.n_bytes:
            os.close(fd)
            raise self._damaged(file, f"expected {expected.n_bytes:,} bytes, found {found.st_size:,}")
        return fd

    def map_array(self, file: str, expected: FileSum, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """A committed file as a read-only array of this dtype and shape; its pages are the page cache's.

        :raises StoreDamaged: if the size is not that of the shape, or not the committed one.
        """
        n_bytes = np.dtype(dtype).itemsize * math.prod(shape)
        if expected.n_bytes != n_bytes:
            said = f"the manifest says {expected.n_bytes:,}"
            raise self._damaged(file, f"expected {n_bytes:,} bytes for its shape, {said}")
        fd = self.open_file(file, expected)
        try:
            if n_bytes == 0:
                return np.empty(shape, dtype=dtype)
            if sys.version_info >= (3, 13):
                mapped = mmap.mmap(fd, n_bytes, prot=mmap.PROT_READ, trackfd=False)
            else:  # keeps a descriptor per mapped file
                mapped = mmap.mmap(fd, n_bytes, prot=mmap.PROT_READ)
        except OSError as error:
            raise reading_refused(self._path(file), error) or error from error
        finally:
            os.close(fd)
        return np.frombuffer(mapped, dtype=dtype).reshape(shape)

    def __enter__(self) -> SegmentFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def open_plain(self, file: str) -> int:
        """A descriptor of the entry with this name; follows no link, waits for no pipe."""
        if self._fd < 0:
            folder = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            segments = os.open(os.path.join(self._store, names.SEGMENTS), folder)
            try:
                self._fd = os.open(self._segment, folder, dir_fd=segments)
            finally:
                os.close(segments)
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._fd)

    def _damaged(self, file: str, problem: str) -> StoreDamaged:
        return StoreDamaged(names.segment_file(self._segment, file), problem)

    def _path(self, file: str) -> Path:
        return self._store / names.segment_file(self._segment, file)


def open_segment_file(store: Path, segment: str, file: str, expected: FileSum) -> int:
    """A descriptor of one committed file; see ``SegmentFolder.open_file``."""
    with SegmentFolder(store, segment) as folder:
        return folder.open_file(file, expected)
