"""Decides when a store makes vector indexes, and of which kind.

A small store has none. Factory strings are those of FAISS, limited to the kinds that a store can hold.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from deformer_qa.store.errors import InvalidRecord

AUTO = "auto"  # chosen by size
FLAT = "flat"  # no index: every vector is compared
LARGEST_LISTS = 1 << 20

_FACTORY = re.compile(r"IVF([1-9][0-9]{0,6})(?:_HNSW([1-9][0-9]{0,2}))?,SQ8")


@dataclass(frozen=True)
class Factory:
    """An inverted file of int8 codes. ``n_links``: per centroid in an HNSW graph over them, 0 without a graph."""

    n_lists: int
    n_links: int

    def __str__(self) -> str:
        graph = f"_HNSW{self.n_links}" if self.n_links else ""
        return f"IVF{self.n_lists}{graph},SQ8"


def parsed(factory: str) -> Factory:
    """Parse a factory string.

    :raises InvalidRecord: if it is none of those that a store can hold.
    """
    match = _FACTORY.fullmatch(factory) if isinstance(factory, str) else None
    if match is None or int(match[1]) > LARGEST_LISTS or int(match[2] or 2) not in range(2, 129):
        raise InvalidRecord(
            f"vector index: found {factory!r}, expected {AUTO}, {FLAT}, or a factory string such as "
            f"IVF1024,SQ8 or IVF16384_HNSW32,SQ8 (lists up to {LARGEST_LISTS:,}, links from 2 to 128)."
        )
    return Factory(int(match[1]), int(match[2] or 0))


def check_choice(choice: str) -> str:
    """Check a user's choice and return it as a store keeps it: auto, flat, or a factory string.

    :raises InvalidRecord: if it is none of them.
    """
    return choice if choice in (AUTO, FLAT) else str(parsed(choice))


def by_size(n_rows: int) -> Factory:
    """The factory for a number of rows: about four lists per square root of the rows, as a power of two.

    The lists to compare and the rows to search then grow alike. With half as many lists, clusters were split so badly
    that nine times as many rows had to be searched (decision 11).
    """
    return Factory(1 << max(4, round(math.log2(4 * math.sqrt(n_rows)))), 0)


FLAT_ROWS = 50_000  # comparing so many one by one takes about as long as a search in an index


def is_due(n_uncovered: int, choice: str, has_indexes: bool) -> bool:
    """Whether this many rows without an index should get one."""
    return n_uncovered > (FLAT_ROWS if choice == AUTO or has_indexes else 0)


def factory_of(choice: str, n_rows: int) -> Factory:
    """The kind of index for a number of rows."""
    return by_size(n_rows) if choice == AUTO else parsed(choice)
