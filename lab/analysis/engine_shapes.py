"""Run a published shape in onnxruntime, whole and split: one pair at a time, in fp32 and in whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from deformer_qa.lab.analysis.costs import Run, ratio
from deformer_qa.reader.engines.engine import EncoderWeights, JointWeights
from deformer_qa.reader.engines.int8_graph import int8_graph, observed_ranges
from deformer_qa.reader.engines.onnx_engine import OnnxEncoder, OnnxJoint
from deformer_qa.reader.networks.backbone import Backbone
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.weights import Array

_ENGINES = ("onnx", "onnx-int8")
_QUESTION = "question, onnx"


def engine_runs(
    backbone: Backbone, joint: JointLayers, question: Tensor, passages: Tensor, stored: Tensor, n_threads: int
) -> dict[str, Run]:
    """Return the runs by name: the question's lower layers, and by engine the joint layers and the whole model.

    Ranges of whole numbers are observed on the first pair. "whole" reads embedded texts in all layers.

    :param question: its ids, *Shape:* (1, tokens).
    :param passages: ids, *Shape:* (passages, tokens).
    :param stored: *Shape:* (passages, tokens, hidden); their states.
    :param n_threads: pairs that are read at once.
    """
    shape, ids = joint.shape, question[0].tolist()
    k = shape.n_layers - len(joint.layers)
    of_joint, of_backbone = _arrays(joint), _arrays(backbone)
    heads = {name: one for name, one in of_joint.items() if not name.startswith("layers.")}
    above = tuple(f"layers.{index}." for index in range(k, shape.n_layers))
    lower = {name: one for name, one in of_backbone.items() if not name.startswith(above)}
    encoder = OnnxEncoder(EncoderWeights(replace(shape, n_layers=k), k, lower, None, ""))
    runs: dict[str, Run] = {_QUESTION: lambda: encoder.states(ids)}
    with torch.inference_mode():
        embedded = backbone.embed(question)[0].numpy(), list(backbone.embed(passages).numpy())
    states = encoder.states(ids), list(stored.numpy())
    split = JointWeights(shape, len(joint.layers), joint.passage_first, of_joint, "")
    whole = replace(split, n_layers=shape.n_layers, weights={**of_backbone, **heads})
    for part, about, (asked, texts) in (("joint", split, states), ("whole", whole, embedded)):
        graph = int8_graph(about, observed_ranges(about, [(asked, texts[:1])]), "")
        engines = (OnnxJoint.of_weights(about, n_threads), OnnxJoint(about, graph, n_threads=n_threads))
        for engine in engines:
            runs[f"{part}, {engine.name}"] = partial(engine.read, asked, texts)
    return runs


def engine_costs(took: Mapping[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Compare the split model in each engine with the whole one in torch and in the same engine.

    :param took: seconds of each run and of "whole", in torch.
    """
    rows = {}
    for engine in _ENGINES:
        joint = took[f"joint, {engine}"]
        split = [one + other for one, other in zip(took[_QUESTION], joint, strict=True)]
        whole = took[f"whole, {engine}"]
        rows[engine] = {
            "speed_up": ratio(took["whole"], split),
            "same_engine": ratio(whole, split),
            "joint_alone": ratio(took["whole"], joint),
            "joint_alone_same_engine": ratio(whole, joint),
        }
    return rows


def _arrays(module: nn.Module) -> dict[str, Array]:
    return {name: one.numpy() for name, one in module.state_dict().items()}
