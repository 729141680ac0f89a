"""BERT's layers in numpy: needs no other library, and starts at once because weights stay mapped."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from deformer_qa.reader.engines.engine import EncoderWeights, JointWeights, PassageLogits
from deformer_qa.reader.engines.names import EngineName
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.weights import Array, Arrays


class NumpyLayers:
    """Layers of BERT's kind over one sequence of states."""

    def __init__(self, shape: BackboneShape, weights: Arrays) -> None:
        self.shape, self.weights = shape, weights

    def layer(self, states: Array, prefix: str, rows: slice = slice(None)) -> Array:
        """Run a layer.

        :param states: *Shape:* (tokens, hidden).
        :param prefix: of the names of its weights.
        :param rows: the rows to compute; the others serve only as keys and values.
        """
        n_heads, width = self.shape.n_heads, self.shape.hidden_width
        mixed_in = self.linear(states, f"{prefix}qkv")
        query, key, value = (
            part.reshape(len(part), n_heads, -1).transpose(1, 0, 2) for part in np.split(mixed_in, 3, axis=1)
        )  # (heads, tokens, head width)
        scores = query[:, rows] * np.float32((width // n_heads) ** -0.5) @ key.transpose(0, 2, 1)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = scores @ value / scores.sum(-1, keepdims=True)
        mixed = mixed.transpose(1, 0, 2).reshape(-1, width)
        attended = self.norm(states[rows] + self.linear(mixed, f"{prefix}attention_out"), f"{prefix}attention_norm")
        widened = gelu(self.linear(attended, f"{prefix}feed_in"), self.shape.gelu_form)
        return self.norm(attended + self.linear(widened, f"{prefix}feed_out"), f"{prefix}feed_norm")

    def linear(self, states: Array, name: str) -> Array:
        """The linear map of this name."""
        made: Array = states @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return made

    def norm(self, states: Array, name: str) -> Array:
        """The layer norm of this name."""
        apart = states - states.mean(-1, keepdims=True)
        spread = np.sqrt(np.square(apart).mean(-1, keepdims=True) + np.float32(self.shape.layer_norm_eps))
        made: Array = apart / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return made


def gelu(states: Array, form: str) -> Array:
    """GELU (Hendrycks and Gimpel 2016), of the form ``none`` (exact) or ``tanh``."""
    if form == "tanh":
        share = np.tanh(np.float32(sqrt(2 / np.pi)) * (states + np.float32(0.044715) * states**3))
    else:
        share = _erf(states * np.float32(sqrt(0.5)))
    made: Array = np.float32(0.5) * states * (1 + share)
    return made


def _erf(values: Array) -> Array:
    """The error function to 1.5e-7 (Abramowitz and Stegun 1964, formula 7.1.26); numpy has none."""
    size = np.abs(values)
    step = 1 / (1 + np.float32(0.3275911) * size)
    series = np.zeros_like(step)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * step
    made: Array = np.copysign(1 - series * np.exp(-size * size), values)
    return made


class NumpyEncoder:
    """The encoder in numpy."""

    name: EngineName = "numpy"

    def __init__(self, about: EncoderWeights) -> None:
        self._about = about
        self._layers = NumpyLayers(about.shape, about.backbone)
        self._lower = None if about.lower is None else NumpyLayers(about.shape, about.lower)

    def encode(self, ids: Sequence[int]) -> tuple[Array, Array]:
        """As ``EncoderEngine.encode``."""
        embedded = self._embed(ids)
        states = self._states(embedded)
        top, first = (states, self._about.k) if self._lower is None else (embedded, 0)
        for index in range(first, self._about.shape.n_layers):
            top = self._layers.layer(top, f"layers.{index}.")
        return states, top

    def states(self, ids: Sequence[int]) -> Array:
        """As ``EncoderEngine.states``."""
        return self._states(self._embed(ids))

    def _states(self, states: Array) -> Array:
        lower, prefix = (self._layers, "layers.") if self._lower is None else (self._lower, "")
        for index in range(self._about.k):
            states = lower.layer(states, f"{prefix}{index}.")
        return states

    def _embed(self, ids: Sequence[int]) -> Array:
        shape, weights = self._about.shape, self._about.backbone
        states = weights["embeddings.words.weight"][list(ids)]
        if shape.n_token_types:
            states = states + weights["embeddings.token_types.weight"][0]
        first = first_position(shape)
        states = states + weights["embeddings.positions.weight"][first : first + len(ids)]
        states = self._layers.norm(states, "embeddings.norm")
        return self._layers.linear(states, "embeddings.project") if has_projection(shape) else states


def first_position(shape: BackboneShape) -> int:
    """Row of the position table for a text's first token."""
    return int(getattr(shape, "first_position", 0))  # of RoBERTa's shape


def has_projection(shape: BackboneShape) -> bool:
    """Whether a projection follows the embedding tables."""
    return bool(getattr(shape, "table_width", shape.hidden_width) != shape.hidden_width)  # of ELECTRA's shape


class NumpyJoint:
    """The joint layers in numpy."""

    name: EngineName = "numpy"

    def __init__(self, about: JointWeights) -> None:
        self._about, self._layers = about, NumpyLayers(about.shape, about.weights)

    def read(self, question: Array, passages: Sequence[Array]) -> list[PassageLogits]:
        """As ``JointEngine.read``."""
        return [self._read(question, passage) for passage in passages]

    def _read(self, question: Array, passage: Array) -> PassageLogits:
        about, marker = self._about, self._about.weights["marker"]
        both = [question + marker[0], passage + marker[1]]
        rows = slice(len(passage)) if about.passage_first else slice(len(question), None)
        states = np.concatenate(both[::-1] if about.passage_first else both)
        for index in range(about.n_layers - 1):
            states = self._layers.layer(states, f"layers.{index}.")
        last = f"layers.{about.n_layers - 1}."
        states = self._layers.layer(states, last, rows) if about.n_layers else states[rows]
        return PassageLogits(self._layers.linear(states, "head"), self._layers.linear(states[:1], "yes_no")[0])
