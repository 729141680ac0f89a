"""Compare indexing with the encoder in onnxruntime and in torch, and with the bare encoder on the same passages.

    python benchmarks/indexing.py [--data squad-v1.1-dev.json.xz] [--rounds 5] [--threads 1]

Each run makes a new store. Indexing runs on one thread, and on one for each usable processor. Both stores are then
compared: how many codes of states differ, and by how much vectors do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from corpus import corpus
from in_turn import Run, arguments, costs_in_turn, finish, pinned, table

from deformer_qa.indexer.sync import sync
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.engines.engine import EncoderEngine
from deformer_qa.reader.engines.onnx_engine import OnnxEncoder
from deformer_qa.reader.engines.torch_engine import TorchEncoder
from deformer_qa.reader.machine import usable_cpus
from deformer_qa.reader.reading import SplitReader
from deformer_qa.store import open_snapshot

ENGINES: Mapping[str, Callable[[Encoder], EncoderEngine]] = {
    "onnx": lambda one: OnnxEncoder(one.weights),
    "torch": lambda one: TorchEncoder(one.backbone, one.lower if one.weights.lower else None, one.k),
}


def main() -> None:
    """Print the tables."""
    given = pinned(arguments(__doc__))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, _ = corpus(given.data, given.paragraphs, folder)
        runs: dict[str, Run] = {}
        for engine in ENGINES:
            for n_threads in sorted({1, usable_cpus()}):
                runs[f"index, {engine}, {counted(n_threads)}"] = index_run(folder, source, engine, n_threads)
        sync(folder / "first", SplitReader.load().encoder, [source])
        inputs = inputs_of(folder / "first")
        for engine in ENGINES:
            runs[f"bare encoder, {engine}"] = bare_run(engine, inputs)
        costs = costs_in_turn(runs, given.rounds)
        bases = ["index, torch, 1 thread", "bare encoder, torch", "bare encoder, onnx"]
        figures: dict[str, Any] = {"indexing": table(f"{len(inputs)} passages", costs, bases)}
        for kind, row in figures["indexing"].items():
            row["passages_per_cpu_second"] = round(1000 * len(inputs) / row["cpu_ms"], 1)
            print(f"  {row['passages_per_cpu_second']:7.1f} passages per CPU second, {kind}")
        figures["stores"] = differences(*(folder / f"{engine}-1" for engine in ENGINES))
    print(f"onnx against torch: {figures['stores']}")
    finish(given, figures)


def counted(n_threads: int) -> str:
    return f"{n_threads} thread" + "s" * (n_threads > 1)


def encoder_in(engine: str) -> Encoder:
    """The shipped reader's encoder in an engine of our choice, for which it has no public switch."""
    encoder = SplitReader.load().encoder
    encoder._engine = ENGINES[engine](encoder)
    return encoder


def index_run(folder: Path, source: Path, engine: str, n_threads: int) -> Run:
    """Make a store; those of one thread stay for the comparison, under their engine's names."""
    encoder, made = encoder_in(engine), f"{engine}-{n_threads}"

    def run(number: int) -> object:
        return sync(folder / (f"{made}-{number}" if number else made), encoder, [source], n_threads=n_threads)

    return run


def bare_run(engine: str, inputs: list[str]) -> Run:
    """Tokenise and encode the passages, and keep nothing."""
    encoder = encoder_in(engine)
    return lambda _: [encoder.encode(one) and None for one in inputs]


def inputs_of(store: Path) -> list[str]:
    """What the encoder reads of each passage in a store."""
    with open_snapshot(store) as snapshot:
        return snapshot.passage_inputs([int(one) for one in snapshot.passage_ids()])


def differences(one: Path, other: Path) -> dict[str, float]:
    """How two stores of the same texts differ in codes of states and in vectors."""
    with open_snapshot(one) as first, open_snapshot(other) as second:
        keys = [passage.key for document in first.iter_documents() for passage in first.document_passages(document.id)]
        encode = first.states_encoding().encode
        codes = [
            np.concatenate([encode(states).values for states in snapshot.states(keys)]) for snapshot in (first, second)
        ]
        apart = np.abs(first.vectors(keys) - second.vectors(keys))
        return {
            "codes": codes[0].size,
            "codes_that_differ": int((codes[0] != codes[1]).sum()),
            "greatest_difference_of_vectors": float(apart.max()),
        }


if __name__ == "__main__":
    main()
