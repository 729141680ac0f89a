"""Measure what a computation costs: seconds, bytes that its operations request, and operations counted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from deformer_qa.reader.engines import choice

Run = Callable[[], object]


def seconds_in_turn(
    runs: Mapping[str, Run], rounds: int, device: str = "cpu", clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Time all runs in turn for ``rounds`` rounds, after an uncounted one; return the seconds of each.

    :param clock: the processor's (``time.process_time``) is the steadier one where a single thread computes.
    """
    took: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            _wait(device)
            began = clock()
            with torch.inference_mode():
                run()
            _wait(device)
            if number:
                took[name].append(clock() - began)
    return took


def ratio(of: list[float], to: list[float]) -> dict[str, float]:
    """How many times as long ``of`` takes as ``to``: the median, least and most of the rounds' ratios."""
    ratios = [one / other for one, other in zip(of, to, strict=True)]
    return {"times": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


def bytes_requested(run: Run) -> int:
    """Sum the bytes of all tensors that operations create, freed or not: the paper's measure of memory.

    A result that is a view of an operand, or is written into one, counts as 0 bytes.
    """
    counter = _Requests()
    with torch.inference_mode(), counter:
        run()
    return counter.n_bytes


def operations(run: Run) -> int:
    """Count the multiplications and additions of matrix products, each as one."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def machine(device: str = "cpu") -> dict[str, Any]:
    """Name the device, threads and versions that figures were measured with."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else choice.machine()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


class _Requests(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of results that share no storage with an operand."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        taken = {_storage(one) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        new = {_storage(one): one for one in tree_leaves(made) if isinstance(one, Tensor)}
        self.n_bytes += sum(one.untyped_storage().nbytes() for key, one in new.items() if key not in taken)
        return made


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
