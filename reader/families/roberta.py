"""RoBERTa, XLM-RoBERTa, CamemBERT: BERT's layers; positions begin after the padding's, pairs have no token types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from deformer_qa.reader.families.bert import BertFamily
from deformer_qa.reader.families.family import numbers
from deformer_qa.reader.families.shape import BackboneShape


@dataclass(frozen=True)
class RobertaShape(BackboneShape):
    """:ivar first_position: row of the position table for a text's first token; earlier rows are never used"""

    first_position: int

    @property
    def longest_text(self) -> int:
        """The number of positions for tokens."""
        return self.n_positions - self.first_position


class RobertaFamily(BertFamily):
    """The adapter for RoBERTa and the two others, which differ only in vocabulary and training."""

    model_types: ClassVar[tuple[str, ...]] = ("roberta", "xlm-roberta", "camembert")
    title: ClassVar[str] = "RoBERTa"
    prefix: ClassVar[str] = "roberta."
    separators_between: ClassVar[int] = 2
    pair_has_types: ClassVar[bool] = False

    def shape(self, config: Mapping[str, Any]) -> RobertaShape:
        """BERT's shape; the first position is the one after the padding token's id."""
        (padding_id,) = numbers({"pad_token_id": 1, **config}, ["pad_token_id"], "a RoBERTa")
        about = asdict(super().shape(config))
        return RobertaShape(**{**about, "padding_id": padding_id}, first_position=padding_id + 1)
