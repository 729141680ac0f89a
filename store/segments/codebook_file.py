"""A store's codebook on disk: one small file, checked by its checksum before any state is decoded."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash

from deformer_qa.store import disk, names
from deformer_qa.store.disk import FileSum
from deformer_qa.store.encodings import VALUES_PER_CODE, Codebook, codebook_shapes
from deformer_qa.store.errors import InvalidRecord, StoreDamaged
from deformer_qa.store.manifest import CodebookEntry, Manifest
from deformer_qa.store.segments.folder import SegmentFolder


class CodebookFiles:
    """The mapped file of a codebook; immutable, shared by the snapshots of several generations."""

    def __init__(self, store: Path, entry: CodebookEntry, width: int, encoding: str) -> None:
        self.entry, self._width, self._encoding = entry, width, encoding
        shapes = codebook_shapes(width, VALUES_PER_CODE[encoding])
        n_floats = sum(int(np.prod(shape)) for shape in shapes)
        file = entry.files[names.CODEBOOK]
        with SegmentFolder(store, entry.segment) as folder:
            self._flat = folder.map_array(names.CODEBOOK, file, "<f4", (n_floats,))

    @cached_property
    def codebook(self) -> Codebook:
        """The codebook. :raises StoreDamaged: if it is not the one that was committed, or is invalid."""
        shown = names.segment_file(self.entry.segment, names.CODEBOOK)
        flat = self._flat.copy()
        if xxhash.xxh3_128_hexdigest(flat.data) != self.entry.files[names.CODEBOOK].xxh3_128:
            raise StoreDamaged(shown, "the checksum does not match the content")
        try:
            return Codebook.from_array(flat, self._width, self._encoding)
        except InvalidRecord as error:
            raise StoreDamaged(shown, str(error)) from error


def open_codebook(store: Path, manifest: Manifest, open_one: CodebookFiles | None) -> CodebookFiles | None:
    """Open the codebook of a generation, None if its encoding has none; ``open_one`` is reused if it is the same."""
    entry = manifest.codebook
    if entry is None or (open_one is not None and open_one.entry == entry):
        return open_one if entry else None
    return CodebookFiles(store, entry, manifest.encoder.hidden_width, manifest.encoding)


def write_codebook(store: Path, segment: str, codebook: Codebook) -> CodebookEntry:
    """Write and sync a segment with a codebook."""
    directory = store / names.SEGMENTS / segment
    disk.make_directory(directory)
    arrays = [array.astype("<f4", copy=False) for array in codebook.arrays]
    files: dict[str, FileSum] = {names.CODEBOOK: disk.write_file(directory / names.CODEBOOK, arrays)}
    disk.sync_directory(directory)
    return CodebookEntry(segment, files)


def codebook_sum(codebook: Codebook) -> FileSum:
    """Size and checksum of the file that a codebook would make."""
    content = b"".join(array.astype("<f4", copy=False).tobytes() for array in codebook.arrays)
    return FileSum(len(content), xxhash.xxh3_128_hexdigest(content))
