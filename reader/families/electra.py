"""ELECTRA: BERT's layers; embedding tables may be narrower than the states, with a projection between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from deformer_qa.reader.families.bert import BertFamily
from deformer_qa.reader.families.family import ForeignTensors, numbers
from deformer_qa.reader.layers import BackboneShape, Embeddings


@dataclass(frozen=True)
class ElectraShape(BackboneShape):
    """:ivar table_width: of the embedding tables"""

    table_width: int


class ElectraFamily(BertFamily):
    """The adapter for ELECTRA's discriminator, and for its generator, which is built alike."""

    model_types: ClassVar[tuple[str, ...]] = ("electra",)
    title: ClassVar[str] = "ELECTRA"
    prefix: ClassVar[str] = "electra."

    def shape(self, config: Mapping[str, Any]) -> ElectraShape:
        """BERT's shape, with the width of the tables."""
        (table_width,) = numbers(config, ["embedding_size"], "an ELECTRA")
        return ElectraShape(**asdict(super().shape(config)), table_width=table_width)

    def embeddings(self, shape: BackboneShape) -> nn.Module:
        """Tables, layer norm, and a projection if the widths differ."""
        return Embeddings(shape, table_width=cast(ElectraShape, shape).table_width)

    def backbone_tensors(self, tensors: Mapping[str, Tensor], shape: BackboneShape) -> dict[str, Tensor]:
        """BERT's tensors, and those of the projection."""
        ours = super().backbone_tensors(tensors, shape)
        if cast(ElectraShape, shape).table_width != shape.hidden_width:
            foreign = ForeignTensors(tensors, self.prefix, "ELECTRA model")
            for kind in ("weight", "bias"):
                ours[f"embeddings.project.{kind}"] = foreign[f"embeddings_project.{kind}"]
        return ours
