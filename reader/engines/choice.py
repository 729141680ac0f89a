"""Chooses the engine of a reader on this machine, once, and says why.

The candidates are those that can run here, fastest first as measured where the project was made. Where onnxruntime has
both a graph in whole numbers and one in fp32, the processor decides: without instructions for whole numbers, the first
may be the slower one. So both are timed at first use, and the result is kept in the cache folder.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from deformer_qa.reader.cache import KeptFacts
from deformer_qa.reader.engines.engine import LAYERS_OF_BERT, WITH_GRAPHS, JointEngine
from deformer_qa.reader.engines.names import ENGINES, EngineName
from deformer_qa.reader.machine import processor

_ROUNDS, _TOKENS, _ASKED = 5, 128, 14


@dataclass(frozen=True)
class Choice:
    """An engine, and why it is used.

    :ivar reason: one clause, such as "only torch runs on cuda"
    """

    engine: EngineName
    reason: str


@dataclass(frozen=True)
class Circumstances:
    """What a choice depends on.

    :ivar family: of the model
    :ivar device: "cpu", or torch's name of an accelerator
    :ivar has_onnxruntime: whether it is installed
    :ivar has_graph: whether the reader has a graph in whole numbers that belongs to its weights
    """

    family: str
    device: str = "cpu"
    has_onnxruntime: bool = True
    has_graph: bool = False


def has_onnxruntime() -> bool:
    """Whether onnxruntime and onnx are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnxruntime", "onnx"))


def encoder_choice(where: Circumstances) -> Choice:
    """The engine of an encoder. All of them compute in fp32, so that states do not depend on the machine."""
    return _forced(where) or Choice("onnx", "onnxruntime in fp32 is the fastest on a processor")


def joint_choice(where: Circumstances, measured: Callable[[], dict[EngineName, float]]) -> Choice:
    """The engine of joint layers.

    :param measured: gives milliseconds for a passage by engine; called only if the choice depends on it.
    """
    forced = _forced(where)
    if forced:
        return forced
    if not where.has_graph:
        return Choice("onnx", "onnxruntime in fp32, because the reader has no int8 graph of its weights")
    times = measured()
    best = min(times, key=lambda name: times[name])
    figures = ", ".join(f"{name} {times[name]:.1f} ms" for name in sorted(times, key=lambda name: times[name]))
    return Choice(best, f"the fastest here for a passage of {_TOKENS} tokens: {figures}")


def _forced(where: Circumstances) -> Choice | None:
    if where.device != "cpu":
        return Choice("torch", f"only torch runs on {where.device}")
    if where.family not in WITH_GRAPHS:
        return Choice("torch", f"layers of {where.family} have no graph")
    if where.has_onnxruntime:
        return None
    name: EngineName = "numpy" if where.family in LAYERS_OF_BERT else "torch"
    return Choice(name, f"onnxruntime is not installed; {name} is slower and gives the same answers")


def timed(engines: dict[EngineName, Callable[[], JointEngine]], hidden_width: int) -> dict[EngineName, float]:
    """The time of each engine for one passage of noise, in milliseconds: the median of some alternating rounds."""
    made = np.random.default_rng(0)
    asked = made.standard_normal((_ASKED, hidden_width), np.float32)
    passage = made.standard_normal((_TOKENS, hidden_width), np.float32)
    loaded = {name: load() for name, load in engines.items()}
    times: dict[EngineName, list[float]] = {name: [] for name in loaded}
    for number in range(_ROUNDS + 1):
        for name, engine in loaded.items():
            began = time.perf_counter()
            engine.read(asked, [passage])
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - began) * 1000)
    return {name: round(float(np.median(taken)), 3) for name, taken in times.items()}


def kept_times(key: str, measure: Callable[[], dict[EngineName, float]]) -> dict[EngineName, float]:
    """The times kept under a key on this machine, measured and kept if there are none."""
    facts = KeptFacts("engines.json")
    whole = f"{key} on {machine()}"
    known = facts.get(whole)
    is_sound = isinstance(known, dict) and known and set(known) <= set(ENGINES)
    if is_sound and all(isinstance(one, (int, float)) for one in known.values()):
        return dict(known)
    times = measure()
    facts.keep(whole, times)
    return times


@cache
def machine() -> str:
    """This processor and this onnxruntime, in words."""
    if not has_onnxruntime():
        return processor()
    import onnxruntime

    return f"{processor()}, onnxruntime {onnxruntime.__version__}"
