"""The frozen lower half: one pass over a text gives its retrieval vector and its layer-k states."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from deformer_qa.reader.codebook import CodebookArrays
from deformer_qa.reader.engines.choice import Choice, Circumstances, encoder_choice, has_onnxruntime
from deformer_qa.reader.engines.engine import LAYERS_OF_BERT, EncoderEngine, EncoderWeights
from deformer_qa.reader.engines.names import EngineName
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families import family_named, family_of
from deformer_qa.reader.models import DEFAULT_ENCODER, ModelFolder, find_model, n_tuned_layers, read_weights
from deformer_qa.reader.passages import BORDERS_VERSION, LEAD_VERSION, LeadRule, PassageBorders
from deformer_qa.reader.tokens import TextTokenizer
from deformer_qa.reader.weights import Arrays, WeightsFile, check_shapes

if TYPE_CHECKING:
    from torch import nn

    from deformer_qa.reader.networks.backbone import Backbone

Pooling = Literal["mean", "cls"]
_LEAD_SHARE = 8
"""A lead may take one in this many of the encoder's tokens: 32 of 256."""
_LEAST_NORM = 1e-12


@dataclass(frozen=True)
class EncodedText:
    """The result of encoding one text.

    :ivar vector: *Shape:* (hidden,), float32; the sentence-transformers embedding
    :ivar states: *Shape:* (tokens, hidden), float32; after layer k, special tokens included, as in ``TokenizedText``
    """

    vector: NDArray[np.float32]
    states: NDArray[np.float32]


class Encoder:
    """A sentence-transformers encoder, tapped after layer k.

    A text is always encoded alone and without padding, so that its vector and states depend only on the text, not on
    its batch or commit. On CPU that costs nothing (docs/explanation/decisions/0003).

    :ivar lead_rule: makes the text to read before a passage from the names above it, see ``lead``
    :ivar n_passes: texts encoded since loading, for tests
    :ivar codebook: with which a store may compress the states, if its reader has one
    """

    def __init__(
        self,
        weights: EncoderWeights,
        tokenizer: TextTokenizer,
        *,
        pooling: Pooling,
        normalize: bool,
        borders: PassageBorders,
        lead_rule: LeadRule,
        source: str,
        sha256: dict[str, str],
    ) -> None:
        self.weights, self.shape, self.k = weights, weights.shape, weights.k
        if not 0 <= self.k <= self.shape.n_layers:
            raise UnsupportedModel(f"k={self.k}: {source} has {self.shape.n_layers} layers, k lies between 0 and that.")
        self.tokenizer, self.pooling, self.normalize = tokenizer, pooling, normalize
        self.borders, self.lead_rule = borders, lead_rule
        self.source, self._sha256 = source, sha256
        self.device = "cpu"
        self.n_passes = 0
        self.codebook: CodebookArrays | None = None
        self._loading = threading.Lock()
        self._engine: EncoderEngine | None = None
        self._for_questions: EncoderEngine | None = None

    def to(self, device: str) -> Self:
        """Move the encoder to another device; its results stay numpy arrays."""
        if device != self.device:
            self.device, self._engine, self._for_questions = device, None, None
            self.backbone.to(device)
            self.lower.to(device)
        return self

    @classmethod
    def load(cls, name: str = DEFAULT_ENCODER, *, k: int, max_tokens: int | None = None) -> Encoder:
        """Load an encoder from its package, a folder in Hugging Face's or sentence-transformers' layout, or a hub id.

        :param k: layers that run apart; their states are what the store keeps.
        :param max_tokens: of a text, including special tokens; None takes the value of its folder, else 256.
        :raises ModelNotFound, UnsupportedModel: saying what was found.
        """
        folder = find_model(name)
        config = folder.json("config.json")
        family = family_of(config, str(folder.path))
        shape = family.shape(config)
        backbone = family.backbone_tensors(read_weights(folder), shape)
        found = {name: one.shape for name, one in backbone.items()}
        check_shapes(found, family.backbone_shapes(shape), str(folder.path))
        lower = _tuned_layers(folder, k) if folder.tuned else None
        if lower is not None and folder.tuned_makes_vectors:
            backbone, lower = {**backbone, **{f"layers.{name}": one for name, one in lower.items()}}, None
        max_tokens = _max_tokens(folder, shape.longest_text, max_tokens)
        tokenizer = TextTokenizer.from_folder(folder.path, max_tokens, classification_last=family.classification_last)
        pooling, normalize = _pooling(folder)
        if pooling == "cls" and family.classification_last:
            raise UnsupportedModel(
                f'{folder.path}: found pooling "cls", but texts end with that token; supported: mean.'
            )
        lead_rule = LeadRule(budget=max_tokens // _LEAD_SHARE)
        return cls(
            EncoderWeights(shape, k, backbone, lower, str(folder.path)),
            tokenizer,
            pooling=pooling,
            normalize=normalize,
            borders=PassageBorders(budget=max_tokens - tokenizer.n_special - lead_rule.budget),
            lead_rule=lead_rule,
            source=folder.name,
            sha256=dict(folder.sha256),
        )

    @cached_property
    def backbone(self) -> Backbone:
        """The encoder as a torch module, frozen; for training, and for engines in torch."""
        import torch

        from deformer_qa.reader.networks.backbone import Backbone, load_arrays

        with torch.device("meta"):  # no memory, no random numbers: every tensor comes from the file
            backbone = Backbone(self.shape)
        load_arrays(backbone, self.weights.backbone, self.weights.where)
        return backbone.eval().requires_grad_(False)

    @cached_property
    def lower(self) -> nn.ModuleList:
        """Layers 1..k, whose output is the states, as torch modules."""
        import torch
        from torch import nn

        from deformer_qa.reader.networks.backbone import load_arrays

        if self.weights.lower is None:
            return self.backbone.layers[: self.k]
        with torch.device("meta"):
            layers = nn.ModuleList(self.backbone.network.layer(self.shape, index) for index in range(self.k))
        load_arrays(layers, self.weights.lower, self.weights.where)
        return layers.eval().requires_grad_(False)

    @property
    def hidden_width(self) -> int:
        """The number of columns of the states, and of the vector."""
        return self.shape.hidden_width

    @property
    def choice(self) -> Choice:
        """Which engine encodes texts, and why."""
        return encoder_choice(Circumstances(self.shape.family, self.device, has_onnxruntime()))

    @property
    def about(self) -> dict[str, Any]:
        """Everything that the states depend on, as plain values; the encoder id is its hash."""
        # The default encoder's configuration is pinned by hash where it is loaded; another's is part of the id.
        shape = {} if self.source == DEFAULT_ENCODER else {"shape": self.shape.as_dict()}
        own = {"vectors": "base"} if self.weights.lower is not None else {}
        return {
            **shape,
            **own,
            "name": self.source if self.source == DEFAULT_ENCODER else "local",
            "sha256": dict(sorted(self._sha256.items())),
            "k": self.k,
            "positions": family_named(self.shape.family).positions,
            "pooling": self.pooling,
            "normalize": self.normalize,
            "max_tokens": self.tokenizer.max_tokens,
            "borders": {"version": BORDERS_VERSION, **asdict(self.borders)},
            "lead": {"version": LEAD_VERSION, **asdict(self.lead_rule)},
        }

    @property
    def encoder_id(self) -> str:
        """32 hex digits; equal ids mean equal passages, vectors and states."""
        about = {key: value for key, value in self.about.items() if key != "name"}
        return hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()

    @property
    def question_engine(self) -> EngineName:
        """Which engine encodes questions: numpy where that is possible, because it has nothing to load."""
        is_possible = self.device == "cpu" and self.shape.family in LAYERS_OF_BERT
        return "numpy" if is_possible else self.choice.engine

    def lead(self, title: str, heading: str) -> str:
        """The text to read before a passage under these names; '' if both are empty.

        :param title: of the document, as its content states it. The name of a file must not be used, because renaming
            the file would change the text.
        :param heading: of the section that the passage begins in.
        """
        return self.lead_rule.lead(title, heading, self.tokenizer)

    def encode(self, text: str, what: str = "text") -> EncodedText:
        """Encode one text.

        :param what: the kind of text, for the error message.
        :raises TextTooLong: if it does not fit the encoder.
        """
        return self._encoded(self._loaded(), text, what)

    def encode_question(self, text: str, what: str = "question") -> EncodedText:
        """Encode one question, as ``encode`` does, in ``question_engine``."""
        if self._for_questions is None:
            if self.question_engine == "numpy":
                from deformer_qa.reader.engines.numpy_engine import NumpyEncoder

                self._for_questions = NumpyEncoder(self.weights)
            else:
                self._for_questions = self._loaded()
        return self._encoded(self._for_questions, text, what)

    def states(self, text: str, what: str = "text") -> NDArray[np.float32]:
        """Compute only the layer-k states. *Shape:* (tokens, hidden), float32."""
        ids = self.tokenizer.tokenize(text, what).ids
        self.n_passes += 1
        return self._loaded().states(ids)

    def _encoded(self, engine: EncoderEngine, text: str, what: str) -> EncodedText:
        ids = self.tokenizer.tokenize(text, what).ids
        self.n_passes += 1
        states, top = engine.encode(ids)
        vector = top[0] if self.pooling == "cls" else top.mean(0)
        if self.normalize:
            vector = vector / max(float(np.linalg.norm(vector)), _LEAST_NORM)
        return EncodedText(vector, states)

    def _loaded(self) -> EncoderEngine:
        with self._loading:
            if self._engine is None:
                self._engine = self._load()
            return self._engine

    def _load(self) -> EncoderEngine:
        name = self.choice.engine
        if name == "numpy":
            from deformer_qa.reader.engines.numpy_engine import NumpyEncoder

            return NumpyEncoder(self.weights)
        if name == "onnx":
            from deformer_qa.reader.engines.onnx_engine import OnnxEncoder

            return OnnxEncoder(self.weights)
        from deformer_qa.reader.engines.torch_engine import TorchEncoder

        own = self.lower if self.weights.lower is not None else None
        return TorchEncoder(self.backbone, own, self.k, self.device)


def _tuned_layers(folder: ModelFolder, k: int) -> Arrays:
    """The weights of a tuned model's own layers."""
    assert folder.tuned is not None
    tuned = WeightsFile(folder.tuned)
    if n_tuned_layers(tuned) != k:
        raise UnsupportedModel(f"{folder.tuned}: found {n_tuned_layers(tuned)} tuned layers, expected k={k} of them.")
    return tuned


def _max_tokens(folder: ModelFolder, longest: int, wanted: int | None) -> int:
    if wanted is not None:
        if wanted > longest:
            raise UnsupportedModel(f"{folder.path}: a text can have {longest} tokens, {wanted} are wanted.")
        return wanted
    stated = folder.json("sentence_bert_config.json").get("max_seq_length")
    return min(int(stated) if stated else 256, longest)


def _pooling(folder: ModelFolder) -> tuple[Pooling, bool]:
    """The pooling and normalisation of a sentence-transformers folder; mean, normalised, for a bare backbone."""
    modules = folder.json("modules.json").get("list", [])
    if not modules:
        return "mean", True
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    unknown = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]
    if unknown or "Pooling" not in kinds:
        raise UnsupportedModel(
            f"{folder.path}/modules.json: found {', '.join(kinds)}; supported: Transformer, Pooling, Normalize."
        )
    pooling = folder.json(f"{modules[kinds.index('Pooling')]['path']}/config.json")
    mode = pooling.get("pooling_mode")
    on = (
        [mode]
        if mode
        else [
            key.removeprefix("pooling_mode_")
            for key, value in pooling.items()
            if key.startswith("pooling_mode_") and value is True
        ]
    )
    names: dict[str, Pooling] = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if len(on) != 1 or on[0] not in names:
        raise UnsupportedModel(
            f"{folder.path}: found pooling {', '.join(map(str, on)) or 'none'}; supported: mean, cls."
        )
    return names[str(on[0])], "Normalize" in kinds
