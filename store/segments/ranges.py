"""Sets of numbers as a manifest keeps them: flat ``[first, end, first, end, ...]``, half open, ascending, apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ranges = tuple[int, ...]


def from_numbers(numbers: Iterable[int] | NDArray[np.int64]) -> Ranges:
    """The compact ranges of any numbers, in any order, repeated or not."""
    if not isinstance(numbers, np.ndarray):
        numbers = np.fromiter(numbers, dtype=np.int64)
    ordered = np.unique(numbers.astype(np.int64, copy=False))
    if not ordered.size:
        return ()
    breaks = np.flatnonzero(np.diff(ordered) != 1)
    firsts = ordered[np.concatenate(([0], breaks + 1))]
    ends = ordered[np.concatenate((breaks, [ordered.size - 1]))] + 1
    return tuple(int(n) for n in np.stack((firsts, ends), axis=1).ravel())


def to_numbers(ranges: Ranges) -> NDArray[np.int64]:
    """The numbers of some ranges. *Shape:* (n,), int64, ascending."""
    pieces = [np.arange(first, end, dtype=np.int64) for first, end in _pairs(ranges)]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)


def without(ranges: Ranges, numbers: NDArray[np.int64]) -> Ranges:
    """The ranges without some numbers, which need not be in them."""
    return from_numbers(np.setdiff1d(to_numbers(ranges), numbers)) if contains(ranges, numbers).any() else ranges


def count(ranges: Ranges) -> int:
    """How many numbers the ranges hold."""
    return sum(end - first for first, end in _pairs(ranges))


def contains(ranges: Ranges, numbers: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each number lies in the ranges, without expanding them. *Shape:* that of ``numbers``."""
    borders = np.asarray(ranges, dtype=np.int64)
    inside: NDArray[np.bool_] = np.searchsorted(borders, numbers.astype(np.int64), side="right") % 2 == 1
    return inside


def contains_one(ranges: Ranges, number: int) -> bool:
    """Whether one number lies in the ranges."""
    return bool(contains(ranges, np.asarray([number]))[0]) if ranges else False


def are_valid(ranges: Ranges, limit: int) -> bool:
    """Whether ranges read from a file are ascending, apart, and within ``0 <= number < limit``."""
    ascending = all(before < after for before, after in itertools.pairwise(ranges))
    return len(ranges) % 2 == 0 and ascending and (not ranges or (ranges[0] >= 0 and ranges[-1] <= limit))


def _pairs(ranges: Ranges) -> Iterable[tuple[int, int]]:
    return zip(ranges[::2], ranges[1::2], strict=True)
