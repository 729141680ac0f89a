"""Loads engines of the joint layers, and the int8 graph in a reader's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from deformer_qa.reader.engines.choice import Choice, Circumstances, has_onnxruntime, joint_choice, kept_times, timed
from deformer_qa.reader.engines.engine import LAYERS_OF_BERT, WITH_GRAPHS, JointEngine, JointWeights
from deformer_qa.reader.engines.names import EngineName
from deformer_qa.reader.errors import UnsupportedModel

GRAPH = "joint.int8.onnx"
GRAPH_VERSION = 2
"""Written into a graph with the weights that it was made from; another one is not used."""
_TAIL = 4_096
"""The last bytes of a graph, where its metadata stand."""


def fingerprint(about: JointWeights) -> str:
    """A hash of 16 hex digits by which a graph knows its weights: of those that every training changes."""
    whole = hashlib.blake2b(f"graph {GRAPH_VERSION}".encode(), digest_size=8)
    for name in ("marker", "head.weight", "head.bias", "yes_no.weight"):
        whole.update(np.ascontiguousarray(about.weights[name]).tobytes())
    return whole.hexdigest()


def graph_of(about: JointWeights, folder: Path | None) -> Path | None:
    """The int8 graph in a reader's folder; None if there is none, or it was made from other weights."""
    if folder is None or about.shape.family not in WITH_GRAPHS or not (folder / GRAPH).is_file():
        return None
    with (folder / GRAPH).open("rb") as file:
        file.seek(max(0, (folder / GRAPH).stat().st_size - _TAIL))
        return folder / GRAPH if fingerprint(about).encode() in file.read() else None


def joint_choice_of(about: JointWeights, folder: Path | None, device: str) -> Choice:
    """Which engine runs a reader's joint layers, and why."""
    has_graph = has_onnxruntime() and graph_of(about, folder) is not None

    def measured() -> dict[EngineName, float]:
        names: tuple[EngineName, ...] = ("onnx-int8", "onnx")
        engines: dict[EngineName, Callable[[], JointEngine]] = {
            name: partial(load_joint_engine, name, about, folder) for name in names
        }
        return timed(engines, about.shape.hidden_width)

    return joint_choice(
        Circumstances(about.shape.family, device, has_onnxruntime(), has_graph),
        lambda: kept_times(f"joint layers {fingerprint(about)}", measured),
    )


def load_joint_engine(
    name: EngineName, about: JointWeights, folder: Path | None = None, n_threads: int = 1
) -> JointEngine:
    """Load an engine that is not torch's.

    :param folder: of the reader, for its graph.
    :raises UnsupportedModel: if the engine cannot run these layers.
    """
    family = about.shape.family
    if family not in (LAYERS_OF_BERT if name == "numpy" else WITH_GRAPHS):
        others = "onnx or torch" if family in WITH_GRAPHS else "torch"
        raise UnsupportedModel(f"{about.where}: layers of {family} do not run in {name}; use {others}.")
    if name == "numpy":
        from deformer_qa.reader.engines.numpy_engine import NumpyJoint

        return NumpyJoint(about)
    from deformer_qa.reader.engines.onnx_engine import OnnxJoint

    if name == "onnx":
        return OnnxJoint.of_weights(about, n_threads)
    graph = graph_of(about, folder)
    if graph is None:
        raise UnsupportedModel(f"{folder}: no {GRAPH} of these weights there; make it with qa train engine.")
    return OnnxJoint(about, graph, n_threads=n_threads)
