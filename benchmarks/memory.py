"""Show whether memory and open files of a process that answers many questions stay as they are.

    python benchmarks/memory.py [--data squad-v1.1-dev.json.xz] [--asks 3000] [--early 200] [--engines onnx-int8 ...]

Each engine has a process of its own. A question is some words in sequence from a passage of the store, so questions
and candidates have many lengths.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from corpus import corpus
from in_turn import arguments, finish, pinned

from deformer_qa.reader.engines.names import ENGINES

_WORDS = (3, 30)


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__, rounds=None)
    parser.add_argument("--asks", type=int, default=3_000)
    parser.add_argument("--early", type=int, default=200, help="asks after which memory is first looked at")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    given = pinned(parser)
    if given.store:
        print(json.dumps(memory_of(given)))
        return
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "store"
        make_store(store, corpus(given.data, given.paragraphs, Path(name))[0])
        for engine in given.engines:
            options = ["--store", store, "--engines", engine, "--asks", given.asks, "--early", given.early]
            command = [sys.executable, __file__, "--threads", given.threads, *options]
            told = subprocess.run([str(one) for one in command], check=True, stdout=subprocess.PIPE).stdout
            figures[engine] = json.loads(told)
            early, late = figures[engine]
            print(
                f"{engine:10}  {early['mib']:7.1f} MiB, {early['descriptors']} descriptors after {early['asks']} asks, "
                f"{late['mib']:7.1f} MiB, {late['descriptors']} after {late['asks']}",
                flush=True,
            )
    finish(given, {"memory": figures})


def make_store(store: Path, source: Path) -> None:
    """Index the texts."""
    from deformer_qa import Index

    with Index(store) as index:
        index.index(source)


def memory_of(given: argparse.Namespace) -> list[dict[str, float]]:
    """Ask so many questions; return what this process holds after the first of them and after all."""
    import psutil

    from deformer_qa.pipeline.ask import Pipeline
    from deformer_qa.reader.reading import SplitReader

    found, process, chance = [], psutil.Process(), random.Random(0)
    reader = SplitReader.load().use(given.engines[0], n_threads=given.threads)
    with Pipeline.open(given.store, reader) as pipeline:
        texts = pipeline.snapshot.passage_texts([int(one) for one in pipeline.snapshot.passage_ids()])
        for number in range(1, given.asks + 1):
            words = chance.choice(texts).split()
            first = chance.randrange(len(words))
            pipeline.ask(" ".join(words[first : first + chance.randint(*_WORDS)]))
            if number in (given.early, given.asks):
                mib = process.memory_info().rss / 2**20
                found.append({"asks": number, "mib": round(mib, 1), "descriptors": process.num_fds()})
    return found


if __name__ == "__main__":
    main()
