"""Which model families can be split? One file each: foreign configuration and tensor names in, ours out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families.bert import BertFamily
from deformer_qa.reader.shape import BackboneShape


class Family(Protocol):
    """What an adapter gives. Adding a family is one file with these, and a line in ``FAMILIES``."""

    model_types: tuple[str, ...]

    def shape(self, config: Mapping[str, Any]) -> BackboneShape:
        """The shape described by a Hugging Face ``config.json``; raises UnsupportedModel where it cannot be kept."""
        ...

    def backbone_tensors(self, tensors: Mapping[str, Tensor], shape: BackboneShape) -> dict[str, Tensor]:
        """Hugging Face's tensors under the names of ``reader.backbone.Backbone``."""
        ...

    def span_head(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """``weight`` (2, hidden) and ``bias`` (2,) of an extractive-QA head, None where the model has none."""
        ...


FAMILIES: tuple[Family, ...] = (BertFamily(),)


def family_of(config: Mapping[str, Any], where: str) -> Family:
    """The adapter for a Hugging Face ``config.json``.

    :raises UnsupportedModel: naming the family found and those supported.
    """
    model_type = str(config.get("model_type", "unknown"))
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    known = ", ".join(name for family in FAMILIES for name in family.model_types)
    raise UnsupportedModel(f'{where}: found a model of family "{model_type}", supported are: {known}.')
