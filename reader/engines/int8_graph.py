"""Writes the joint layers as a graph in whole numbers: unsigned bytes for states, signed ones for weights.

Every linear map quantises its input once, multiplies whole numbers, and gives float32 (``MatMulIntegerToFloat``); all
between is float32. A few channels of the states are far larger than the others, so each channel is divided by a factor
and its weights are multiplied by it: s = max|x|^a / max|w|^(1-a) (SmoothQuant, Xiao et al. 2023). Ranges come from
calibration and are never cut at a quantile, because the large values matter most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from deformer_qa.reader.engines.engine import JointWeights
from deformer_qa.reader.engines.graphs import Graph, joint_graph
from deformer_qa.reader.engines.numpy_engine import NumpyLayers
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.weights import Array, Arrays

_STRENGTH = 0.8
_LEAST_INPUT, _LEAST_WEIGHT = 1e-3, 1e-5


class Range(NamedTuple):
    """What a linear map's input was in calibration. *Shape:* (inputs,) each: least and greatest value of a channel."""

    least: Array
    greatest: Array

    def divided(self, factors: Array) -> Range:
        """The range of an input whose channels are divided by positive factors."""
        return Range(self.least / factors, self.greatest / factors)


class ObservedLayers(NumpyLayers):
    """Layers that note the range of every linear map's input.

    :ivar ranges: by the map's name
    """

    def __init__(self, shape: BackboneShape, weights: Arrays) -> None:
        super().__init__(shape, weights)
        self.ranges: dict[str, Range] = {}

    def linear(self, states: Array, name: str) -> Array:
        """The linear map of this name, with its input noted."""
        least, greatest = states.min(0), states.max(0)
        known = self.ranges.get(name)
        if known is not None:
            least, greatest = np.minimum(least, known.least), np.maximum(greatest, known.greatest)
        self.ranges[name] = Range(least, greatest)
        return super().linear(states, name)


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
        weights, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        known = self._ranges[name]
        if not name.endswith("attention_out"):
            factors = _factors(known, weights)
            states = self.add("Mul", [states, self.constant(1 / factors)])
            known, weights = known.divided(factors), weights * factors
        matrix = np.ascontiguousarray((weights if rows is None else weights[rows]).T)
        least, greatest = min(0.0, float(known.least.min())), max(0.0, float(known.greatest.max()))
        step = np.float32(max(greatest - least, 1e-6) / 255)
        zero = np.uint8(np.clip(round(-least / float(step)), 0, 255))
        steps = (np.maximum(np.abs(matrix).max(0), 1e-8) / 127).astype(np.float32)
        whole = np.clip(np.rint(matrix / steps), -127, 127).astype(np.int8)
        of_input = [self.constant(np.array(step)), self.constant(np.array(zero))]
        quantised = self.add("QuantizeLinear", [states, *of_input])
        of_weights = [self.constant(steps), of_input[1], self.constant(np.zeros(len(steps), np.int8))]
        inputs = [quantised, self.constant(whole), of_input[0], *of_weights]
        bias = bias if rows is None else bias[rows]
        return str(self.add("MatMulIntegerToFloat", [*inputs, self.constant(bias)], domain="com.microsoft"))

    def _smooth_mixture(self, prefix: str) -> None:
        """Divide the attention's mixture by its factors in the value's weights, which costs nothing at run time."""
        width = self.shape.hidden_width
        name = f"{prefix}attention_out"
        factors = _factors(self._ranges[name], self.weights[f"{name}.weight"])
        self._ranges[name] = self._ranges[name].divided(factors)
        weights = dict(self.weights)
        weights[f"{name}.weight"] = weights[f"{name}.weight"] * factors
        for kind in ("weight", "bias"):
            changed = weights[f"{prefix}qkv.{kind}"].copy()
            changed[2 * width :] /= factors[:, None] if kind == "weight" else factors
            weights[f"{prefix}qkv.{kind}"] = changed
        self.weights = weights


def int8_graph(about: JointWeights, ranges: Mapping[str, Range], fingerprint: str) -> bytes:
    """The joint layers as one graph, weights included.

    :param ranges: of each linear map's input in calibration, by its name.
    :param fingerprint: of the weights, written at the end.
    """
    model, _ = joint_graph(about, Int8Graph(about, ranges), fingerprint)
    return model


def _factors(known: Range, weights: Array) -> Array:
    """One factor for each input channel, with a geometric mean of 1."""
    inputs = np.maximum(np.maximum(np.abs(known.least), np.abs(known.greatest)), _LEAST_INPUT)
    factors = inputs**_STRENGTH / np.maximum(np.abs(weights).max(0), _LEAST_WEIGHT) ** (1 - _STRENGTH)
    made: Array = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
    return made
