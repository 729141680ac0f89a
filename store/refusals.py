"""What does it mean that the system refused? No rights, no room and no descriptors are no damage, and say so."""

from __future__ import annotations

import errno
from pathlib import Path

from deformer_qa.store.errors import StoreAccess, StoreError, StoreFull

_NO_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_TOO_LITTLE = {
    errno.EMFILE: ("too many open files", "Raise the limit (ulimit -n)."),
    errno.EFBIG: ("the limit on a file's size is reached", "Raise it (ulimit -f)."),
    errno.ENFILE: ("too many open files on this machine", "Wait, then run again."),
    errno.ENOMEM: ("not enough memory", "Raise the limit (ulimit -v), or run again with more."),
}


def reading_refused(path: Path, error: OSError) -> StoreAccess | None:
    """What to raise where something of the store could not be read; None where the file itself is at fault."""
    if error.errno in _NO_RIGHTS:
        return StoreAccess(path, "no permission to read the store")
    if error.errno in _TOO_LITTLE:
        return StoreAccess(path, *_TOO_LITTLE[error.errno])
    return None


def writing_refused(store: Path, path: Path, error: OSError) -> StoreError | None:
    """What to raise where something of the store could not be written; None where it is none of these."""
    if error.errno in _NO_ROOM:
        return StoreFull(store, None, None)
    if error.errno in _NO_RIGHTS:
        return StoreAccess(path, f"no permission to write the store ({error.strerror})")
    if error.errno in _TOO_LITTLE:
        return StoreAccess(path, *_TOO_LITTLE[error.errno])
    return None
