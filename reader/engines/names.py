"""The names of engines."""

from __future__ import annotations

from typing import Literal

EngineName = Literal["onnx-int8", "onnx", "numpy", "torch", "torch-bf16"]
ENGINES: tuple[EngineName, ...] = ("onnx-int8", "onnx", "numpy", "torch", "torch-bf16")
"""The library, and the arithmetic if it is not fp32."""
