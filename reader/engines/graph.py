"""An ONNX graph under construction, operator by operator.

The weights of a float32 graph stay outside of it, under their own names: the session maps them from the model's file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.weights import Array, Arrays

_OPSET, _IR_VERSION = 20, 10
END = np.iinfo(np.int64).max
"""The end of a slice that takes all rows."""


class Graph:
    """Operators, constants inside the graph, and weights outside of it.

    :ivar outside: the weights outside, by name
    """

    def __init__(self, shape: BackboneShape, weights: Arrays) -> None:
        self.shape, self.weights = shape, weights
        self.outside: dict[str, Array] = {}
        self._inputs: dict[str, onnx.ValueInfoProto] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def add(self, kind: str, inputs: Sequence[str], *, n_outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Add an operator; return the name of its output, or a list of names if there are several."""
        outputs = [f"{kind}_{len(self._nodes)}_{number}" for number in range(n_outputs)]
        self._nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def input(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> str:
        """An input of this name, the same however often it is asked for."""
        self._inputs[name] = helper.make_tensor_value_info(name, kind, shape)
        return name

    def constant(self, value: NDArray[Any] | Sequence[int]) -> str:
        """A constant that is kept inside the graph."""
        array = np.ascontiguousarray(value, None if isinstance(value, np.ndarray) else np.int64)
        name = f"constant_{len(self._constants)}"
        self._constants[name] = numpy_helper.from_array(array.reshape(np.shape(value)), name)
        return name

    def weight(self, name: str, prefix: str = "") -> str:
        """A weight that is kept outside of the graph."""
        self.outside[prefix + name] = self.weights[name]
        return prefix + name

    def linear(self, states: str, name: str, *, rows: slice | None = None) -> str:
        """The linear map of this name; ``rows`` are those of its matrix that are used, all if None."""
        names = [one for one in (f"{name}.weight", f"{name}.bias") if one in self.weights]
        weights = [self._part(self.weight(one), rows) for one in names]
        return str(self.add("Gemm", [states, *weights], transB=1))

    def norm(self, states: str, name: str) -> str:
        """The layer norm of this name."""
        weights = [self.weight(f"{name}.{kind}") for kind in ("weight", "bias")]
        return str(self.add("LayerNormalization", [states, *weights], axis=-1, epsilon=self.shape.layer_norm_eps))

    def gelu(self, states: str) -> str:
        """GELU in the shape's form."""
        approximate = "tanh" if self.shape.gelu_form == "tanh" else "none"
        return str(self.add("Gelu", [states], approximate=approximate))

    def some(self, states: str, rows: tuple[str, str], axis: int = 0) -> str:
        """Some rows of states: names of the first and of the end."""
        return str(self.add("Slice", [states, *rows, self.constant([axis])]))

    def n_rows(self, states: str, axis: int = 0) -> str:
        """The number of rows of states."""
        return str(self.add("Shape", [states], start=axis, end=axis + 1))

    def model(self, outputs: Mapping[str, str], about: str, fingerprint: str = "") -> bytes:
        """The finished model.

        :param outputs: for each name, the inner name of what it returns; all are float32.
        :param about: the name of the graph.
        :param fingerprint: of the weights, written at the end.
        """
        for name, inner in outputs.items():
            self._nodes.append(helper.make_node("Identity", [inner], [name]))
        graph = helper.make_graph(
            self._nodes,
            about,
            list(self._inputs.values()),
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [*self._constants.values(), *(_elsewhere(name, array) for name, array in self.outside.items())],
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        if fingerprint:
            helper.set_model_props(made, {"weights": fingerprint})
        content: bytes = made.SerializeToString()
        return content

    def _part(self, name: str, rows: slice | None) -> str:
        if rows is None:
            return name
        part = f"{name}[{rows.start or 0}:{rows.stop}]"
        self.outside[part] = self.outside.pop(name)[rows]
        return part


def _elsewhere(name: str, array: Array) -> onnx.TensorProto:
    """A tensor whose values the session is given."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights"), ("offset", "0"), ("length", str(array.nbytes))):
        tensor.external_data.add(key=key, value=value)
    return tensor
