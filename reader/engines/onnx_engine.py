"""The onnxruntime engine: one text, or one passage, a call, each on one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnxruntime

from deformer_qa.reader.engines.engine import EncoderWeights, JointWeights, PassageLogits
from deformer_qa.reader.engines.names import EngineName
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.weights import Array, Arrays

_ERRORS_ONLY = 3


def session(model: bytes | Path, outside: Mapping[str, Array]) -> onnxruntime.InferenceSession:
    """Load a graph; it runs on the thread that calls it.

    :param model: the graph, or its file.
    :param outside: weights of the graph that are not in the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    if outside:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(one)) for one in outside.values()]
        options.add_external_initializers(list(outside), values)
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )


def other_inputs(shape: BackboneShape, weights: Arrays) -> Callable[..., dict[str, Array]]:
    """What gives a graph's other inputs, from the numbers of rows of its texts in their order; BERT's has none."""
    if shape.family != "xlnet":
        return lambda *n_rows: {}
    from deformer_qa.reader.engines.relative_inputs import RelativeInputs

    return RelativeInputs(shape, weights).of


class OnnxEncoder:
    """The encoder in onnxruntime, fp32."""

    name: EngineName = "onnx"

    def __init__(self, about: EncoderWeights) -> None:
        self._about, self._loading = about, threading.Lock()
        self._others = other_inputs(about.shape, about.weights)
        self._sessions: dict[bool, onnxruntime.InferenceSession] = {}  # of the lower layers alone, and of all

    def encode(self, ids: Sequence[int]) -> tuple[Array, Array]:
        """As ``EncoderEngine.encode``."""
        states, top = self._run(ids, only_states=False)
        return states, top

    def states(self, ids: Sequence[int]) -> Array:
        """As ``EncoderEngine.states``."""
        (states,) = self._run(ids, only_states=True)
        return states

    def _run(self, ids: Sequence[int], *, only_states: bool) -> list[Array]:
        encoder = self._session(only_states)
        given = {"ids": np.array(ids, np.int64), **self._others(len(ids))}
        made: list[Array] = encoder.run(None, {one.name: given[one.name] for one in encoder.get_inputs()})
        return made

    def _session(self, only_states: bool) -> onnxruntime.InferenceSession:
        with self._loading:  # several threads may encode their first text at once
            if only_states not in self._sessions:
                from deformer_qa.reader.engines.graphs import encoder_graph

                self._sessions[only_states] = session(*encoder_graph(self._about, only_states=only_states))
            return self._sessions[only_states]


class OnnxJoint:
    """The joint layers in onnxruntime.

    :ivar name: "onnx", or "onnx-int8" for a graph in whole numbers
    """

    def __init__(
        self,
        about: JointWeights,
        model: bytes | Path,
        outside: Mapping[str, Array] = MappingProxyType({}),
        name: EngineName = "onnx-int8",
        n_threads: int = 1,
    ) -> None:
        """:param model, outside: as ``session`` takes them.
        :param n_threads: passages that are read at once.
        """
        self.name, self._passage_first = name, about.passage_first
        self._session = session(model, outside)
        self._others = other_inputs(about.shape, about.weights)
        self._map: Callable[..., Iterable[PassageLogits]] = map
        if n_threads > 1:
            from concurrent.futures import ThreadPoolExecutor

            self._map = ThreadPoolExecutor(n_threads, "reading").map

    @classmethod
    def of_weights(cls, about: JointWeights, n_threads: int = 1) -> OnnxJoint:
        """The joint layers in fp32."""
        from deformer_qa.reader.engines.graphs import joint_graph

        return cls(about, *joint_graph(about), "onnx", n_threads)

    def read(self, question: Array, passages: Sequence[Array]) -> list[PassageLogits]:
        """As ``JointEngine.read``."""

        def read(passage: Array) -> PassageLogits:
            return PassageLogits(*self.run(["spans", "yes_no"], question, passage))

        return list(self._map(read, passages))

    def run(self, outputs: Sequence[str], question: Array, passage: Array) -> list[Array]:
        """Some outputs of the graph for one passage."""
        texts = {"question": np.ascontiguousarray(question), "passage": np.ascontiguousarray(passage)}
        n_rows = [len(question), len(passage)]
        others = self._others(*(reversed(n_rows) if self._passage_first else n_rows))
        made: list[Array] = self._session.run(outputs, texts | others)
        return made
