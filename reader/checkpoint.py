"""A reader on disk: ``reader.safetensors`` (the joint layers, half precision) and ``reader.json`` (what they fit)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import ModelNotFound, WrongEncoder
from deformer_qa.reader.joint import JointLayers
from deformer_qa.reader.models import load_tensors, read_safetensors

_WEIGHTS, _DESCRIPTION = "reader.safetensors", "reader.json"
_KINDS: dict[str, type] = {
    "encoder": str,
    "encoder_id": str,
    "k": int,
    "n_joint_layers": int,
    "split": bool,
    "ranking": dict,
    "training": dict,
}


@dataclass(frozen=True)
class ReaderDescription:
    """What ``reader.json`` says.

    :ivar encoder: name of the encoder the reader was trained on
    :ivar encoder_id: its id; states of another encoder mean nothing to the reader
    :ivar split: whether layers 1..k saw the texts apart (a DeFormer) or together (a teacher)
    """

    folder: Path
    encoder: str
    encoder_id: str
    k: int
    n_joint_layers: int
    split: bool
    ranking: dict[str, float]
    training: dict[str, Any]


def save_reader(
    folder: Path,
    joint: JointLayers,
    encoder: Encoder,
    *,
    split: bool,
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
        "split": split,
        "ranking": ranking or {},
        "training": training,
    }
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def describe_reader(folder: Path) -> ReaderDescription:
    """What a reader's folder says of it.

    :raises ModelNotFound: where it is not one.
    """
    try:
        content = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        for key, kind in _KINDS.items():
            if not isinstance(content[key], kind) or (kind is int and isinstance(content[key], bool)):
                raise ValueError(f"{key}: expected {kind.__name__}, found {content[key]!r}")
        return ReaderDescription(folder=folder, **{key: content[key] for key in _KINDS})
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFound(f"{folder}: no {_DESCRIPTION} there; a reader is a folder made by qa train.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelNotFound(
            f"{folder / _DESCRIPTION}: not a reader's description ({error}); make it again with qa train."
        ) from error


def set_ranking(folder: Path, ranking: dict[str, float]) -> None:
    """Put fitted ranking weights into a reader's description."""
    describe_reader(folder)
    content = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
    content["ranking"] = ranking
    (folder / _DESCRIPTION).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


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
    joint = JointLayers(encoder.backbone.shape, about.n_joint_layers)
    if not (folder / _WEIGHTS).is_file():
        raise ModelNotFound(f"{folder}: no {_WEIGHTS} there.")
    tensors = read_safetensors(folder / _WEIGHTS)
    load_tensors(joint, {name: tensor.float() for name, tensor in tensors.items()}, str(folder / _WEIGHTS))
    return joint
