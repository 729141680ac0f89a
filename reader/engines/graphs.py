"""Writes the layers as ONNX graphs, operator by operator, for one sequence at a time: no padding, no mask, no batch.

The weights of a float32 graph stay outside of it, under their own names: the session maps them from the model's file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deformer_qa.reader.engines.engine import EncoderWeights, JointWeights
from deformer_qa.reader.engines.numpy_engine import first_position, has_projection
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.weights import Array, Arrays

_OPSET, _IR_VERSION = 20, 10
_END = np.iinfo(np.int64).max


class Graph:
    """A graph under construction: operators, constants inside it, and weights outside of it."""

    def __init__(self, shape: BackboneShape, weights: Arrays) -> None:
        self.shape, self.weights = shape, weights
        self.outside: dict[str, Array] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def add(self, kind: str, inputs: Sequence[str], *, n_outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Add an operator; return the name of its output, or a list of names if there are several."""
        outputs = [f"{kind}_{len(self._nodes)}_{number}" for number in range(n_outputs)]
        self._nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

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
        weights = [self._part(self.weight(f"{name}.{kind}"), rows) for kind in ("weight", "bias")]
        return str(self.add("Gemm", [states, *weights], transB=1))

    def norm(self, states: str, name: str) -> str:
        """The layer norm of this name."""
        weights = [self.weight(f"{name}.{kind}") for kind in ("weight", "bias")]
        return str(self.add("LayerNormalization", [states, *weights], axis=-1, epsilon=self.shape.layer_norm_eps))

    def gelu(self, states: str) -> str:
        """GELU in the shape's form."""
        approximate = "tanh" if self.shape.gelu_form == "tanh" else "none"
        return str(self.add("Gelu", [states], approximate=approximate))

    def query_key_value(self, states: str, prefix: str, rows: tuple[str, str] | None) -> tuple[str, str, str]:
        """Query, key and value of a layer; the query of some rows only, if they are given."""
        width = self.shape.hidden_width
        if rows is None:
            return tuple(self._split(self.linear(states, f"{prefix}qkv"), 3))  # type: ignore[return-value]
        key, value = self._split(self.linear(states, f"{prefix}qkv", rows=slice(width, 3 * width)), 2)
        return self.linear(self.some(states, rows), f"{prefix}qkv", rows=slice(width)), key, value

    def layer(self, states: str, prefix: str, rows: tuple[str, str] | None = None) -> str:
        """One layer, as ``numpy_engine.NumpyLayers.layer``; ``rows`` are names of the first row and the end."""
        query, key, value = self.query_key_value(states, prefix, rows)
        scale = np.float32((self.shape.hidden_width // self.shape.n_heads) ** -0.5)
        query = self.add("Mul", [self._heads(query), self.constant(np.array(scale))])
        scores = self.add("MatMul", [query, self._heads(key, transposed=True)])
        mixed = self.add("MatMul", [self.add("Softmax", [scores], axis=-1), self._heads(value)])
        mixed = self.add("Transpose", [mixed], perm=[1, 0, 2])
        mixed = self.add("Reshape", [mixed, self.constant([-1, self.shape.hidden_width])])
        states = states if rows is None else self.some(states, rows)
        attended = self.add("Add", [states, self.linear(mixed, f"{prefix}attention_out")])
        attended = self.norm(attended, f"{prefix}attention_norm")
        widened = self.gelu(self.linear(attended, f"{prefix}feed_in"))
        widened = self.add("Add", [attended, self.linear(widened, f"{prefix}feed_out")])
        return self.norm(widened, f"{prefix}feed_norm")

    def some(self, states: str, rows: tuple[str, str]) -> str:
        """Some rows of states."""
        return str(self.add("Slice", [states, *rows, self.constant([0])]))

    def model(
        self, inputs: Mapping[str, tuple[int, list[Any]]], outputs: Mapping[str, str], about: str, fingerprint: str = ""
    ) -> bytes:
        """The finished model.

        :param inputs: for each name, its type and shape.
        :param outputs: for each name, the inner name of what it returns; all are float32.
        :param about: the name of the graph.
        :param fingerprint: of the weights, written at the end.
        """
        for name, inner in outputs.items():
            self._nodes.append(helper.make_node("Identity", [inner], [name]))
        graph = helper.make_graph(
            self._nodes,
            about,
            [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
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

    def _split(self, states: str, n_parts: int) -> list[str]:
        widths = self.constant([self.shape.hidden_width] * n_parts)
        return list(self.add("Split", [states, widths], n_outputs=n_parts, axis=1))

    def _heads(self, states: str, *, transposed: bool = False) -> str:
        """(tokens, hidden) to (heads, tokens, head width), or to (heads, head width, tokens)."""
        n_heads, width = self.shape.n_heads, self.shape.hidden_width
        apart = self.add("Reshape", [states, self.constant([-1, n_heads, width // n_heads])])
        return str(self.add("Transpose", [apart], perm=[1, 2, 0] if transposed else [1, 0, 2]))


def encoder_graph(about: EncoderWeights) -> tuple[bytes, dict[str, Array]]:
    """The encoder: ``ids`` to ``states`` after layer k and ``top`` after the last layer, and the weights it needs."""
    shape = about.shape
    graph = Graph(shape, about.backbone)
    states = graph.add("Gather", [graph.weight("embeddings.words.weight"), "ids"], axis=0)
    if shape.n_token_types:
        states = graph.add("Add", [states, graph.constant(about.backbone["embeddings.token_types.weight"][0])])
    n_tokens = graph.add("Shape", ["ids"])
    first = graph.constant([first_position(shape)])
    end = graph.add("Add", [n_tokens, first])
    states = graph.add("Add", [states, graph.some(graph.weight("embeddings.positions.weight"), (first, end))])
    states = graph.norm(states, "embeddings.norm")
    if has_projection(shape):
        states = graph.linear(states, "embeddings.project")
    top = embedded = states
    if about.lower is None:
        for index in range(about.k):
            top = graph.layer(top, f"layers.{index}.")
        states = top
    else:
        graph.weights = {f"lower.{name}": one for name, one in about.lower.items()} | dict(about.backbone)
        states = embedded
        for index in range(about.k):
            states = graph.layer(states, f"lower.{index}.")
    for index in range(about.k if about.lower is None else 0, shape.n_layers):
        top = graph.layer(top, f"layers.{index}.")
    inputs = {"ids": (TensorProto.INT64, ["tokens"])}
    return graph.model(inputs, {"states": states, "top": top}, "encoder"), graph.outside


def joint_graph(
    about: JointWeights, graph: Graph | None = None, fingerprint: str = ""
) -> tuple[bytes, dict[str, Array]]:
    """The joint layers: ``question`` and ``passage`` states to ``spans`` and ``yes_no``, and the weights outside.

    :param graph: one that writes its layers in another way; the plain one if None.
    :param fingerprint: of the weights, written at the end of the model.
    """
    graph = graph or Graph(about.shape, about.weights)
    marker = about.weights["marker"]
    question = graph.add("Add", ["question", graph.constant(marker[0])])
    passage = graph.add("Add", ["passage", graph.constant(marker[1])])
    both = [passage, question] if about.passage_first else [question, passage]
    states = graph.add("Concat", both, axis=0)
    if about.passage_first:
        rows = (graph.constant([0]), graph.add("Shape", ["passage"], start=0, end=1))
    else:
        rows = (graph.add("Shape", ["question"], start=0, end=1), graph.constant([_END]))
    for index in range(about.n_layers - 1):
        states = graph.layer(states, f"layers.{index}.")
    last = f"layers.{about.n_layers - 1}."
    states = graph.layer(states, last, rows) if about.n_layers else graph.some(states, rows)
    spans = Graph.linear(graph, states, "head")
    first = graph.some(states, (graph.constant([0]), graph.constant([1])))
    yes_no = graph.add("Reshape", [Graph.linear(graph, first, "yes_no"), graph.constant([2])])
    wide = about.shape.hidden_width
    inputs = {"question": (TensorProto.FLOAT, ["asked", wide]), "passage": (TensorProto.FLOAT, ["tokens", wide])}
    return graph.model(inputs, {"spans": spans, "yes_no": yes_no}, "joint", fingerprint), graph.outside


def _elsewhere(name: str, array: Array) -> onnx.TensorProto:
    """A tensor whose values the session is given."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights"), ("offset", "0"), ("length", str(array.nbytes))):
        tensor.external_data.add(key=key, value=value)
    return tensor
