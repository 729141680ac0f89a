"""The interface of an engine, and the weights that it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from deformer_qa.reader.engines.names import EngineName
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.weights import Array, Arrays

LAYERS_OF_BERT = frozenset({"bert", "electra", "roberta", "xlm-roberta", "camembert", "distilbert"})
"""Families whose layers are BERT's: they run in every engine."""
WITH_GRAPHS = LAYERS_OF_BERT | {"xlnet"}
"""Families that onnxruntime runs; torch runs all."""


class PassageLogits(NamedTuple):
    """The output of the joint layers for one passage.

    :ivar spans: *Shape:* (tokens, 2), float32: start and end logits; row 0 is "no answer here"
    :ivar yes_no: *Shape:* (2,), float32: logits of "no" and "yes", for a question that asks for one of them
    """

    spans: NDArray[np.float32]
    yes_no: NDArray[np.float32]


@dataclass(frozen=True)
class EncoderWeights:
    """What an encoder's engine is made from.

    :ivar backbone: the weights under the names of ``reader.networks.backbone.Backbone``
    :ivar lower: weights of layers 1..k that make the states, if others make the vector; None if the same do
    :ivar where: the model's folder, for messages
    """

    shape: BackboneShape
    k: int
    backbone: Arrays
    lower: Arrays | None
    where: str

    @property
    def weights(self) -> Arrays:
        """All of them; those of ``lower`` have that prefix."""
        if self.lower is None:
            return self.backbone
        return {f"lower.{name}": one for name, one in self.lower.items()} | dict(self.backbone)


@dataclass(frozen=True)
class JointWeights:
    """What an engine of the joint layers is made from.

    :ivar weights: under the names of ``reader.networks.joint.JointLayers``
    :ivar where: the reader's weights file, for messages
    """

    shape: BackboneShape
    n_layers: int
    passage_first: bool
    weights: Arrays
    where: str


class EncoderEngine(Protocol):
    """Encodes one text at a time. Thread-safe."""

    @property
    def name(self) -> EngineName: ...

    def encode(self, ids: Sequence[int]) -> tuple[Array, Array]:
        """States after layer k and after the last layer. *Shape:* (tokens, hidden) each, float32."""
        ...

    def states(self, ids: Sequence[int]) -> Array:
        """States after layer k. *Shape:* (tokens, hidden), float32."""
        ...


class JointEngine(Protocol):
    """Runs the joint layers over a question and each of several passages. Thread-safe."""

    @property
    def name(self) -> EngineName: ...

    def read(self, question: Array, passages: Sequence[Array]) -> list[PassageLogits]:
        """The logits of each passage, in order.

        :param question: *Shape:* (question tokens, hidden); its states after layer k.
        :param passages: each *Shape:* (tokens, hidden).
        """
        ...
