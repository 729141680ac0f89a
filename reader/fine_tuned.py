"""A fine-tuned checkpoint in Hugging Face's layout, read undecomposed: what a split reader is measured against."""

from __future__ import annotations

from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deformer_qa.reader.backbone import Backbone
from deformer_qa.reader.errors import TextTooLong, UnsupportedModel
from deformer_qa.reader.families import family_of
from deformer_qa.reader.layers import attention_bias
from deformer_qa.reader.models import find_model, load_tensors, read_tensors
from deformer_qa.reader.passages import PassageBorders
from deformer_qa.reader.tokens import TextTokenizer

MAX_QUESTION_TOKENS = 64
"""Question tokens that a checkpoint in Hugging Face's layout leaves room for beside a passage."""


class WholeModel(nn.Module):
    """Hugging Face's extractive reader, same function: [CLS] question [SEP] passage [SEP], all layers over both.

    Position policy "hf": positions count through both texts, token types tell them apart.
    """

    def __init__(self, backbone: Backbone, head: nn.Linear) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, token_ids: Tensor, token_types: Tensor, mask: Tensor) -> Tensor:
        """*Shape:* (batch, tokens) each, mask true at tokens -> (batch, tokens, 2), start and end logits."""
        states = self.backbone.embed(token_ids, token_types)
        states = self.backbone.run(states, attention_bias(mask), 0, self.backbone.shape.n_layers)
        return cast(Tensor, self.head(states))


class FineTunedReader:
    """A fine-tuned extractive checkpoint (``BertForQuestionAnswering`` and the like), a local folder or a hub id."""

    def __init__(self, model: WholeModel, tokenizer: TextTokenizer, borders: PassageBorders) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.borders = tokenizer, borders
        self.device = torch.device("cpu")

    @classmethod
    def load(cls, name: str) -> FineTunedReader:
        """:raises ModelNotFound, UnsupportedModel: with what was found."""
        folder = find_model(name)
        config = folder.json("config.json")
        family = family_of(config, str(folder.path))
        shape = family.shape(config)
        tensors = read_tensors(folder)
        head_tensors = family.span_head(tensors)
        if head_tensors is None:
            raise UnsupportedModel(f"{folder.path}: no span head; it is a bare encoder, not a fine-tuned reader.")
        backbone, head = Backbone(shape), nn.Linear(shape.hidden_width, 2)
        load_tensors(backbone, family.backbone_tensors(tensors, shape), str(folder.path))
        load_tensors(head, head_tensors, str(folder.path))
        max_tokens = min(384, shape.n_positions)
        room = max_tokens - MAX_QUESTION_TOKENS - 3
        if room < 32:
            raise UnsupportedModel(f"{folder.path}: {shape.n_positions} positions leave no room for a passage.")
        tokenizer = TextTokenizer.from_folder(folder.path, max_tokens)
        return cls(WholeModel(backbone, head), tokenizer, PassageBorders(budget=room))

    def to(self, device: str) -> Self:
        """The same reader on another device."""
        self.device = torch.device(device)
        self.model.to(self.device)
        return self

    @torch.inference_mode()
    def read_texts(self, question: str, passages: list[str]) -> list[NDArray[np.float32]]:
        """Logits of each passage, laid out as ``SplitReader.read`` gives them: row 0 is [CLS], the last row [SEP]."""
        asked = self.tokenizer.tokenize(question, "question").ids
        if len(asked) - 2 > MAX_QUESTION_TOKENS:
            raise TextTooLong("question", len(asked) - 2, MAX_QUESTION_TOKENS)
        logits = []
        for text in passages:
            passage = self.tokenizer.tokenize(text, "passage").ids[1:]
            ids = torch.tensor([[*asked, *passage]], device=self.device)
            types = torch.tensor([[0] * len(asked) + [1] * len(passage)], device=self.device)
            made = self.model(ids, types, torch.ones_like(ids, dtype=torch.bool))[0]
            logits.append(torch.cat([made[:1], made[len(asked) :]]).cpu().numpy())
        return logits
