"""The codebook in a reader's folder: arrays with which a store may compress the encoder's states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deformer_qa.reader.errors import ModelNotFound
from deformer_qa.reader.weights import WeightsFile

CODEBOOK = "codebook.safetensors"

CodebookArrays = Mapping[str, NDArray[np.float32]]
"""``mean``, ``rotation`` and ``centroids``, float32; the store defines their meaning."""


def read_codebook(folder: Path) -> CodebookArrays | None:
    """The codebook of a reader, None if it has none.

    :raises ModelNotFound: if the file is damaged or holds something else.
    """
    path = folder / CODEBOOK
    if not path.is_file():
        return None
    arrays = dict(WeightsFile(path))
    if sorted(arrays) != ["centroids", "mean", "rotation"]:
        raise ModelNotFound(
            f"{path}: found {', '.join(sorted(arrays))}, expected centroids, mean, rotation; "
            "make it again with qa train codebook."
        )
    return arrays


def write_codebook(folder: Path, arrays: CodebookArrays) -> None:
    """Write a codebook into a reader's folder, rounded to half precision."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array, np.float16) for name, array in arrays.items()}, folder / CODEBOOK)
