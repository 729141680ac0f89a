"""A reader on disk: ``reader.safetensors`` (the joint layers, half precision) and ``reader.json`` (what they fit)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deformer_qa.reader.codebook import CODEBOOK, read_codebook
from deformer_qa.reader.description import DESCRIPTION, ReaderDescription, describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.engines.engine import JointWeights
from deformer_qa.reader.errors import ModelNotFound, UnsupportedModel, WrongEncoder
from deformer_qa.reader.families import family_named
from deformer_qa.reader.weights import WeightsFile, check_shapes

if TYPE_CHECKING:
    from deformer_qa.reader.networks.joint import JointLayers

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
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: tensor.detach().cpu().float().numpy() for name, tensor in joint.state_dict().items()}
    save_file({name: np.ascontiguousarray(one, np.float16) for name, one in arrays.items()}, folder / WEIGHTS)
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


def joint_weights(folder: Path, encoder: Encoder) -> JointWeights:
    """The weights of a reader's joint layers, float32.

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
    weights = WeightsFile(folder / WEIGHTS)
    shape = encoder.shape
    if _WIDTH_SHOWN_BY in weights:  # the joint layers may be narrower inside than the encoder's
        shape = replace(shape, feed_forward_width=weights.shapes[_WIDTH_SHOWN_BY][0])
    # Older readers have no heads for yes and no, or for choices.
    for head, n_rows in (("yes_no", 2), ("choice", 1)):
        weights.add_zeros(f"{head}.weight", (n_rows, shape.hidden_width))
        weights.add_zeros(f"{head}.bias", (n_rows,))
    made = JointWeights(shape, about.n_joint_layers, about.passage_first, weights, str(folder / WEIGHTS))
    _check(made, weights.shapes)
    return made


def _check(about: JointWeights, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise UnsupportedModel if the weights do not fit the description."""
    of_layer, width = family_named(about.shape.family).layer_shapes(about.shape), about.shape.hidden_width
    if not of_layer:
        joint_layers(about)
        return
    layers = {f"layers.{n}.{name}": one for n in range(about.n_layers) for name, one in of_layer.items()}
    heads = {"head.weight": (2, width), "head.bias": (2,), "yes_no.weight": (2, width), "yes_no.bias": (2,)}
    check_shapes(shapes, {"marker": (2, width), **layers, **heads}, about.where)
    if unknown := [name for name in about.weights if name.startswith("layers.") and name not in layers]:
        raise UnsupportedModel(
            f"{about.where}: the weights are not those that its configuration describes (found {unknown[0]}, "
            f"expected {about.n_layers} layers)."
        )


def joint_layers(about: JointWeights) -> JointLayers:
    """Joint layers as a torch module with these weights."""
    from deformer_qa.reader.networks.backbone import load_arrays
    from deformer_qa.reader.networks.joint import JointLayers

    joint = JointLayers(about.shape, about.n_layers, passage_first=about.passage_first)
    load_arrays(joint, about.weights, about.where)
    return joint


def load_joint(folder: Path, encoder: Encoder) -> JointLayers:
    """The joint layers of a reader as a torch module; raises as ``joint_weights``."""
    return joint_layers(joint_weights(folder, encoder))
