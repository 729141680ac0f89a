"""The onnxruntime engine: one text, or one passage, a call, each on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from deformer_qa.reader.engines.engine import EncoderWeights, JointWeights, PassageLogits
from deformer_qa.reader.engines.names import EngineName
from deformer_qa.reader.weights import Array

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


class OnnxEncoder:
    """The encoder in onnxruntime, fp32."""

    name: EngineName = "onnx"

    def __init__(self, about: EncoderWeights) -> None:
        from deformer_qa.reader.engines.graphs import encoder_graph

        self._session = session(*encoder_graph(about))

    def encode(self, ids: Sequence[int]) -> tuple[Array, Array]:
        """As ``EncoderEngine.encode``."""
        states, top = self._session.run(["states", "top"], {"ids": np.array(ids, np.int64)})
        return states, top

    def states(self, ids: Sequence[int]) -> Array:
        """As ``EncoderEngine.states``; the layers above run too."""
        return self.encode(ids)[0]


class OnnxJoint:
    """The joint layers in onnxruntime.

    :ivar name: "onnx", or "onnx-int8" for a graph in whole numbers
    """

    def __init__(
        self, model: bytes | Path, outside: Mapping[str, Array], name: EngineName = "onnx", n_threads: int = 1
    ) -> None:
        """:param n_threads: passages that are read at once."""
        self.name = name
        self._session = session(model, outside)
        self._map: Callable[..., Iterable[PassageLogits]] = map
        if n_threads > 1:
            from concurrent.futures import ThreadPoolExecutor

            self._map = ThreadPoolExecutor(n_threads, "reading").map

    @classmethod
    def of_weights(cls, about: JointWeights, n_threads: int = 1) -> OnnxJoint:
        """The joint layers in fp32."""
        from deformer_qa.reader.engines.graphs import joint_graph

        return cls(*joint_graph(about), n_threads=n_threads)

    def read(self, question: Array, passages: Sequence[Array]) -> list[PassageLogits]:
        """As ``JointEngine.read``."""
        asked = np.ascontiguousarray(question)

        def read(passage: Array) -> PassageLogits:
            inputs = {"question": asked, "passage": np.ascontiguousarray(passage)}
            spans, yes_no = self._session.run(["spans", "yes_no"], inputs)
            return PassageLogits(spans, yes_no)

        return list(self._map(read, passages))
