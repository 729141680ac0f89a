"""Reads a fine-tuned checkpoint in Hugging Face's layout undecomposed, as the baseline for a split reader."""

from __future__ import annotations

from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import TextTooLong, UnsupportedModel
from deformer_qa.reader.families import Family, family_of
from deformer_qa.reader.models import find_model, read_weights
from deformer_qa.reader.networks.backbone import Backbone, load_arrays
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.networks.placement import Placement
from deformer_qa.reader.networks.registry import network_of
from deformer_qa.reader.passages import PassageBorders
from deformer_qa.reader.tokens import TextTokenizer

MAX_QUESTION_TOKENS = 64
"""Question tokens to leave room for beside a passage, for a checkpoint in Hugging Face's layout."""
_MAX_PAIR_TOKENS = 384


class WholeModel(nn.Module):
    """Computes the same function as Hugging Face's extractive reader: both texts in one sequence, all layers over both.

    Position policy "hf": positions count through both texts, token types (where the family has them) tell them apart.
    """

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, token_ids: Tensor, token_types: Tensor, mask: Tensor) -> Tensor:
        """*Shape:* (batch, tokens) each, mask true at tokens -> (batch, tokens, 2), start and end logits.

        Rows are in Hugging Face's order. If positions are a table (in all but XLNet and ModernBERT), padding is on the
        right.
        """
        backbone = self.backbone
        states = backbone.embed(token_ids, token_types)
        context = backbone.network.context(backbone.shape, Placement.of_sequence(mask, token_types))
        return cast(Tensor, self.head(backbone.run(states, context, 0, backbone.shape.n_layers)))


class FineTunedReader:
    """A fine-tuned extractive checkpoint (``BertForQuestionAnswering`` and the like), a local folder or a hub id.

    :ivar passage_first: the order of the texts in a pair
    """

    def __init__(
        self, model: WholeModel, tokenizer: TextTokenizer, borders: PassageBorders, *, passage_first: bool = False
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.borders, self.passage_first = tokenizer, borders, passage_first
        self.device = torch.device("cpu")

    @classmethod
    def load(cls, name: str, *, passage_first: bool | None = None) -> FineTunedReader:
        """Load a checkpoint with its tokenizer.

        :param passage_first: None takes the order in which Hugging Face's scripts fine-tune its family: the passage
            first for XLNet, the question for all others.
        :raises ModelNotFound, UnsupportedModel: with what was found.
        """
        folder = find_model(name)
        config = folder.json("config.json")
        family = family_of(config, str(folder.path))
        shape = family.shape(config)
        backbone, head = Backbone(shape), _span_head(name)
        load_arrays(backbone, family.backbone_tensors(read_weights(folder), shape), str(folder.path))
        max_tokens = min(_MAX_PAIR_TOKENS, shape.longest_text)
        tokenizer = TextTokenizer.from_folder(folder.path, max_tokens, classification_last=family.classification_last)
        borders = PassageBorders(budget=_room(family, str(folder.path), max_tokens))
        first = family.passage_first if passage_first is None else passage_first
        return cls(WholeModel(backbone, head), tokenizer, borders, passage_first=first)

    def to(self, device: str) -> Self:
        """Move the reader to another device."""
        self.device = torch.device(device)
        self.model.to(self.device)
        return self

    def lead(self, title: str) -> str:
        """Always '': checkpoints were fine-tuned on passages without titles."""
        return ""

    @torch.inference_mode()
    def read_texts(self, question: str, passages: list[str]) -> list[NDArray[np.float32]]:
        """Logits of each passage, in the layout of ``SplitReader.read``, see ``TokenizedText``."""
        asked = self.tokenizer.tokenize(question, "question").ids
        if len(asked) - 2 > MAX_QUESTION_TOKENS:
            raise TextTooLong("question", len(asked) - 2, MAX_QUESTION_TOKENS)
        logits = []
        for text in passages:
            passage = self.tokenizer.tokenize(text, "passage").ids
            pair = self.model.backbone.family.pair(asked, passage, passage_first=self.passage_first)
            ids = torch.tensor([pair.ids], device=self.device)
            types = torch.tensor([pair.token_types], device=self.device)
            made = self.model(ids, types, torch.ones_like(ids, dtype=torch.bool))[0]
            logits.append(made[list(pair.rows)].cpu().numpy())
        return logits


def split_fine_tuned(name: str, k: int, *, passage_first: bool | None = None) -> tuple[Encoder, JointLayers]:
    """Split a fine-tuned checkpoint at layer k: its lower layers become an encoder, its upper ones and head stay.

    Passages are divided as for ``FineTunedReader``, so that the two read the same texts.

    :raises ModelNotFound, UnsupportedModel: with what was found.
    """
    folder = find_model(name)
    family = family_of(folder.json("config.json"), str(folder.path))
    longest = min(_MAX_PAIR_TOKENS, family.shape(folder.json("config.json")).longest_text)
    encoder = Encoder.load(name, k=k, max_tokens=_room(family, str(folder.path), longest) + 2)
    backbone = encoder.backbone
    first = family.passage_first if passage_first is None else passage_first
    joint = JointLayers(backbone.shape, backbone.shape.n_layers - k, passage_first=first)
    joint.layers.load_state_dict(nn.ModuleList(backbone.layers[k:]).state_dict())
    joint.finish.load_state_dict(backbone.finish.state_dict())
    joint.head = _span_head(name)
    return encoder, joint


def _span_head(name: str) -> nn.Module:
    folder = find_model(name)
    config = folder.json("config.json")
    family = family_of(config, str(folder.path))
    tensors = family.span_head(read_weights(folder), config)
    if tensors is None:
        raise UnsupportedModel(f"{folder.path}: no span head; it is a bare encoder, not a fine-tuned reader.")
    shape = family.shape(config)
    head = network_of(shape.family).head(shape)
    load_arrays(head, tensors, str(folder.path))
    return head


def _room(family: Family, where: str, max_tokens: int) -> int:
    """The number of tokens that a passage may have in a pair."""
    n_special = len(family.pair((0, 0), (0, 0), passage_first=False).ids)
    room = max_tokens - MAX_QUESTION_TOKENS - n_special
    if room < 32:
        raise UnsupportedModel(f"{where}: {max_tokens} positions leave no room for a passage.")
    return room
