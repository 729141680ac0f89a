"""A reader on disk: ``reader.safetensors`` (the joint layers, half precision) and ``reader.json`` (what they fit)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from deformer_qa.reader.description import DESCRIPTION, describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import ModelNotFound, WrongEncoder
from deformer_qa.reader.joint import JointLayers
from deformer_qa.reader.models import load_tensors, read_safetensors

_WEIGHTS = "reader.safetensors"
_WIDTH_SHOWN_BY = "layers.0.feed_in.bias"


def save_reader(
    folder: Path,
    joint: JointLayers,
    encoder: Encoder,
    *,
    training: dict[str, Any],
    ranking: dict[str, float] | None = None,
) -> None:
    """Write a reader; the folder is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in joint.state_dict().items()}
    save_file(tensors, folder / _WEIGHTS)
    description = {
        "schema": 1,
        "encoder": str(Path(encoder.source).resolve()) if Path(encoder.source).is_dir() else encoder.source,
        "encoder_id": encoder.encoder_id,
        "k": encoder.k,
        "n_joint_layers": len(joint.layers),
        "ranking": ranking or {},
        "training": training,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def load_joint(folder: Path, encoder: Encoder) -> JointLayers:
    """The joint layers of a reader, float32.

    :raises WrongEncoder: where they were trained on other states than this encoder's.
    """
    about = describe_reader(folder)
    if about.encoder_id != encoder.encoder_id:
        raise WrongEncoder(
            f"{folder}: expected encoder {about.encoder_id[:12]} ({about.encoder}, k={about.k}), found "
            f"{encoder.encoder_id[:12]} ({encoder.source}, k={encoder.k}); use the reader's own encoder."
        )
    if not (folder / _WEIGHTS).is_file():
        raise ModelNotFound(f"{folder}: no {_WEIGHTS} there.")
    tensors = {name: tensor.float() for name, tensor in read_safetensors(folder / _WEIGHTS).items()}
    shape = encoder.backbone.shape
    if _WIDTH_SHOWN_BY in tensors:  # the joint layers may be narrower inside than the encoder's
        shape = replace(shape, feed_forward_width=len(tensors[_WIDTH_SHOWN_BY]))
    joint = JointLayers(shape, about.n_joint_layers)
    # A reader that was trained without yes/no questions has no such head: its two logits are equal.
    without = {name: torch.zeros_like(one) for name, one in joint.yes_no.state_dict(prefix="yes_no.").items()}
    load_tensors(joint, without | tensors, str(folder / _WEIGHTS))
    return joint
