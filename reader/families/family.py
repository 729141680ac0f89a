"""The interface of a model family: its names translated into ours, its layers, and how it reads two texts together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families.shape import BackboneShape, layer_shapes
from deformer_qa.reader.weights import Array, Arrays

_GELU_FORMS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


@dataclass(frozen=True)
class Pair:
    """Question and passage as a fine-tuned checkpoint of the family reads them together.

    :ivar ids: token ids in the order in which the checkpoint reads them
    :ivar token_types: the type of each id
    :ivar rows: of the passage as read alone: the places of its classification token, its tokens and its separator
    """

    ids: tuple[int, ...]
    token_types: tuple[int, ...]
    rows: tuple[int, ...]


class Family(ABC):
    """The base of adapters; methods that are not abstract follow BERT, as most families do.

    :cvar model_types: its names in ``config.json``; the first is its name here
    :cvar positions: policy of the layers that run apart. ``restart``: each text's positions are embedded from 0.
        ``rotary``, ``relative``: layers see only distances; upper layers use those of both texts together.
    :cvar classification_last: its classification token stands after a text. In every family row 0 is that token's,
        and ``Placement`` tells its position.
    :cvar passage_first: its checkpoints are fine-tuned on passage before question
    :cvar separators_between: tokens between question and passage in a pair
    :cvar pair_has_types: token types tell the texts of a pair apart
    """

    model_types: ClassVar[tuple[str, ...]]
    positions: ClassVar[str] = "restart"
    classification_last: ClassVar[bool] = False
    passage_first: ClassVar[bool] = False
    separators_between: ClassVar[int] = 1
    pair_has_types: ClassVar[bool] = False

    @abstractmethod
    def shape(self, config: Mapping[str, Any]) -> BackboneShape:
        """The shape described by a Hugging Face ``config.json``; raises UnsupportedModel if it is not supported."""

    @abstractmethod
    def backbone_tensors(self, tensors: Arrays, shape: BackboneShape) -> dict[str, Array]:
        """Hugging Face's tensors under the names of ``reader.networks.backbone.Backbone``."""

    def backbone_shapes(self, shape: BackboneShape) -> dict[str, tuple[int, ...]]:
        """The shapes of the backbone's weights, by our names; those left out are checked when torch loads them."""
        return {}

    def layer_shapes(self, shape: BackboneShape) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights of a layer, by our names; empty if they are checked when torch loads them."""
        return layer_shapes(shape)

    def span_head(self, tensors: Arrays, config: Mapping[str, Any]) -> dict[str, Array] | None:
        """Tensors of ``head`` from an extractive-QA checkpoint; None if it has another head or none."""
        if "qa_outputs.weight" not in tensors:
            return None
        return {"weight": tensors["qa_outputs.weight"], "bias": tensors["qa_outputs.bias"]}

    def pair(self, question: Sequence[int], passage: Sequence[int], *, passage_first: bool) -> Pair:
        """Join question and passage, given as token ids of each text alone."""
        first, second = (passage, question) if passage_first else (question, passage)
        ids = (*first, *tuple(first[-1:]) * (self.separators_between - 1), *second[1:])
        types = (0,) * len(first) + (int(self.pair_has_types),) * (len(ids) - len(first))
        rows = range(len(passage)) if passage_first else (0, *range(len(ids) - len(passage) + 1, len(ids)))
        return Pair(ids, types, tuple(rows))


def numbers(config: Mapping[str, Any], keys: Sequence[str], whose: str) -> list[int]:
    """Integers of a ``config.json``; raises UnsupportedModel naming the missing ones."""
    missing = [key for key in keys if not isinstance(config.get(key), int)]
    if missing:
        raise UnsupportedModel(f"config.json: no number under {', '.join(missing)}; it is not {whose}'s.")
    return [int(config[key]) for key in keys]


def gelu_form(config: Mapping[str, Any], key: str) -> str:
    """The form of GELU under ``key``; raises UnsupportedModel for another activation."""
    activation = str(config.get(key, "gelu"))
    if activation not in _GELU_FORMS:
        known = ", ".join(_GELU_FORMS)
        raise UnsupportedModel(f'config.json: found activation "{activation}", supported are: {known}.')
    return _GELU_FORMS[activation]


def expect(config: Mapping[str, Any], key: str, only: Any, what: str) -> None:
    """Raise UnsupportedModel if ``key`` exists with a value other than ``only``."""
    found = config.get(key, only)
    if found != only:
        raise UnsupportedModel(f'config.json: found {what} "{found}", supported are: {only}.')


def head_divides(width: int, n_heads: int) -> None:
    """Raise UnsupportedModel if the width is not a multiple of the heads."""
    if n_heads < 1 or width % n_heads:
        raise UnsupportedModel(f"config.json: {n_heads} attention heads do not divide a width of {width}.")


class ForeignTensors:
    """Hugging Face's tensors by name, with or without the prefix of the backbone in a model with a head."""

    def __init__(self, tensors: Arrays, prefix: str, whose: str) -> None:
        self._tensors, self._whose = tensors, whose
        self._prefix = prefix if any(name.startswith(prefix) for name in tensors) else ""

    def __getitem__(self, name: str) -> Array:
        # The second spelling is from checkpoints before 2020.
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        for spelling in (name, old):
            if self._prefix + spelling in self._tensors:
                return self._tensors[self._prefix + spelling]
        raise UnsupportedModel(f'weights: no tensor "{self._prefix + name}"; this is not a complete {self._whose}.')
