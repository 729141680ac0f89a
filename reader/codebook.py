"""The codebook in a reader's folder: arrays with which a store may compress the encoder's states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from deformer_qa.reader.errors import ModelNotFound

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
    try:
        arrays = {name: array.astype(np.float32) for name, array in load_file(path).items()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelNotFound(
            f"{path}: not a whole safetensors file ({error}); make it again with qa train codebook."
        ) from error
    if sorted(arrays) != ["centroids", "mean", "rotation"]:
        raise ModelNotFound(
            f"{path}: found {', '.join(sorted(arrays))}, expected centroids, mean, rotation; "
            "make it again with qa train codebook."
        )
    return arrays


def write_codebook(folder: Path, arrays: CodebookArrays) -> None:
    """Write a codebook into a reader's folder, rounded to half precision."""
    save_file({name: np.ascontiguousarray(array, np.float16) for name, array in arrays.items()}, folder / CODEBOOK)
