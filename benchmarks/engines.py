"""Compare engines of the shipped reader with each other, and the split reader with a whole model.

    python benchmarks/engines.py [--data squad-v1.1-dev.json.xz] [--candidates 20 8] [--rounds 7] [--threads 1]

"joint layers": a question's and its retrieved candidates' states go through each engine; torch reads them in batches of
similar length. "reader": all that a question costs, from its text: it is encoded, the candidates' states are loaded and
read. A whole model computes all its layers for each pair of question and candidate instead. Here it is transformers'
BertForQuestionAnswering with the weights of the reader's encoder, for random words of the same number: in one batch
padded to the longest as Haystack's reader does it, pair by pair, and pair by pair in onnxruntime, as our engine runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpus import Asked, corpus
from in_turn import Run, arguments, costs_in_turn, finish, pinned, table
from transformers import BertForQuestionAnswering, logging

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.retrieve import DEPTH, candidates, retrieve
from deformer_qa.reader.engines.names import ENGINES
from deformer_qa.reader.engines.onnx_engine import OnnxEncoder
from deformer_qa.reader.models import DEFAULT_ENCODER, find_model
from deformer_qa.reader.reading import SplitReader, States

PADDED, BY_PAIR, IN_ONNX = "whole, transformers, padded batch", "whole, transformers, by pair", "whole, onnxruntime"


@dataclass(frozen=True)
class Case:
    """A question, and its candidates from the first on."""

    question: str
    asked: States
    keys: Sequence[bytes]
    passages: Sequence[States]

    def first(self, n: int) -> Case:
        """The same question with its first candidates only."""
        return replace(self, keys=self.keys[:n], passages=self.passages[:n])

    @property
    def pairs(self) -> list[list[int]]:
        """Random ids, as many as a whole model would read for question and passage: one [CLS] is saved."""
        random = np.random.default_rng(0)
        return [random.integers(1000, 20_000, len(self.asked) + len(one) - 1).tolist() for one in self.passages]


def main() -> None:
    """Print both tables for each number of candidates."""
    parser = arguments(__doc__)
    parser.add_argument("--candidates", type=int, nargs="+", default=[20, 8])
    given = pinned(parser)
    with tempfile.TemporaryDirectory() as name:
        reader = SplitReader.load()
        source, asked = corpus(given.data, given.paragraphs, Path(name))
        sync(Path(name) / "store", reader.encoder, [source])
        with Pipeline.open(Path(name) / "store", reader) as pipeline:
            cases = [case_of(pipeline, one, max(given.candidates)) for one in asked[: given.rounds + 1]]
            lengths = [len(one) for case in cases for one in case.passages]
            figures: dict[str, Any] = {"passage_tokens": float(np.mean(lengths))}
            print(f"{len(cases)} questions; a passage has {np.mean(lengths):.0f} tokens on average")
            readers = {
                name: SplitReader(reader.encoder, reader.weights, reader.about).use(name, n_threads=given.threads)
                for name in ENGINES
            }
            for n in given.candidates:
                some = [case.first(n) for case in cases]
                joint = costs_in_turn({name: joint_run(one, some) for name, one in readers.items()}, given.rounds)
                figures[f"joint_{n}"] = table(f"joint layers, {n} candidates", joint, ["torch"])
                runs = whole_runs(pipeline, some, given.threads) | {
                    f"split, {name}": reader_run(pipeline, readers[name], some)
                    for name in ("torch", "onnx", "onnx-int8")
                }
                whole = costs_in_turn(runs, given.rounds)
                figures[f"reader_{n}"] = table(f"reader, {n} candidates", whole, [PADDED, BY_PAIR, IN_ONNX])
    finish(given, figures)


def case_of(pipeline: Pipeline, asked: Asked, n: int) -> Case:
    """Retrieve a question's candidates as ``Pipeline.ask`` does, and load their states."""
    encoded = pipeline.reader.encoder.encode_question(asked.text)
    weights = pipeline.retrieval_weights
    found = retrieve(pipeline.snapshot, asked.text, encoded.vector, max(n, DEPTH), None, weights)
    keys = [one.key for one in candidates(found, found.fused[:n])]
    return Case(asked.text, encoded.states, keys, pipeline.snapshot.states(keys))


def joint_run(reader: SplitReader, cases: Sequence[Case]) -> Run:
    """The joint layers alone."""

    def run(number: int) -> object:
        case = cases[number % len(cases)]
        return reader.read(case.asked, case.passages)

    return run


def reader_run(pipeline: Pipeline, reader: SplitReader, cases: Sequence[Case]) -> Run:
    """All of the split reader's work for a question."""

    def run(number: int) -> object:
        case = cases[number % len(cases)]
        asked = reader.encoder.encode_question(case.question)
        return reader.read(asked.states, pipeline.snapshot.states(case.keys))

    return run


def whole_runs(pipeline: Pipeline, cases: Sequence[Case], n_threads: int) -> dict[str, Run]:
    """A whole model of the encoder's shape over all pairs, in three ways."""
    logging.set_verbosity_error()  # the head is not trained
    model = BertForQuestionAnswering.from_pretrained(find_model(DEFAULT_ENCODER).path).eval()
    session, pool = OnnxEncoder(pipeline.reader.encoder.weights), ThreadPoolExecutor(n_threads)
    pairs = [case.pairs for case in cases]

    @torch.inference_mode()
    def padded(number: int) -> object:
        rows = [torch.tensor(one) for one in pairs[number % len(pairs)]]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return model(input_ids=ids, attention_mask=(ids > 0).long())

    @torch.inference_mode()
    def by_pair(number: int) -> object:
        return [model(input_ids=torch.tensor([one])) for one in pairs[number % len(pairs)]]

    def in_onnxruntime(number: int) -> object:
        return list(pool.map(session.encode, pairs[number % len(pairs)]))

    return {PADDED: padded, BY_PAIR: by_pair, IN_ONNX: in_onnxruntime}


if __name__ == "__main__":
    main()
