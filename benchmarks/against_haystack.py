"""Compare a Haystack pipeline with ours on the same passages, vectors and backbone, asked in turn.

    pip install sentence-transformers-haystack transformers-haystack
    python benchmarks/against_haystack.py [--data squad-v1.1-dev.json.xz] [--checkpoint DIR] [--rounds 15] [--threads 1]

Theirs: a text embedder, the in-memory store's embedding retriever, ``TransformersExtractiveReader``, all with their
defaults. It reads 20 passages; ours reads as many as ``qa ask`` does, or 20 where a row says so. By default their
reader pads all of them to the longest; two more rows show what is left if it reads each pair alone, in transformers and
in onnxruntime, the library that ours runs in. Without ``--checkpoint`` their reader is our backbone with an untrained
head, which takes the same time but gives no answers. With a checkpoint (a fine-tuned folder or hub id) EM and F1 of
both are printed.

"Warm": pipelines that are asked one question a round. "Cold": a script from the shell to its first answer, with stores
ready on disk, and ``qa ask``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from cold import QA
from corpus import Asked, corpus
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import ComponentDevice
from in_turn import Cost, arguments, costs_in_turn, finish, pinned, table
from torch import Tensor

from deformer_qa import Index
from deformer_qa.lab.data.squad import exact_match, f1
from deformer_qa.pipeline import N_CANDIDATES
from deformer_qa.pipeline import ask as our
from deformer_qa.pipeline.haystack.pipelines import question_answering
from deformer_qa.pipeline.readers import shared_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.engines.onnx_engine import OnnxEncoder
from deformer_qa.reader.models import DEFAULT_ENCODER, find_model
from deformer_qa.reader.reading import EngineName, SplitReader

N_PASSAGES, N_ANSWERS = 20, 3
CPU = ComponentDevice.from_str("cpu")
DEFAULTS = "Haystack, defaults"
Ask = Callable[[str], str]


def main() -> None:
    """Build all pipelines, ask them in turn, print and write the figures."""
    parser = arguments(__doc__, rounds=15)
    parser.add_argument("--checkpoint", help="a fine-tuned reader for theirs")
    parser.add_argument("--cold-rounds", type=int, default=5)
    parser.add_argument("--cold", nargs=3, metavar=("WHOSE", "FOLDER", "QUESTION"), help=argparse.SUPPRESS)
    given = pinned(parser)
    if given.cold:
        whose, name, question = given.cold
        folder = Path(name)
        ours = whose == "ours"
        ask = build_ours(folder, given.threads) if ours else build_theirs(folder, given.checkpoint)
        print(ask(question))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, asked = corpus(given.data, given.paragraphs, folder)
        prepare(folder, source)
        figures = warm(folder, asked, given) | cold(folder, asked[0].text, given)
    finish(given, figures)


def prepare(folder: Path, source: Path) -> None:
    """Make our store, theirs with the same passages and vectors, and a checkpoint for their reader."""
    with Index(folder / "store") as index:
        index.index(source)
        snapshot = index.snapshot()
        theirs = InMemoryDocumentStore(shared=False)
        for info in snapshot.iter_documents():
            passages = snapshot.document_passages(info.id)
            texts = snapshot.passage_texts([one.id for one in passages])
            vectors = snapshot.vectors([one.key for one in passages]).tolist()
            theirs.write_documents(
                [
                    Document(id=str(one.id), content=text, embedding=vector)
                    for one, text, vector in zip(passages, texts, vectors, strict=True)
                ]
            )
    theirs.save_to_disk(str(folder / "theirs.json"))
    write_untrained_checkpoint(folder / "checkpoint")


def write_untrained_checkpoint(folder: Path) -> None:
    """Write our encoder's backbone with a fresh head as a checkpoint for question answering."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    model = find_model(DEFAULT_ENCODER).path
    AutoModelForQuestionAnswering.from_pretrained(model).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)


class ByPair:
    """Reads each pair alone and without padding, in the place of the model of their reader."""

    def __init__(self, logits: Callable[[Tensor], Tensor]) -> None:
        """:param logits: of one pair; maps (tokens,) to (tokens, 2)."""
        self._logits = logits

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        made = torch.zeros(*input_ids.shape, 2)
        for row, n_tokens in enumerate(attention_mask.sum(1).tolist()):
            made[row, :n_tokens] = self._logits(input_ids[row, :n_tokens])
        return SimpleNamespace(start_logits=made[..., 0], end_logits=made[..., 1])


def in_transformers(model: Any, checkpoint: str) -> ByPair:
    """Their model, by pair."""

    def logits(ids: Tensor) -> Tensor:
        made = model(input_ids=ids[None])
        return torch.stack([made.start_logits[0], made.end_logits[0]], dim=-1)

    return ByPair(logits)


def in_onnxruntime(model: Any, checkpoint: str) -> ByPair:
    """Their model as one of our graphs, with their head."""
    encoder = OnnxEncoder(Encoder.load(checkpoint, k=0).weights)

    def logits(ids: Tensor) -> Tensor:
        made: Tensor = model.qa_outputs(torch.from_numpy(encoder.encode(ids.tolist())[1]))
        return made

    return ByPair(logits)


def build_theirs(folder: Path, checkpoint: str | None, by_pair: Callable[[Any, str], ByPair] | None = None) -> Ask:
    """Build and warm up their pipeline over the passages on disk."""
    from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersTextEmbedder
    from haystack_integrations.components.readers.transformers import TransformersExtractiveReader

    pipeline, model = Pipeline(), str(find_model(DEFAULT_ENCODER).path)
    pipeline.add_component(
        "embedder",
        SentenceTransformersTextEmbedder(model=model, device=CPU, normalize_embeddings=True, progress_bar=False),
    )
    store = InMemoryDocumentStore.load_from_disk(str(folder / "theirs.json"))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=N_PASSAGES))
    checkpoint = checkpoint or str(folder / "checkpoint")
    reader = TransformersExtractiveReader(model=checkpoint, device=CPU, token=None, top_k=N_ANSWERS)
    pipeline.add_component("reader", reader)
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever", "reader")
    pipeline.warm_up()
    if by_pair:
        reader.model = by_pair(reader.model, checkpoint)
    return lambda question: first(pipeline.run({"embedder": {"text": question}, "reader": {"query": question}}))


def build_ours(folder: Path, n_threads: int) -> Ask:
    """Build and warm up our pipeline of Haystack's."""
    pipeline = question_answering(folder / "store", top_k=N_ANSWERS, device=CPU)
    pipeline.warm_up()
    shared_reader().use(n_threads=n_threads)  # the one that its components share
    return lambda question: first(pipeline.run({"retriever": {"query": question}, "reader": {"query": question}}))


def build_alone(folder: Path, n_threads: int, engine: EngineName | None = None, n_passages: int = N_CANDIDATES) -> Ask:
    """Ask without Haystack."""
    pipeline = our.Pipeline.open(folder / "store", SplitReader.load().use(engine, n_threads=n_threads))

    def ask(question: str) -> str:
        found = pipeline.ask(question, n_answers=N_ANSWERS, n_candidates=n_passages).answers
        return found[0].place.text if found else ""

    return ask


def first(result: dict[str, Any]) -> str:
    """Return the text of the best answer that has one."""
    return next((one.data for one in result["reader"]["answers"] if one.data is not None), "")


def warm(folder: Path, asked: list[Asked], given: argparse.Namespace) -> dict[str, Any]:
    """Ask all of them a question each round."""
    theirs, alone = partial(build_theirs, folder, given.checkpoint), partial(build_alone, folder, given.threads)
    asks: dict[str, Ask] = {
        DEFAULTS: theirs(),
        "Haystack, by pair": theirs(in_transformers),
        "Haystack, by pair in onnxruntime": theirs(in_onnxruntime),
        "ours, in Haystack": build_ours(folder, given.threads),
        "ours": alone(),
        "ours, 20 passages": alone(n_passages=N_PASSAGES),
        "ours, 20 passages, torch fp32": alone("torch", N_PASSAGES),
    }

    def question(number: int) -> Asked:
        return asked[number % len(asked)]

    costs = costs_in_turn(
        {name: lambda number, ask=ask: ask(question(number).text) for name, ask in asks.items()}, given.rounds
    )
    rows = table("warm", costs, list(asks)[:3])
    for name, taken in costs.items():
        if given.checkpoint or name.startswith("ours"):
            golds = [list(question(number).answers) for number in range(1, given.rounds + 1)]
            rows[name] |= scores(taken, golds)
            print(f"  EM {rows[name]['em']:.1f}, F1 {rows[name]['f1']:.1f}: {name}")
    return {"warm": rows}


def scores(taken: list[Cost], golds: list[list[str]]) -> dict[str, float]:
    """EM and F1 of the answers that the runs gave."""
    pairs = list(zip((one.made for one in taken), golds, strict=True))
    return {
        "em": 100 * statistics.mean(float(exact_match(*one)) for one in pairs),
        "f1": 100 * statistics.mean(f1(*one) for one in pairs),
    }


def cold(folder: Path, question: str, given: argparse.Namespace) -> dict[str, Any]:
    """Run a script of each, and ``qa ask``."""
    script = [sys.executable, str(Path(__file__).resolve()), "--threads", str(given.threads)]
    script += ["--checkpoint", given.checkpoint] if given.checkpoint else []
    commands = {
        "Haystack, script": [*script, "--cold", "theirs", str(folder), question],
        "ours, script": [*script, "--cold", "ours", str(folder), question],
        "qa ask": [*QA, "ask", question, "--store", str(folder / "store"), "--threads", str(given.threads)],
    }
    costs = costs_in_turn(
        {name: lambda _, one=one: subprocess.run(one, capture_output=True) for name, one in commands.items()},
        given.cold_rounds,
    )
    for name, taken in costs.items():
        if any(one.made.returncode not in (0, 1) for one in taken):  # 1: nothing found
            raise SystemExit(f"{name} failed: {taken[-1].made.stderr.decode()[-500:]}")
    return {"cold": table("from a cold shell", costs, ["Haystack, script"])}


if __name__ == "__main__":
    main()
