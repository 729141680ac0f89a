"""Sets defaults of CPU kernels before the libraries are loaded that read them once (decision 6)."""

from __future__ import annotations

import os

KERNEL_DEFAULTS = {
    # Waiting threads do not spin: beside other work on the same cores, spinning slows the work they wait for.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Kernels keep memory for each shape they have seen, by default for a thousand shapes.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    # A question's matrices are too small for several threads, and numpy's threads spin too.
    "OPENBLAS_NUM_THREADS": "1",
}


def set_kernel_defaults() -> None:
    """Set defaults that the user has not set; only for commands, because an application owns its environment."""
    for name, value in KERNEL_DEFAULTS.items():
        os.environ.setdefault(name, value)
