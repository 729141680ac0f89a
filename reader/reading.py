"""The split reader: maps a question's states and passages' stored states to logits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from deformer_qa.reader.checkpoint import encoder_of, joint_layers, joint_weights
from deformer_qa.reader.description import ReaderDescription, describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.engines.choice import Choice
from deformer_qa.reader.engines.engine import JointEngine, JointWeights, PassageLogits
from deformer_qa.reader.engines.joint import joint_choice_of, load_joint_engine
from deformer_qa.reader.engines.names import EngineName
from deformer_qa.reader.machine import usable_cpus
from deformer_qa.reader.shipped import SHIPPED

if TYPE_CHECKING:
    from deformer_qa.reader.networks.joint import JointLayers

__all__ = ["EngineName", "PassageLogits", "SplitReader", "States"]

States = NDArray[np.float32]


class SplitReader:
    """An encoder and the joint layers trained on its states. Thread-safe.

    The joint layers run in an engine, which is loaded when it is first needed: the one that is fastest on this machine,
    or the one that ``use`` names. Vectors and states are always computed in fp32.
    """

    def __init__(
        self, encoder: Encoder, joint: JointWeights | JointLayers, about: ReaderDescription | None = None
    ) -> None:
        """:param joint: weights, which any engine may run, or a torch module, which torch runs."""
        self.encoder, self.about = encoder, about
        self._loading = threading.Lock()
        self._wanted: EngineName | None = None
        self._n_threads = usable_cpus()
        self._engine: JointEngine | None = None
        if isinstance(joint, JointWeights):
            self.weights: JointWeights | None = joint
        else:
            self.weights, self._wanted = None, "torch"
            self.joint = joint.eval().requires_grad_(False)

    @classmethod
    def from_fine_tuned(cls, name: str, k: int, *, passage_first: bool | None = None) -> SplitReader:
        """Split a fine-tuned extractive checkpoint at layer k, without further training.

        Its lower layers see each text alone, with token type 0 and positions from 0, unlike in its training.

        :param name: a folder or hub id, as ``FineTunedReader.load`` takes it; ``passage_first`` too.
        :raises ModelNotFound, UnsupportedModel: with what was found.
        """
        from deformer_qa.reader.fine_tuned import split_fine_tuned

        return cls(*split_fine_tuned(name, k, passage_first=passage_first))

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> SplitReader:
        """Load a reader and its encoder.

        :raises ModelNotFound, WrongEncoder: with what was found.
        """
        about = describe_reader(folder)
        encoder = encoder_of(about)
        return cls(encoder, joint_weights(folder, encoder), about)

    def use(self, engine: EngineName | None = None, *, n_threads: int | None = None) -> Self:
        """Run the joint layers in this engine from now on.

        :param engine: None for the fastest here.
        :param n_threads: passages that an engine of onnxruntime reads at once, at first one for each processor; None
            leaves the number as it is.
        """
        with self._loading:
            self._wanted = engine if self.weights is not None else engine or "torch"
            self._n_threads = n_threads or self._n_threads
            self._engine = None
        return self

    def to(self, device: str) -> Self:
        """Move the reader to another device; it still takes and returns numpy arrays."""
        self.encoder.to(device)
        with self._loading:
            self._engine = None
        return self

    @cached_property
    def joint(self) -> JointLayers:
        """The joint layers as a torch module, frozen; for training, analysis, and the engine in torch."""
        assert self.weights is not None
        return joint_layers(self.weights).eval().requires_grad_(False)

    @property
    def knows_yes_and_no(self) -> bool:
        """Whether it was trained on yes/no questions."""
        if self.weights is None:
            return self.joint.knows_yes_and_no
        return bool(self.weights.weights["yes_no.weight"].any())

    @property
    def choice(self) -> Choice:
        """The engine that runs the joint layers, and why."""
        if self._wanted is not None:
            return Choice(self._wanted, "asked for")
        assert self.weights is not None
        return joint_choice_of(self.weights, self._folder, self.encoder.device)

    def read(self, question: States, passages: Sequence[States]) -> list[PassageLogits]:
        """Compute the logits of each passage for one question.

        :param question: *Shape:* (question tokens, hidden); the question's layer-k states.
        :param passages: each *Shape:* (tokens, hidden).
        :return: for each passage, in order.
        """
        return self._loaded().read(question, passages)

    def choose(self, asked: Sequence[States], article: Sequence[States]) -> NDArray[np.float32]:
        """Score each of several options that complete a question, with an article read as one text; always in torch.

        :param asked: for each option, *Shape:* (its tokens, hidden): layer-k states of the question completed by it.
        :param article: for each of its passages, *Shape:* (tokens, hidden); all options share them.
        :return: *Shape:* (options,), float32, logits.
        """
        from deformer_qa.reader.engines.torch_engine import TorchJoint

        bf16 = self._wanted == "torch-bf16"
        return TorchJoint(self.joint.to(self.encoder.device), self.encoder.device, bf16=bf16).choose(asked, article)

    @property
    def _folder(self) -> Path | None:
        return self.about.folder if self.about else None

    def _loaded(self) -> JointEngine:
        with self._loading:
            if self._engine is None:
                name = self.choice.engine
                if name.startswith("torch"):
                    from deformer_qa.reader.engines.torch_engine import TorchJoint

                    device = self.encoder.device
                    self._engine = TorchJoint(self.joint.to(device), device, bf16=name == "torch-bf16")
                else:
                    assert self.weights is not None
                    self._engine = load_joint_engine(name, self.weights, self._folder, self._n_threads)
            return self._engine
