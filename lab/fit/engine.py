"""Make a reader's int8 graph, with ranges observed on questions that its training held back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deformer_qa.lab.fit.mixture import Asked, held_back_mixture
from deformer_qa.lab.train.recipe import recipe_from
from deformer_qa.reader.checkpoint import joint_weights
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.engines.engine import WITH_GRAPHS
from deformer_qa.reader.engines.int8_graph import int8_graph, observed_ranges
from deformer_qa.reader.engines.joint import GRAPH, fingerprint
from deformer_qa.reader.engines.onnx_engine import OnnxJoint
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.passages import with_lead
from deformer_qa.reader.reading import SplitReader, States
from deformer_qa.reader.spans import best_spans

Through = Callable[[States], States]
_PASSAGES_EACH = 2


def make_engine(
    folder: Path, data: Path, *, n_each: int, through: Through, on_question: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Write the int8 graph of a reader into its folder; return how far its logits are from those in fp32.

    Half of the questions of each kind calibrate, the other half measures.

    :param data: the folder with the files that the reader's recipe names.
    :param n_each: the most questions of each kind.
    :param through: passes states through the store's encoding and back.
    :raises UnsupportedModel: if the reader's layers have no graph.
    """
    reader = SplitReader.load(folder)
    assert reader.about is not None
    family = reader.encoder.shape.family
    if family not in WITH_GRAPHS:
        raise UnsupportedModel(f"{folder}: layers of {family} have no int8 graph; torch runs them.")
    training = reader.about.training
    recipe = recipe_from(training["recipe"], f"{folder}: recipe")
    asked = held_back_mixture(recipe, training["held_back_articles"], data, 0).sampled(n_each, recipe.seed).asked
    weights = joint_weights(folder, reader.encoder)
    calibration, measured = (_read(half, reader.encoder, through, on_question) for half in (asked[::2], asked[1::2]))
    graph = int8_graph(weights, observed_ranges(weights, calibration), fingerprint(weights))
    whole, plain = OnnxJoint(weights, graph), OnnxJoint.of_weights(weights)
    away, same, n = [], 0, 0
    for question, passages in measured:
        for ours, exact in zip(whole.read(question, passages), plain.read(question, passages), strict=True):
            away.append(float(np.abs(ours.spans - exact.spans).mean()))
            found, right = ([(span.first, span.last) for span in best_spans(one.spans)] for one in (ours, exact))
            same += found == right
            n += 1
    (folder / GRAPH).write_bytes(graph)
    return {
        "file": GRAPH,
        "bytes": len(graph),
        "calibrated_on": len(asked[::2]),
        "passages": n,
        "mean_logit_error": round(float(np.mean(away)), 4),
        "same_best_span": round(same / n, 4),
    }


def _read(
    asked: list[Asked], encoder: Encoder, through: Through, on_question: Callable[[], None]
) -> Iterator[tuple[States, list[States]]]:
    """The states of each question and of the first passages of its document."""
    for one in asked:
        lead = encoder.lead(one.paragraph.article.replace("_", " "), "")
        spans = list(encoder.borders.split(one.document, encoder.tokenizer))[:_PASSAGES_EACH]
        texts = [with_lead(lead, one.document[span.start : span.end]) for span in spans]
        question = encoder.encode_question(one.question.question).states
        yield question, [through(encoder.states(text, "passage")) for text in texts]
        on_question()
