"""A reader on disk: ``reader.safetensors`` (the joint layers, half precision) and ``reader.json`` (what they fit)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from deformer_qa.reader.codebook import CODEBOOK, read_codebook
from deformer_qa.reader.description import DESCRIPTION, ReaderDescription, describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import ModelNotFound, WrongEncoder
from deformer_qa.reader.joint import JointLayers
from deformer_qa.reader.models import load_tensors, read_safetensors

WEIGHTS = "reader.safetensors"
_WIDTH_SHOWN_BY = "layers.0.feed_in.weight"


def save_reader(
    folder: Path,
    joint: JointLayers,
    encoder: Encoder,
    *,
    training: dict[str, Any],
    ranking: dict[str, float] | None = None,
) -> None:
    """Write a reader; the folder is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in joint.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    description = {
        "schema": 1,
        "encoder": _named_from(folder, encoder.source),
        "encoder_id": encoder.encoder_id,
        "k": encoder.k,
        "n_joint_layers": len(joint.layers),
        "max_tokens": encoder.tokenizer.max_tokens,
        "passage_first": joint.passage_first,
        "ranking": ranking or {},
        "training": training,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def _named_from(folder: Path, source: str) -> str:
    """The encoder's name or folder; one inside the reader's folder is a relative path, so that both can move."""
    path = Path(source)
    if not path.is_dir():
        return source
    inside = path.resolve().is_relative_to(folder.resolve())
    return f"./{path.resolve().relative_to(folder.resolve())}" if inside else str(path.resolve())


def encoder_of(about: ReaderDescription) -> Encoder:
    """The encoder that a reader was trained on, with the reader's codebook."""
    encoder = Encoder.load(about.encoder, k=about.k, max_tokens=about.max_tokens)
    if encoder.encoder_id == about.encoder_id:  # otherwise load_joint refuses it
        encoder.codebook = read_codebook(about.folder)
    return encoder


def reader_digest(folder: Path) -> str:
    """A hash of 16 hex digits over everything a reader's answers depend on: weights, description and codebook.

    :raises ModelNotFound: if the folder is not a reader.
    """
    describe_reader(folder)
    if not (folder / WEIGHTS).is_file():
        raise ModelNotFound(f"{folder}: no {WEIGHTS} there.")
    whole = hashlib.blake2b(digest_size=8)
    for name in (DESCRIPTION, WEIGHTS, CODEBOOK):
        content = (folder / name).read_bytes() if (folder / name).is_file() else b""
        whole.update(hashlib.blake2b(content).digest())
    return whole.hexdigest()


def load_joint(folder: Path, encoder: Encoder) -> JointLayers:
    """The joint layers of a reader, float32.

    :raises WrongEncoder: if they were trained on states of another encoder.
    """
    about = describe_reader(folder)
    if about.encoder_id != encoder.encoder_id:
        raise WrongEncoder(
            f"{folder}: expected encoder {about.encoder_id[:12]} ({about.encoder}, k={about.k}), found "
            f"{encoder.encoder_id[:12]} ({encoder.source}, k={encoder.k}); use the reader's own encoder."
        )
    if not (folder / WEIGHTS).is_file():
        raise ModelNotFound(f"{folder}: no {WEIGHTS} there.")
    tensors = {name: tensor.float() for name, tensor in read_safetensors(folder / WEIGHTS).items()}
    shape = encoder.backbone.shape
    if _WIDTH_SHOWN_BY in tensors:  # the joint layers may be narrower inside than the encoder's
        shape = replace(shape, feed_forward_width=len(tensors[_WIDTH_SHOWN_BY]))
    joint = JointLayers(shape, about.n_joint_layers, passage_first=about.passage_first)
    # Older readers have no heads for yes and no, or for choices.
    later = joint.yes_no.state_dict(prefix="yes_no.") | joint.choice.state_dict(prefix="choice.")
    without = {name: torch.zeros_like(one) for name, one in later.items()}
    load_tensors(joint, without | tensors, str(folder / WEIGHTS))
    return joint
