"""Reads the weights of a model from its files: mapped where they are float32, converted where they are not."""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from deformer_qa.reader.errors import ModelNotFound, UnsupportedModel

Array = NDArray[np.float32]
Arrays = Mapping[str, Array]
"""Weights by name."""

_FLOATS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F64": np.dtype("<f8"),
}


class WeightsFile(Mapping[str, Array]):
    """The floating-point tensors of a safetensors file as float32, each read when it is first used.

    Tensors in float32 are mapped, so that only the parts that are used are read. The arrays may be written to; the
    file does not change.

    :ivar shapes: of all tensors, by name
    """

    def __init__(self, path: Path) -> None:
        """:raises ModelNotFound: if the file is damaged."""
        try:
            with safe_open(path, framework="numpy"):  # checks the header against the file's length
                pass
        except SafetensorError as error:
            raise ModelNotFound(f"{path}: not a whole safetensors file ({error}); fetch or make it again.") from error
        with path.open("rb") as file:
            try:
                self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            except OSError as error:  # which does not name the file
                raise OSError(error.errno, error.strerror, str(path)) from error
        (length,) = struct.unpack_from("<Q", self._mapped)
        header: dict[str, Any] = json.loads(self._mapped[8 : 8 + length])
        header.pop("__metadata__", None)
        self._first = 8 + length
        self._about = {name: about for name, about in header.items() if about["dtype"] in _FLOATS}
        self._read: dict[str, Array] = {}
        self.shapes: dict[str, tuple[int, ...]] = {name: tuple(about["shape"]) for name, about in self._about.items()}

    def __getitem__(self, name: str) -> Array:
        if name not in self._read:
            about = self._about[name]
            self._read[name] = self._float32(self._first + about["data_offsets"][0], about["dtype"], about["shape"])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def add_zeros(self, name: str, shape: tuple[int, ...]) -> None:
        """Add a tensor of zeros, unless the file has one of this name."""
        if name not in self.shapes:
            self.shapes[name] = shape
            self._read[name] = np.zeros(shape, np.float32)

    def _float32(self, start: int, dtype: str, shape: list[int]) -> Array:
        stored: NDArray[Any] = np.frombuffer(self._mapped, _FLOATS[dtype], math.prod(shape), start).reshape(shape)
        if dtype == "BF16":  # the upper half of a float32
            stored = (stored.astype(np.uint32) << 16).view(np.float32)
        made: Array = stored.astype(np.float32, copy=False)
        return made


def read_pytorch_file(path: Path) -> dict[str, Array]:
    """Read the floating-point tensors of a PyTorch file as float32; no code in it is run."""
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in content.items() if tensor.is_floating_point()}


def check_shapes(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise UnsupportedModel if weights are missing or have other shapes; ``expected`` may leave some out."""
    for name, shape in expected.items():
        if found.get(name) != shape:
            raise UnsupportedModel(
                f"{where}: the weights are not those that its configuration describes "
                f"({name}: found {found.get(name, 'none')}, expected {shape})."
            )
