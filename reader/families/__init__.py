"""The model families that can be split, one file each: they translate foreign configurations and tensor names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families.bert import BertFamily
from deformer_qa.reader.families.distilbert import DistilBertFamily
from deformer_qa.reader.families.electra import ElectraFamily
from deformer_qa.reader.families.family import Family
from deformer_qa.reader.families.modernbert import ModernBertFamily
from deformer_qa.reader.families.roberta import RobertaFamily
from deformer_qa.reader.families.xlnet import XlnetFamily

__all__ = ["FAMILIES", "Family", "family_named", "family_of"]

FAMILIES: tuple[Family, ...] = (
    BertFamily(),
    ElectraFamily(),
    RobertaFamily(),
    DistilBertFamily(),
    XlnetFamily(),
    ModernBertFamily(),
)


def family_named(name: str) -> Family:
    """The adapter of a shape's family."""
    return next(family for family in FAMILIES if name in family.model_types)


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
