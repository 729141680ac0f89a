"""The upper half of a split reader: joint layers over (question, passage) and the span head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from deformer_qa.reader.layers import TransformerLayer, attention_bias
from deformer_qa.reader.shape import BackboneShape


class JointLogits(NamedTuple):
    """What the joint layers say of a batch of passages.

    :ivar spans: *Shape:* (batch, passage tokens, 2), start and end logits. Row 0 is the passage's [CLS]: its logits
        stand for "no answer here". Rows at padding hold no meaning.
    :ivar yes_no: *Shape:* (batch, 2), logits of "no" and "yes", for a question that asks for one of them
    :ivar choice: *Shape:* (batch,), how much this row's question, completed by one of several options, is the right one
    """

    spans: Tensor
    yes_no: Tensor
    choice: Tensor


class JointLayers(nn.Module):
    """Layer-k states of question and passage in, logits of spans and of yes and no out.

    Lower layers see each text alone, with positions from 0 and token type 0, as the embedding model was trained; so the
    two texts look alike there, and a learned vector for each (``marker``) tells them apart from layer k+1 on.
    """

    def __init__(self, shape: BackboneShape, n_layers: int) -> None:
        super().__init__()
        self.marker = nn.Parameter(torch.zeros(2, shape.hidden_width))
        self.layers = nn.ModuleList(TransformerLayer(shape) for _ in range(n_layers))
        self.head = nn.Linear(shape.hidden_width, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.yes_no = nn.Linear(shape.hidden_width, 2)
        self.choice = nn.Linear(shape.hidden_width, 1)
        for later in (self.yes_no, self.choice):  # untrained, they say nothing
            nn.init.zeros_(later.weight)
            nn.init.zeros_(later.bias)

    @property
    def knows_yes_and_no(self) -> bool:
        """Whether it was trained on yes/no questions."""
        return bool(self.yes_no.weight.any())

    @property
    def knows_choices(self) -> bool:
        """Whether it was trained on multiple-choice questions."""
        return bool(self.choice.weight.any())

    def mark(self, question: Tensor, passage: Tensor) -> Tensor:
        """The two texts' states side by side: (batch, question tokens + passage tokens, hidden)."""
        question = (question + self.marker[0]).expand(passage.shape[0], -1, -1)
        return torch.cat([question, passage + self.marker[1]], dim=1)

    def layer_states(self, states: Tensor, bias: Tensor | None) -> list[Tensor]:
        """States after each joint layer, all rows; what distillation compares."""
        after = []
        for layer in self.layers:
            states = layer(states, bias)
            after.append(states)
        return after

    def logits(self, rows: Tensor) -> JointLogits:
        """All heads over the passage's rows, *Shape:* (batch, passage tokens, hidden), of the last layer."""
        return JointLogits(self.head(rows), self.yes_no(rows[:, 0]), self.choice(rows[:, 0])[:, 0])

    def forward(self, question: Tensor, passage: Tensor, passage_mask: Tensor | None = None) -> JointLogits:
        """Logits for passages that share one question; the last layer computes only the rows that the head reads.

        :param question: *Shape:* (1, question tokens, hidden), without padding.
        :param passage: *Shape:* (batch, passage tokens, hidden).
        :param passage_mask: *Shape:* (batch, passage tokens), bool, true at tokens; None where there is no padding.
        """
        states = self.mark(question, passage)
        n_question = question.shape[1]
        bias = None
        if passage_mask is not None:
            seen = torch.ones(passage.shape[0], n_question, dtype=torch.bool, device=passage.device)
            bias = attention_bias(torch.cat([seen, passage_mask], dim=1))
        for layer in self.layers[:-1]:
            states = layer(states, bias)
        rows = self.layers[-1](states, bias, first_row=n_question) if len(self.layers) else states[:, n_question:]
        return self.logits(rows)
