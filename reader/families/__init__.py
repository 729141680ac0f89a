"""The model families that can be split, one file each: they translate foreign configurations and tensor names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families.family import Family

__all__ = ["FAMILIES", "Family", "family_named", "family_of"]

FAMILIES = {
    "bert": "bert.BertFamily",
    "electra": "electra.ElectraFamily",
    "roberta": "roberta.RobertaFamily",
    "xlm-roberta": "roberta.RobertaFamily",
    "camembert": "roberta.RobertaFamily",
    "distilbert": "distilbert.DistilBertFamily",
    "xlnet": "xlnet.XlnetFamily",
    "modernbert": "modernbert.ModernBertFamily",
}
"""Where each family's adapter is, by the names of its model types; only those in use are loaded."""


@cache
def family_named(name: str) -> Family:
    """The adapter of a model type."""
    module, kind = FAMILIES[name].split(".")
    made: Family = getattr(import_module(f"deformer_qa.reader.families.{module}"), kind)()
    return made


def family_of(config: Mapping[str, Any], where: str) -> Family:
    """The adapter for a Hugging Face ``config.json``.

    :raises UnsupportedModel: naming the family found and those supported.
    """
    model_type = str(config.get("model_type", "unknown"))
    if model_type not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UnsupportedModel(f'{where}: found a model of family "{model_type}", supported are: {known}.')
    return family_named(model_type)
