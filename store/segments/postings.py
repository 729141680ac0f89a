"""The words of a catalogue, with the passages that hold each: its postings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import names
from deformer_qa.store.manifest import CatalogueEntry
from deformer_qa.store.segments.folder import SegmentFolder


class WordFiles:
    """The words of one catalogue; immutable. Damage here only costs hits, because nothing of it is shown.

    ``offsets``: *Shape* (n_words + 1, 2) uint64; word w has the bytes ``offsets[w, 0]`` to ``offsets[w + 1, 0]`` of the
    words, which ascend, and the postings ``offsets[w, 1]`` to ``offsets[w + 1, 1]``.
    ``bounds``: (n_words,) float32, the largest share of its weight that each word adds to a passage, see ``bm25``.
    ``places``: (n_postings,) uint32, places in the passage arrays, ascending per word.
    ``counts``: (n_postings,) uint32, occurrences.
    """

    def __init__(self, folder: SegmentFolder, entry: CatalogueEntry) -> None:
        def mapped(file: str, dtype: str, *shape: int) -> NDArray[Any]:
            return folder.map_array(file, entry.files[file], dtype, shape)

        self.n_words = entry.n_words
        self.n_passages = entry.n_passages
        self.words = mapped(names.WORDS, "u1", entry.files[names.WORDS].n_bytes)
        self.offsets = mapped(names.WORD_OFFSETS, "<u8", entry.n_words + 1, 2)
        self.bounds = mapped(names.WORD_BOUNDS, "<f4", entry.n_words)
        self.places = mapped(names.POSTING_PLACES, "<u4", entry.n_postings)
        self.counts = mapped(names.POSTING_COUNTS, "<u4", entry.n_postings)
        self._bytes = self.words.data

    def number(self, word: bytes) -> int | None:
        """The number of a word in the catalogue, None if it lacks the word."""
        low, high = 0, self.n_words
        while low < high:
            middle = (low + high) // 2
            if self.word(middle) < word:
                low = middle + 1
            else:
                high = middle
        return low if low < self.n_words and self.word(low) == word else None

    def word(self, number: int) -> bytes:
        """The word of a number, in UTF-8."""
        return bytes(self._bytes[int(self.offsets[number, 0]) : int(self.offsets[number + 1, 0])])

    def postings(self, number: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Places of the passages that hold a word, and the occurrences in each. *Shape* of both: (n,), uint32."""
        postings = slice(int(self.offsets[number, 1]), int(self.offsets[number + 1, 1]))
        places, counts = self.places[postings], self.counts[postings]
        if len(places) and int(places.max()) >= self.n_passages:  # damaged: no candidates
            inside = places < self.n_passages
            places, counts = places[inside], counts[inside]
        return places, counts
