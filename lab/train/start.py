"""Load the layers that training starts from: the last layers of another reader, or of the backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from deformer_qa.lab.train.recipe import Recipe
from deformer_qa.reader.checkpoint import encoder_of, load_joint
from deformer_qa.reader.description import describe_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.networks.joint import JointLayers


def starting_joint(encoder: Encoder, recipe: Recipe, start_from: Path | None) -> JointLayers:
    """Make the recipe's joint layers from the last ones of the reader in ``start_from``, else of the backbone.

    :raises BadTrainingData: if those are too few, too narrow, or of another shape.
    """
    given = None
    if start_from is not None:
        given = _joint_of(start_from)
        if given.marker.shape[1] != encoder.hidden_width:
            raise BadTrainingData(
                f"{start_from}: its layers are {given.marker.shape[1]} wide, those of {encoder.source} "
                f"{encoder.hidden_width}; start from a reader of the same backbone."
            )
    layers = given.layers if given else encoder.backbone.layers
    n_layers = recipe.joint_layers or encoder.backbone.shape.n_layers - encoder.k
    if not 0 < n_layers <= len(layers):
        raise BadTrainingData(
            f"recipe {recipe.name}: {n_layers} joint layers cannot start from {len(layers)}; "
            f"expected joint_layers from 1 to {len(layers)}."
        )
    begun = [layer.state_dict() for layer in layers[len(layers) - n_layers :]]
    width = recipe.feed_forward_width or len(begun[0]["feed_in.weight"])
    first = given is not None and given.passage_first
    joint = JointLayers(replace(encoder.backbone.shape, feed_forward_width=width), n_layers, passage_first=first)
    joint.finish.load_state_dict((given or encoder.backbone).finish.state_dict())
    for ours, theirs in zip(joint.layers, begun, strict=True):
        ours.load_state_dict(_narrowed(theirs, width))
    if given:
        joint.head.load_state_dict(given.head.state_dict())
        joint.yes_no.load_state_dict(given.yes_no.state_dict())
        joint.choice.load_state_dict(given.choice.state_dict())
        joint.marker.data.copy_(given.marker)
    return joint


def starting_lower(encoder: Encoder, recipe: Recipe, start_from: Path | None) -> nn.ModuleList | None:
    """Return layers 1..k at the start, if the recipe tunes them; else None.

    They are the encoder's own if its vectors are to be kept; else those of a whole ``start_from``, which know the task.
    """
    if not recipe.tune_lower:
        return None
    if start_from is not None and not recipe.retrieval and describe_reader(start_from).k == 0:
        given = whole_joint(start_from).layers
        if len(given) == encoder.backbone.shape.n_layers:
            return given[: encoder.k]
    return encoder.lower


def whole_joint(folder: Path) -> JointLayers:
    """Load all layers of a whole reader.

    :raises BadTrainingData: if it is a split one.
    """
    if describe_reader(folder).k:
        raise BadTrainingData(f"{folder}: expected a whole reader (k=0), found k={describe_reader(folder).k}.")
    return _joint_of(folder)


def _joint_of(folder: Path) -> JointLayers:
    about = describe_reader(folder)
    return load_joint(folder, encoder_of(about))


def _narrowed(layer: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """Return a layer's tensors with only the ``width`` feed-forward units of largest norms of weights in and out."""
    found = len(layer["feed_in.weight"])
    if width > found:
        raise BadTrainingData(f"feed_forward_width: {width} is more than the {found} of the layers to begin as.")
    sizes = layer["feed_in.weight"].norm(dim=1) * layer["feed_out.weight"].norm(dim=0)
    kept = sizes.topk(width).indices.sort().values
    narrowed = {name: one[kept] for name, one in layer.items() if name.startswith(("feed_in.", "feed_gate."))}
    return {**layer, **narrowed, "feed_out.weight": layer["feed_out.weight"][:, kept]}
