"""Writes the joint layers as a graph in whole numbers: unsigned bytes for states, signed ones for weights.

Every linear map quantises its input once, multiplies whole numbers, and gives float32 (``MatMulIntegerToFloat``); all
between is float32. A few channels of the states are far larger than the others, so each channel is divided by a factor
and its weights are multiplied by it: s = max|x|^a / max|w|^(1-a) (SmoothQuant, Xiao et al. 2023). Ranges come from
calibration and are never cut at a quantile, because the large values matter most. After GELU a few rows are far larger
than the others too, so there each row is divided by its greatest value, and the product multiplied by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from deformer_qa.reader.engines.engine import JointWeights
from deformer_qa.reader.engines.graph import Graph
from deformer_qa.reader.engines.graphs import joint_graph
from deformer_qa.reader.engines.onnx_engine import OnnxJoint
from deformer_qa.reader.weights import Array

_STRENGTH, _STRENGTH_BY_ROW = 0.8, 0.65
_REDUCTIONS = ("ReduceMin", "ReduceMax")
_LEAST_INPUT, _LEAST_WEIGHT = 1e-3, 1e-5


class Range(NamedTuple):
    """What a linear map's input was in calibration. *Shape:* (inputs,) each: least and greatest value of a channel."""

    least: Array
    greatest: Array

    def divided(self, factors: Array) -> Range:
        """The range of an input whose channels are divided by positive factors."""
        return Range(self.least / factors, self.greatest / factors)

    def joined(self, other: Range) -> Range:
        """The range that holds both."""
        return Range(np.minimum(self.least, other.least), np.maximum(self.greatest, other.greatest))


class _ObservedGraph(Graph):
    """A graph that also gives the range of every linear map's input."""

    def __init__(self, about: JointWeights) -> None:
        super().__init__(about.shape, about.weights)
        self.observed: dict[str, str] = {}

    def linear(self, states: str, name: str, *, rows: slice | None = None) -> str:
        """The linear map of this name, with its input noted."""
        self.observed.setdefault(name, states)  # the first use of several is that of all rows
        return super().linear(states, name, rows=rows)

    def model(self, outputs: Mapping[str, str], about: str, fingerprint: str = "") -> bytes:
        """The finished model, with two more outputs for each map."""
        axis = self.constant([0])
        ranges = {
            f"{kind} {name}": str(self.add(kind, [states, axis], keepdims=0))
            for name, states in self.observed.items()
            for kind in _REDUCTIONS
        }
        return super().model({**outputs, **ranges}, about, fingerprint)


def observed_ranges(about: JointWeights, examples: Iterable[tuple[Array, Sequence[Array]]]) -> dict[str, Range]:
    """The range of each linear map's input over all examples, by the map's name.

    :param examples: a question's states with those of passages.
    """
    graph = _ObservedGraph(about)
    engine = OnnxJoint(about, *joint_graph(about, graph), "onnx")
    outputs = [f"{kind} {name}" for name in graph.observed for kind in _REDUCTIONS]
    ranges: dict[str, Range] = {}
    for question, passages in examples:
        for passage in passages:
            found = engine.run(outputs, question, passage)
            for name, *least_and_greatest in zip(graph.observed, found[::2], found[1::2], strict=True):
                one = Range(*least_and_greatest)
                ranges[name] = one.joined(ranges.get(name, one))
    return ranges


class Int8Graph(Graph):
    """A graph whose layers multiply whole numbers."""

    def __init__(self, about: JointWeights, ranges: Mapping[str, Range]) -> None:
        """:param ranges: of each linear map's input, by its name."""
        super().__init__(about.shape, dict(about.weights))
        self._ranges = dict(ranges)
        for index in range(about.n_layers):
            self._smooth_mixture(f"layers.{index}.")

    def weight(self, name: str, prefix: str = "") -> str:
        """A weight, kept in the graph: the whole graph is one file."""
        return self.constant(self.weights[name])

    def linear(self, states: str, name: str, *, rows: slice | None = None) -> str:
        """The linear map of this name in whole numbers."""
        weights, bias = self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias")
        known, by_row = self._ranges[name], name.endswith("feed_out")
        if not name.endswith("attention_out"):
            factors = _factors(known, weights, _STRENGTH_BY_ROW if by_row else _STRENGTH)
            states = self.add("Mul", [states, self.constant(1 / factors)])
            known, weights = known.divided(factors), weights * factors
        least, greatest = min(0.0, float(known.least.min())), max(0.0, float(known.greatest.max()))
        if by_row:
            largest = self.add("ReduceMax", [states, self.constant([1])], keepdims=1)
            below = np.full((1, 1), -least or 1.0, np.float32)  # so that no value is below -1 after the division
            largest = self.add("Max", [largest, self.constant(below)])
            states, least, greatest = self.add("Div", [states, largest]), -1.0, 1.0
        bias = None if bias is None else bias if rows is None else bias[rows]
        inputs = self._quantised(states, least, greatest, weights if rows is None else weights[rows])
        if not by_row:
            inputs += [] if bias is None else [self.constant(bias)]
            return str(self.add("MatMulIntegerToFloat", inputs, domain="com.microsoft"))
        product = self.add("Mul", [self.add("MatMulIntegerToFloat", inputs, domain="com.microsoft"), largest])
        return str(product if bias is None else self.add("Add", [product, self.constant(bias)]))

    def _quantised(self, states: str, least: float, greatest: float, weights: Array) -> list[str]:
        """The inputs of ``MatMulIntegerToFloat``: states within a range and weights, as bytes with their scales."""
        matrix = np.ascontiguousarray(weights.T)
        step = np.float32(max(greatest - least, 1e-6) / 255)
        zero = np.uint8(np.clip(round(-least / float(step)), 0, 255))
        steps = (np.maximum(np.abs(matrix).max(0), 1e-8) / 127).astype(np.float32)
        whole = np.clip(np.rint(matrix / steps), -127, 127).astype(np.int8)
        of_states = [self.constant(np.array(step)), self.constant(np.array(zero))]
        quantised = self.add("QuantizeLinear", [states, *of_states])
        of_weights = [self.constant(steps), of_states[1], self.constant(np.zeros(len(steps), np.int8))]
        return [quantised, self.constant(whole), of_states[0], *of_weights]

    def _smooth_mixture(self, prefix: str) -> None:
        """Divide the attention's mixture by its factors in the value's weights, which costs nothing at run time."""
        width = self.shape.hidden_width
        name = f"{prefix}attention_out"
        factors = _factors(self._ranges[name], self.weights[f"{name}.weight"], _STRENGTH)
        self._ranges[name] = self._ranges[name].divided(factors)
        weights = dict(self.weights)
        weights[f"{name}.weight"] = weights[f"{name}.weight"] * factors
        for changed in (f"{prefix}qkv.weight", f"{prefix}qkv.bias"):
            if changed in weights:
                weights[changed] = weights[changed].copy()
                weights[changed][2 * width :] /= factors[:, None] if weights[changed].ndim == 2 else factors
        self.weights = weights


def int8_graph(about: JointWeights, ranges: Mapping[str, Range], fingerprint: str) -> bytes:
    """The joint layers as one graph, weights included.

    :param ranges: of each linear map's input in calibration, by its name.
    :param fingerprint: of the weights, written at the end.
    """
    model, _ = joint_graph(about, Int8Graph(about, ranges), fingerprint)
    return model


def _factors(known: Range, weights: Array, strength: float) -> Array:
    """One factor for each input channel, with a geometric mean of 1."""
    inputs = np.maximum(np.maximum(np.abs(known.least), np.abs(known.greatest)), _LEAST_INPUT)
    factors = inputs**strength / np.maximum(np.abs(weights).max(0), _LEAST_WEIGHT) ** (1 - strength)
    made: Array = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
    return made
