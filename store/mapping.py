"""Read-only arrays over committed files, opened so that no name, link or length in a damaged store leads astray."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from deformer_qa.store import names
from deformer_qa.store.disk import FileSum
from deformer_qa.store.errors import StoreAccess, StoreDamaged


def open_segment_file(store: Path, segment: str, file: str, expected: FileSum) -> int:
    """A descriptor of a committed file that has the committed size; links are not followed.

    :raises StoreDamaged: where it is gone (a reader racing collection sees that), or no plain file of that size.
    :raises StoreAccess: where it may not be read.
    """
    shown = names.segment_file(segment, file)
    try:
        fd = open_within(store, segment, file)
    except FileNotFoundError:
        raise StoreDamaged(shown, f"expected {expected.n_bytes:,} bytes, found no file") from None
    except PermissionError as error:
        raise StoreAccess(store / shown, "no permission to read the store") from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise StoreAccess(store / shown, "too many open files (raise the limit: ulimit -n)") from error
        raise StoreDamaged(shown, f"expected a plain file, cannot open it ({error.strerror})") from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_size != expected.n_bytes:
        os.close(fd)
        raise StoreDamaged(shown, f"expected {expected.n_bytes:,} bytes, found {found.st_size:,}")
    return fd


def open_within(store: Path, segment: str, file: str) -> int:
    """Open a file two folders below the store, following no link below it."""
    folder = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    segments = os.open(store / names.SEGMENTS, folder)
    try:
        directory = os.open(segment, folder, dir_fd=segments)
    finally:
        os.close(segments)
    try:
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    finally:
        os.close(directory)


def map_array(
    store: Path, segment: str, file: str, expected: FileSum, dtype: DTypeLike, shape: tuple[int, ...]
) -> NDArray[Any]:
    """A committed file as a read-only array of this dtype and shape; its pages are the page cache's.

    :raises StoreDamaged: where the size is not that of the shape, or not the committed one.
    """
    shown = names.segment_file(segment, file)
    n_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object))
    if expected.n_bytes != n_bytes:
        raise StoreDamaged(shown, f"expected {n_bytes:,} bytes for its shape, the manifest says {expected.n_bytes:,}")
    fd = open_segment_file(store, segment, file, expected)
    try:
        if n_bytes == 0:
            return np.empty(shape, dtype=dtype)
        if sys.version_info >= (3, 13):
            mapped = mmap.mmap(fd, n_bytes, prot=mmap.PROT_READ, trackfd=False)
        else:  # keeps a descriptor per mapped file
            mapped = mmap.mmap(fd, n_bytes, prot=mmap.PROT_READ)
    finally:
        os.close(fd)
    return np.frombuffer(mapped, dtype=dtype).reshape(shape)
