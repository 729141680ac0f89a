"""Compare the costs of a store of a million passages with one of ten thousand: the figures of decision 11.

    python benchmarks/scale.py FOLDER [--small 10000] [--large 1000000] [--runs 5] [--questions 40]

Builds both stores in FOLDER through the writer that `qa index` uses, from synthetic passages of 24 tokens: words of the
reader's vocabulary in Zipf's proportions, vectors around random centres, random states. The stores are kept, and an
interrupted build continues. Then both stores are opened and asked in turn with the shipped reader, and fresh processes
measure their private memory in turn. "At work" is processor time, without that of other programs. Ratios are of
medians; recall is that of `qa bench recall`. A million passages take about 12 GB with int8 states, and twice as much
while they are merged.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from deformer_qa.reader.kernel_defaults import KERNEL_DEFAULTS

TOKENS = 24  # of a passage, including the two special ones
PASSAGES_PER_DOCUMENT = 50
PASSAGES_PER_CENTRE = 200
SPREAD = 0.75  # length of the offset of a passage's vector from its centre, which has length 1
KINDS_OF_STATES = 512
COMMIT_BYTES = 256 << 20  # as qa index does
OPENINGS = 50
WARM_UP = 5


class Corpus:
    """Generate synthetic passages, the same ones every time."""

    def __init__(self, n_passages: int, tokenizer: Any, width: int) -> None:
        vocabulary = (word for word in tokenizer._tokenizer.get_vocab() if word.isascii() and word.isalpha())
        self.words = np.array(sorted(word for word in vocabulary if tokenizer.count(word) == 1))
        chance = np.random.default_rng(1)
        chance.shuffle(self.words)
        shares = 1 / (np.arange(len(self.words)) + 2.7)
        self.shares = np.cumsum(shares / shares.sum())
        self.centres = _unit(chance.standard_normal((max(20, n_passages // PASSAGES_PER_CENTRE), width), np.float32))
        self.states = chance.standard_normal((KINDS_OF_STATES, TOKENS, width), np.float32)

    def document(self, number: int) -> tuple[list[str], np.ndarray, list[np.ndarray]]:
        """Return texts, vectors and states of the passages of one document."""
        chance = np.random.default_rng([2, number])
        drawn = np.searchsorted(self.shares, chance.random((PASSAGES_PER_DOCUMENT, TOKENS - 2)))
        texts = [" ".join(words) for words in self.words[np.minimum(drawn, len(self.words) - 1)].tolist()]
        noise = _unit(chance.standard_normal((PASSAGES_PER_DOCUMENT, self.centres.shape[1]), np.float32))
        vectors = _unit(self.centres[chance.integers(len(self.centres), size=PASSAGES_PER_DOCUMENT)] + SPREAD * noise)
        states = [self.states[kind] for kind in chance.integers(KINDS_OF_STATES, size=PASSAGES_PER_DOCUMENT)]
        return texts, vectors, states


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def build(path: Path, n_passages: int) -> None:
    """Fill a store, continuing one that exists."""
    from deformer_qa.reader.reading import SplitReader
    from deformer_qa.store import DocumentRecord, EncoderInfo, PassageDraft, Writer, block_key

    encoder = SplitReader.load().encoder
    width = encoder.hidden_width
    corpus = Corpus(n_passages, encoder.tokenizer, width)
    began = time.perf_counter()
    with Writer.open(path, EncoderInfo(encoder.encoder_id, width, width, dict(encoder.about))) as writer:
        n_there = writer.snapshot.n_documents if writer.snapshot else 0
        for number in range(n_there, n_passages // PASSAGES_PER_DOCUMENT):
            texts, vectors, states = corpus.document(number)
            drafts, start = [], 0
            for text, vector, of_text in zip(texts, vectors, states, strict=True):
                drafts.append(PassageDraft(start, start + len(text), "", block_key(text)))
                writer.add_row(drafts[-1].key, vector, of_text)
                start += len(text) + 2
            name = f"{number}.txt"
            record = DocumentRecord(writer.new_document_id(), "/synthetic", name, "", name, "\n\n".join(texts), (), {})
            writer.put_document(record, drafts)
            if writer.pending_bytes > COMMIT_BYTES:
                writer.commit()
                print(
                    f"  {(number + 1) * PASSAGES_PER_DOCUMENT:,} after {time.perf_counter() - began:,.0f} s", flush=True
                )
        writer.commit()
        print(f"  filled after {time.perf_counter() - began:,.0f} s", flush=True)
        writer.merge()
        print(f"  merged and indexed after {time.perf_counter() - began:,.0f} s", flush=True)


def compare(paths: list[Path], n_questions: int) -> list[dict[str, list[float]]]:
    """Measure each opening, each ask and its parts in milliseconds, on all stores in turn in one process."""
    from deformer_qa.lab.measure.recall import made_questions
    from deformer_qa.pipeline.ask import Pipeline
    from deformer_qa.pipeline.retrieve import DEPTH
    from deformer_qa.reader.reading import SplitReader
    from deformer_qa.store import open_snapshot

    found: list[dict[str, list[float]]] = [{} for _ in paths]
    for turn in range(WARM_UP + OPENINGS):
        for path, here in zip(paths, found, strict=True):
            began, worked = time.perf_counter(), time.thread_time()
            opened = open_snapshot(path)
            worked, ended = time.thread_time() - worked, time.perf_counter()
            opened.close()
            if turn >= WARM_UP:
                here.setdefault("opening", []).append(1000 * (ended - began))
                here.setdefault("opening, at work", []).append(1000 * worked)
    reader = SplitReader.load()
    pipelines = [Pipeline.open(path, reader) for path in paths]
    made = [made_questions(pipeline.snapshot, WARM_UP + n_questions) for pipeline in pipelines]
    for turn in range(WARM_UP + n_questions):
        for pipeline, questions, here in zip(pipelines, made, found, strict=True):
            timings = pipeline.ask(f"what is {questions[turn].text}?").timings_ms
            began = time.perf_counter()
            pipeline.snapshot.nearest(questions[turn].vector, DEPTH)
            between = time.perf_counter()
            pipeline.snapshot.bm25(questions[turn].text, DEPTH)
            timings |= {"dense": 1000 * (between - began), "bm25": 1000 * (time.perf_counter() - between)}
            if turn >= WARM_UP:
                for name, value in timings.items():
                    here.setdefault(f"ask: {name}", []).append(value)
    return found


def memory(path: Path, n_questions: int) -> float:
    """Measure this process's private memory in MiB after it opened a store and asked some questions."""
    from deformer_qa.lab.measure.recall import made_questions
    from deformer_qa.pipeline.ask import Pipeline
    from deformer_qa.reader.reading import SplitReader

    with Pipeline.open(path, SplitReader.load()) as pipeline:
        for one in made_questions(pipeline.snapshot, n_questions):
            pipeline.ask(f"what is {one.text}?")
        return anonymous_mib()


def anonymous_mib() -> float:
    """Return this process's memory in MiB that no file backs; pages of mapped files belong to the page cache."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/smaps_rollup names no anonymous memory")


def in_fresh_process(*arguments: str) -> Any:
    """Run this file with these arguments and return the JSON it prints."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env={**os.environ, **KERNEL_DEFAULTS}, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--child", choices=("compare", "memory"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    paths = [given.folder / str(n) for n in (given.small, given.large)]
    if given.child == "compare":
        print(json.dumps(compare(paths, given.questions)))
        return
    if given.child == "memory":
        print(json.dumps(memory(given.folder, given.questions)))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    for n, path in zip((given.small, given.large), paths, strict=True):
        if not path.with_suffix(".whole").exists():
            print(f"{n:,} passages:", flush=True)
            build(path, n)
            path.with_suffix(".whole").touch()
    options = ("--questions", str(given.questions), "--small", str(given.small), "--large", str(given.large))
    timed = [in_fresh_process(str(given.folder), "--child", "compare", *options) for _ in range(given.runs)]
    print(f"\n{given.runs} processes, {given.questions} questions each; medians in ms, of memory in MiB")
    print(f"{'':<16} {given.small:>12,} {given.large:>12,} {'ratio':>8}")
    for name in timed[0][0]:
        _print(name, [[one for turn in timed for one in turn[place][name]] for place in (0, 1)])
    held = [[in_fresh_process(str(path), "--child", "memory", *options) for path in paths] for _ in range(given.runs)]
    _print("private memory", [[turn[place] for turn in held] for place in (0, 1)])
    _print_recall(paths[1])


def _print(name: str, values: list[list[float]]) -> None:
    small, large = map(statistics.median, values)
    print(f"{name:<16} {small:>12.2f} {large:>12.2f} {large / small:>8.2f}", flush=True)


def _print_recall(path: Path) -> None:
    from deformer_qa.lab.measure.recall import made_questions, recall
    from deformer_qa.store import open_snapshot

    with open_snapshot(path) as snapshot:
        report = snapshot.size_report()
        print({name: report[name] for name in ("n_blocks", "n_catalogues", "n_indexes", "total_bytes")})
        print({entry.factory: entry.n_probes for entry in snapshot.manifest.indexes})
        for one in recall(snapshot, made_questions(snapshot, 100), 20):
            print(one.json())


if __name__ == "__main__":
    main()
