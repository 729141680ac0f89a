"""ELECTRA: BERT's layers; embedding tables may be narrower than the states, with a projection between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

from deformer_qa.reader.families.bert import BertFamily
from deformer_qa.reader.families.family import ForeignTensors, numbers
from deformer_qa.reader.families.shape import BackboneShape, shapes_like_bert
from deformer_qa.reader.weights import Array, Arrays


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

    def backbone_shapes(self, shape: BackboneShape) -> dict[str, tuple[int, ...]]:
        """Those of BERT, with the width of the tables, and the projection's."""
        table_width = cast(ElectraShape, shape).table_width
        shapes = shapes_like_bert(shape, table_width)
        if table_width != shape.hidden_width:
            shapes["embeddings.project.weight"] = (shape.hidden_width, table_width)
            shapes["embeddings.project.bias"] = (shape.hidden_width,)
        return shapes

    def backbone_tensors(self, tensors: Arrays, shape: BackboneShape) -> dict[str, Array]:
        """BERT's tensors, and those of the projection."""
        ours = super().backbone_tensors(tensors, shape)
        if cast(ElectraShape, shape).table_width != shape.hidden_width:
            foreign = ForeignTensors(tensors, self.prefix, "ELECTRA model")
            for kind in ("weight", "bias"):
                ours[f"embeddings.project.{kind}"] = foreign[f"embeddings_project.{kind}"]
        return ours
