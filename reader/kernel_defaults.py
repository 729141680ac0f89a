"""Two defaults of torch's CPU kernels, set before torch is loaded, which reads them once (decision 6)."""

from __future__ import annotations

import os

KERNEL_DEFAULTS = {
    # Threads that wait do not spin: beside other work on the same cores, spinning burns the time of what is waited for.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Kernels keep memory for each shape they have met, by default for a thousand of them.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
}


def set_kernel_defaults() -> None:
    """Set those that the user has not set; for commands, an application's environment is its own."""
    for name, value in KERNEL_DEFAULTS.items():
        os.environ.setdefault(name, value)
