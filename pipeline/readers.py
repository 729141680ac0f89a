"""Share one reader in memory among all components of a process that use the same folder and device."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

from deformer_qa.reader.reading import SplitReader
from deformer_qa.reader.shipped import SHIPPED

_loaded: weakref.WeakValueDictionary[tuple[str, str, int | None], SplitReader] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def shared_reader(folder: str | None = None, device: str = "cpu", threads: int | None = None) -> SplitReader:
    """Load the reader in a folder, the shipped one by default; it stays loaded while somebody holds it.

    :param threads: passages that are read at once; one for each processor if None.
    :raises ModelNotFound, WrongEncoder: if there is no usable reader; the message says what was found.
    """
    place = Path(folder) if folder else SHIPPED
    key = (str(place.resolve()), device, threads)
    with _lock:
        reader = _loaded.get(key)
        if reader is None:
            reader = SplitReader.load(place).to(device).use(n_threads=threads)
            _loaded[key] = reader
        return reader
