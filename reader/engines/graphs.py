"""Writes the encoder and the joint layers as ONNX graphs, for one text or one passage at a time."""

from __future__ import annotations

from onnx import TensorProto

from deformer_qa.reader.engines.bert_layers import BertLayers
from deformer_qa.reader.engines.engine import EncoderWeights, JointWeights
from deformer_qa.reader.engines.graph import Graph
from deformer_qa.reader.engines.xlnet_layers import XlnetLayers
from deformer_qa.reader.weights import Array


def layers_of(graph: Graph) -> BertLayers:
    """What writes the layers of the graph's family."""
    return XlnetLayers(graph) if graph.shape.family == "xlnet" else BertLayers(graph)


def encoder_graph(about: EncoderWeights, *, only_states: bool = False) -> tuple[bytes, dict[str, Array]]:
    """The encoder: ``ids`` to ``states`` after layer k and ``top`` after the last layer, and the weights it needs.

    :param only_states: leave out the layers that only ``top`` needs.
    """
    graph = Graph(about.shape, about.backbone)
    layers = layers_of(graph)
    top = embedded = states = layers.embed(layers.in_order(graph.input("ids", ["tokens"], TensorProto.INT64)))
    if about.lower is None:
        for index in range(about.k):
            top = layers.layer(top, f"layers.{index}.")
        states = top
    else:
        graph.weights = about.weights
        states = embedded
        for index in range(about.k):
            states = layers.layer(states, f"lower.{index}.")
    outputs = {"states": layers.as_stored(states)}
    if not only_states:
        for index in range(about.k if about.lower is None else 0, about.shape.n_layers):
            top = layers.layer(top, f"layers.{index}.")
        outputs["top"] = layers.as_stored(top)
    return graph.model(outputs, "encoder"), graph.outside


def joint_graph(
    about: JointWeights, graph: Graph | None = None, fingerprint: str = ""
) -> tuple[bytes, dict[str, Array]]:
    """The joint layers: ``question`` and ``passage`` states to ``spans`` and ``yes_no``, and the weights outside.

    :param graph: one that writes linear maps in another way; the plain one if None.
    :param fingerprint: of the weights, written at the end of the model.
    """
    graph = graph or Graph(about.shape, about.weights)
    layers, marker, wide = layers_of(graph), about.weights["marker"], about.shape.hidden_width
    question, passage = (
        layers.in_order(graph.add("Add", [graph.input(name, [f"{name}_rows", wide]), graph.constant(own)]))
        for name, own in zip(("question", "passage"), marker, strict=True)
    )
    both = [passage, question] if about.passage_first else [question, passage]
    states = graph.add("Concat", both, axis=0)
    if about.passage_first:
        rows = (graph.constant([0]), graph.n_rows(passage))
    else:
        rows = (graph.n_rows(question), graph.n_rows(states))
    for index in range(about.n_layers - 1):
        states = layers.layer(states, f"layers.{index}.")
    last = f"layers.{about.n_layers - 1}."
    states = layers.layer(states, last, rows) if about.n_layers else graph.some(states, rows)
    states = layers.as_stored(states)
    spans = Graph.linear(graph, states, "head")
    first = graph.some(states, (graph.constant([0]), graph.constant([1])))
    yes_no = graph.add("Reshape", [Graph.linear(graph, first, "yes_no"), graph.constant([2])])
    return graph.model({"spans": spans, "yes_no": yes_no}, "joint", fingerprint), graph.outside
