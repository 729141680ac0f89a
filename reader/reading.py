"""The split reader: maps a question's states and passages' stored states to logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from deformer_qa.reader.checkpoint import encoder_of, load_joint
from deformer_qa.reader.description import ReaderDescription, describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.fine_tuned import split_fine_tuned
from deformer_qa.reader.joint import JointLayers
from deformer_qa.reader.shipped import SHIPPED

_TOKENS_PER_BATCH = 2_048
_LENGTH_STEP = 16

States = NDArray[np.float32]
Precision = Literal["fp32", "bf16"]


class PassageLogits(NamedTuple):
    """The output of the joint layers for one passage.

    :ivar spans: *Shape:* (tokens, 2), float32: start and end logits; row 0 is "no answer here"
    :ivar yes_no: *Shape:* (2,), float32: logits of "no" and "yes", for a question that asks for one of them
    """

    spans: NDArray[np.float32]
    yes_no: NDArray[np.float32]


class SplitReader:
    """An encoder and the joint layers trained on its states. Thread-safe.

    :ivar precision: of the joint layers' arithmetic: "fp32", or "bf16" if the processor has it and a few hundredths of
        a logit do not matter; vectors and states are always computed in fp32
    """

    def __init__(self, encoder: Encoder, joint: JointLayers, about: ReaderDescription | None = None) -> None:
        self.encoder, self.about = encoder, about
        self.joint = joint.eval().requires_grad_(False)
        self.precision: Precision = "fp32"

    @classmethod
    def from_fine_tuned(cls, name: str, k: int, *, passage_first: bool | None = None) -> SplitReader:
        """Split a fine-tuned extractive checkpoint at layer k, without further training.

        Its lower layers see each text alone, with token type 0 and positions from 0, unlike in its training.

        :param name: a folder or hub id, as ``FineTunedReader.load`` takes it; ``passage_first`` too.
        :raises ModelNotFound, UnsupportedModel: with what was found.
        """
        return cls(*split_fine_tuned(name, k, passage_first=passage_first))

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> SplitReader:
        """Load a reader and its encoder.

        :raises ModelNotFound, WrongEncoder: with what was found.
        """
        about = describe_reader(folder)
        encoder = encoder_of(about)
        return cls(encoder, load_joint(folder, encoder), about)

    def to(self, device: str) -> Self:
        """Move the reader to another device; it still takes and returns numpy arrays."""
        self.encoder.to(device)
        self.joint.to(device)
        return self

    @torch.inference_mode()
    def read(self, question: States, passages: Sequence[States]) -> list[PassageLogits]:
        """Compute the logits of each passage for one question, in batches of passages of similar length.

        :param question: *Shape:* (question tokens, hidden); the question's layer-k states.
        :param passages: each *Shape:* (tokens, hidden).
        :return: for each passage, in order.
        """
        device = self.encoder.device
        asked = torch.from_numpy(np.ascontiguousarray(question))[None].to(device)
        logits: dict[int, PassageLogits] = {}
        for batch in length_batches([len(states) for states in passages]):
            lengths = [len(passages[index]) for index in batch]
            padded = torch.zeros(len(batch), max(lengths), asked.shape[2])
            mask = torch.zeros(len(batch), max(lengths), dtype=torch.bool)
            for row, index in enumerate(batch):
                padded[row, : lengths[row]] = torch.from_numpy(passages[index])
                mask[row, : lengths[row]] = True
            unequal = min(lengths) < max(lengths)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                made = self.joint(asked, padded.to(device), mask.to(device) if unequal else None)
            spans, yes_no = (one.float().cpu().numpy() for one in (made.spans, made.yes_no))
            for row, index in enumerate(batch):
                logits[index] = PassageLogits(spans[row, : lengths[row]], yes_no[row])
        return [logits[index] for index in range(len(passages))]

    @torch.inference_mode()
    def choose(self, asked: Sequence[States], article: Sequence[States]) -> NDArray[np.float32]:
        """Score each of several options that complete a question, with an article read as one text.

        :param asked: for each option, *Shape:* (its tokens, hidden): layer-k states of the question completed by it.
        :param article: for each of its passages, *Shape:* (tokens, hidden); all options share them.
        :return: *Shape:* (options,), float32, logits.
        """
        device = self.encoder.device
        passage = torch.from_numpy(np.concatenate(article))[None].to(device)
        logits = []
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            for one in asked:
                option = torch.from_numpy(np.ascontiguousarray(one))[None].to(device)
                logits.append(self.joint(option, passage).choice.float())
        return torch.cat(logits).cpu().numpy()


def length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group indices into batches of similar length (within 16 tokens) and at most 2,048 tokens with padding."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    batch: list[int] = []
    for index in order:
        step = -(-lengths[index] // _LENGTH_STEP)
        if batch and (
            step != -(-lengths[batch[0]] // _LENGTH_STEP) or (len(batch) + 1) * step * _LENGTH_STEP > _TOKENS_PER_BATCH
        ):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
