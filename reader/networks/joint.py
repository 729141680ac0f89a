"""The upper half of a split reader: joint layers over (question, passage) and the span head."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from deformer_qa.reader.families import family_named
from deformer_qa.reader.families.shape import BackboneShape
from deformer_qa.reader.networks.layers import Context
from deformer_qa.reader.networks.placement import Placement, TextRows
from deformer_qa.reader.networks.registry import network_of


class JointLogits(NamedTuple):
    """The output of the joint layers for a batch of passages.

    :ivar spans: *Shape:* (batch, passage tokens, 2), start and end logits. Row 0 is the passage's classification
        token, wherever it stands in the text: its logits mean "no answer here". Rows at padding have no meaning.
    :ivar yes_no: *Shape:* (batch, 2), logits of "no" and "yes", for a question that asks for one of them
    :ivar choice: *Shape:* (batch,), the score of this row's question, completed by one of several options
    """

    spans: Tensor
    yes_no: Tensor
    choice: Tensor


class JointLayers(nn.Module):
    """Maps layer-k states of question and passage to logits of spans and of yes and no.

    Lower layers see each text alone, with positions from 0 and token type 0, as the embedding model was trained. So the
    two texts look alike there, and a learned vector for each (``marker``) distinguishes them from layer k+1 on. Layers
    of families that see distances and segments themselves see those of both texts in sequence.
    """

    def __init__(self, shape: BackboneShape, n_layers: int, *, passage_first: bool = False) -> None:
        """The last ``n_layers`` of a backbone of this shape.

        :param passage_first: whether the passage is read before the question.
        """
        super().__init__()
        self.shape, self.passage_first = shape, passage_first
        self.family, self.network = family_named(shape.family), network_of(shape.family)
        self.marker = nn.Parameter(torch.zeros(2, shape.hidden_width))
        first = shape.n_layers - n_layers
        self.layers = nn.ModuleList(self.network.layer(shape, first + index) for index in range(n_layers))
        self.finish = self.network.finish(shape)
        self.head = self.network.head(shape)
        self.yes_no = nn.Linear(shape.hidden_width, 2)
        self.choice = nn.Linear(shape.hidden_width, 1)
        for later in (self.yes_no, self.choice):  # untrained, they give zeros
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

    def beside(self, question: Tensor, passage: Tensor) -> Tensor:
        """Rows of both texts in the order in which they are read: (batch, question rows + passage rows, ...)."""
        return torch.cat([passage, question] if self.passage_first else [question, passage], dim=1)

    def passage_rows(self, n_question: int, n_passage: int) -> slice:
        """The slice of the passage's rows among both."""
        return slice(n_passage) if self.passage_first else slice(n_question, None)

    def mark(self, question: Tensor, passage: Tensor) -> Tensor:
        """The two texts' states side by side: (batch, question tokens + passage tokens, hidden)."""
        question = (question + self.marker[0]).expand(passage.shape[0], -1, -1)
        return self.beside(question, passage + self.marker[1])

    def context(
        self, question: Tensor, passage: Tensor, question_mask: Tensor | None, passage_mask: Tensor | None
    ) -> Context:
        """The layers' context.

        :param question, passage: *Shape:* (batch, tokens, ...); only their sizes are read.
        :param question_mask, passage_mask: *Shape:* (batch, tokens), bool, true at tokens; None without padding.
        """
        texts = [TextRows(question.shape[1], question_mask), TextRows(passage.shape[1], passage_mask)]
        if self.passage_first:
            texts.reverse()
        last = self.family.classification_last
        return self.network.context(self.shape, Placement.of_texts(texts, passage.device, classification_last=last))

    def layer_states(self, states: Tensor, context: Context) -> list[Tensor]:
        """States after each joint layer, all rows; what distillation compares."""
        after = []
        for layer in self.layers:
            states = layer(states, context)
            after.append(states)
        return after

    def logits(self, rows: Tensor) -> JointLogits:
        """All heads over the passage's rows, *Shape:* (batch, passage tokens, hidden), of the last layer."""
        rows = cast(Tensor, self.finish(rows))
        return JointLogits(self.head(rows), self.yes_no(rows[:, 0]), self.choice(rows[:, 0])[:, 0])

    def forward(self, question: Tensor, passage: Tensor, passage_mask: Tensor | None = None) -> JointLogits:
        """Logits for passages that share one question; the last layer computes only the rows that the head reads.

        :param question: *Shape:* (1, question tokens, hidden), without padding.
        :param passage: *Shape:* (batch, passage tokens, hidden).
        :param passage_mask: *Shape:* (batch, passage tokens), bool, true at tokens; None where there is no padding.
        """
        states = self.mark(question, passage)
        context = self.context(question, passage, None, passage_mask)
        rows = self.passage_rows(question.shape[1], passage.shape[1])
        for layer in self.layers[:-1]:
            states = layer(states, context)
        return self.logits(self.layers[-1](states, context, rows) if len(self.layers) else states[:, rows])
