"""How are states kept? The choices of ``--encoding`` and ``--states``, and what the store does to states by each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deformer_qa.reader.encoder import Encoder
    from deformer_qa.store.encodings import Encoding

ENCODINGS = ("fp16", "int8", "int4", "pq4", "pq6")
"""The store's, spelled here too: its module is too slow to load for ``qa --help``."""


def encoding_of(encoder: Encoder, name: str | None) -> Encoding:
    """An encoding by name; None is what a new store of this encoder's states takes.

    :raises InvalidRecord: where it needs a codebook and the encoder came without.
    """
    from deformer_qa.indexer.encoding import codebook_of
    from deformer_qa.store.encodings import DEFAULT_ENCODING, encoding_named

    codebook = codebook_of(encoder)
    chosen = name or (codebook.encoding if codebook else DEFAULT_ENCODING)
    return encoding_named(chosen, codebook if codebook and codebook.encoding == chosen else None)


def through(encoding: Encoding) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What the store does to states on their way to the joint layers."""
    return lambda states: encoding.decode(encoding.encode(states))
