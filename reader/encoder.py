"""The frozen lower half: one pass over a text gives its retrieval vector and its layer-k states."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from deformer_qa.reader.backbone import Backbone, run_layers
from deformer_qa.reader.codebook import CodebookArrays
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.families import family_of
from deformer_qa.reader.layers import Context
from deformer_qa.reader.models import (
    DEFAULT_ENCODER,
    ModelFolder,
    find_model,
    load_tensors,
    read_safetensors,
    read_tensors,
)
from deformer_qa.reader.passages import BORDERS_VERSION, LEAD_VERSION, LeadRule, PassageBorders
from deformer_qa.reader.tokens import TextTokenizer

Pooling = Literal["mean", "cls"]
_LEAD_SHARE = 8
"""A lead may take one in this many of the encoder's tokens: 32 of 256."""


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
        backbone: Backbone,
        tokenizer: TextTokenizer,
        k: int,
        *,
        pooling: Pooling,
        normalize: bool,
        borders: PassageBorders,
        lead_rule: LeadRule,
        source: str,
        sha256: dict[str, str],
        lower: nn.ModuleList | None = None,
    ) -> None:
        """:param lower: layers 1..k that make the states, if others make the vector; None if the same do."""
        if not 0 <= k <= backbone.shape.n_layers:
            raise UnsupportedModel(f"k={k}: {source} has {backbone.shape.n_layers} layers, k lies between 0 and that.")
        self.backbone = backbone.eval().requires_grad_(False)
        self._own_lower = lower.eval().requires_grad_(False) if lower is not None else None
        self.tokenizer, self.k, self.pooling, self.normalize = tokenizer, k, pooling, normalize
        self.borders, self.lead_rule = borders, lead_rule
        self.source, self._sha256 = source, sha256
        self.device = torch.device("cpu")
        self.n_passes = 0
        self.codebook: CodebookArrays | None = None

    def to(self, device: str) -> Self:
        """Move the encoder to another device; its results stay numpy arrays."""
        self.device = torch.device(device)
        self.backbone.to(self.device)
        if self._own_lower is not None:
            self._own_lower.to(self.device)
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
        with torch.device("meta"):  # no memory, no random numbers: every tensor comes from the file
            backbone = Backbone(shape)
        load_tensors(backbone, family.backbone_tensors(read_tensors(folder), shape), str(folder.path))
        lower = _tuned_layers(folder, backbone, k) if folder.tuned else None
        max_tokens = _max_tokens(folder, shape.longest_text, max_tokens)
        tokenizer = TextTokenizer.from_folder(folder.path, max_tokens, classification_last=family.classification_last)
        pooling, normalize = _pooling(folder)
        if pooling == "cls" and family.classification_last:
            raise UnsupportedModel(
                f'{folder.path}: found pooling "cls", but texts end with that token; supported: mean.'
            )
        lead_rule = LeadRule(budget=max_tokens // _LEAD_SHARE)
        return cls(
            backbone,
            tokenizer,
            k,
            pooling=pooling,
            normalize=normalize,
            borders=PassageBorders(budget=max_tokens - tokenizer.n_special - lead_rule.budget),
            lead_rule=lead_rule,
            source=folder.name,
            sha256=dict(folder.sha256),
            lower=None if folder.tuned_makes_vectors else lower,
        )

    @property
    def lower(self) -> nn.ModuleList:
        """Layers 1..k, whose output is the states."""
        return self._own_lower if self._own_lower is not None else self.backbone.layers[: self.k]

    @property
    def hidden_width(self) -> int:
        """The number of columns of the states, and of the vector."""
        return self.backbone.shape.hidden_width

    @property
    def about(self) -> dict[str, Any]:
        """Everything that the states depend on, as plain values; the encoder id is its hash."""
        # The default encoder's configuration is pinned by hash where it is loaded; another's is part of the id.
        shape = {} if self.source == DEFAULT_ENCODER else {"shape": self.backbone.shape.as_dict()}
        own = {"vectors": "base"} if self._own_lower is not None else {}
        return {
            **shape,
            **own,
            "name": self.source if self.source == DEFAULT_ENCODER else "local",
            "sha256": dict(sorted(self._sha256.items())),
            "k": self.k,
            "positions": self.backbone.family.positions,
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

    def lead(self, title: str, heading: str) -> str:
        """The text to read before a passage under these names; '' if both are empty.

        :param title: of the document, as its content states it. The name of a file must not be used, because renaming
            the file would change the text.
        :param heading: of the section that the passage begins in.
        """
        return self.lead_rule.lead(title, heading, self.tokenizer)

    @torch.inference_mode()
    def encode(self, text: str, what: str = "text") -> EncodedText:
        """Encode one text.

        :param what: the kind of text, for the error message.
        :raises TextTooLong: if it does not fit the encoder.
        """
        embedded, states, context = self._lower(text, what)
        n_layers = self.backbone.shape.n_layers
        if self._own_lower is None:
            top = self.backbone.run(states, context, self.k, n_layers)
        else:
            top = self.backbone.run(embedded, context, 0, n_layers)
        vector = pooled(top, torch.ones(top.shape[:2], dtype=torch.bool, device=self.device), self.pooling)[0]
        if self.normalize:
            vector = F.normalize(vector, dim=0)
        return EncodedText(vector.cpu().numpy(), states[0].cpu().numpy())

    @torch.inference_mode()
    def states(self, text: str, what: str = "text") -> NDArray[np.float32]:
        """Compute only the layer-k states, without the layers above. *Shape:* (tokens, hidden), float32."""
        return cast(NDArray[np.float32], self._lower(text, what)[1][0].cpu().numpy())

    def _lower(self, text: str, what: str) -> tuple[torch.Tensor, torch.Tensor, Context]:
        """States after the embeddings and after layer k, *Shape:* (1, tokens, hidden) each, and the layers' context."""
        ids = torch.tensor([self.tokenizer.tokenize(text, what).ids], device=self.device)
        self.n_passes += 1
        embedded = self.backbone.embed(ids)
        context = self.backbone.alone(embedded)
        return embedded, run_layers(self.lower, embedded, context), context


def _tuned_layers(folder: ModelFolder, backbone: Backbone, k: int) -> nn.ModuleList:
    """Load a tuned model's own layers: into the backbone, or separately if its vectors stay those of the base."""
    assert folder.tuned is not None
    tuned = {name: tensor.float() for name, tensor in read_safetensors(folder.tuned).items()}
    n_layers = len({name.split(".")[0] for name in tuned})
    if n_layers != k:
        raise UnsupportedModel(f"{folder.tuned}: found {n_layers} tuned layers, expected k={k} of them.")
    layers = backbone.layers[:k]
    if not folder.tuned_makes_vectors:
        with torch.device("meta"):
            layers = nn.ModuleList(backbone.family.layer(backbone.shape, index) for index in range(k))
    load_tensors(layers, tuned, str(folder.tuned))
    return layers


def pooled(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One vector for each text, not normalised.

    :param states: *Shape:* (batch, tokens, hidden), after the last layer.
    :param mask: *Shape:* (batch, tokens), bool, true at tokens.
    :return: *Shape:* (batch, hidden).
    """
    if pooling == "cls":
        return states[:, 0]
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


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
