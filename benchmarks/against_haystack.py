"""Compare a Haystack pipeline with ours on the same passages, vectors and backbone, asked in turn.

    pip install sentence-transformers-haystack transformers-haystack
    python benchmarks/haystack/compare.py [--squad FILE --paragraphs 200] [--checkpoint DIR] [--out FILE.json]

Theirs: a text embedder, the in-memory store's embedding retriever, ``TransformersExtractiveReader``. Ours: the
pipeline of ``question_answering``. Both read 20 passages. Without ``--checkpoint`` their reader is our backbone with
an untrained head, which takes the same time but gives no answers. With a checkpoint (a fine-tuned folder or hub id)
EM and F1 of both are printed. "Cold" is the time of a script from the shell to its first answer, with stores ready on
disk. Times are medians; ratios are theirs over ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import ComponentDevice

from deformer_qa import Index
from deformer_qa.lab.data.squad import exact_match, f1, read_squad
from deformer_qa.pipeline.haystack.pipelines import question_answering
from deformer_qa.reader.models import DEFAULT_ENCODER, find_model

REPOSITORY = Path(__file__).resolve().parents[2]
N_PASSAGES, N_ANSWERS = 20, 3
CPU = ComponentDevice.from_str("cpu")


@dataclass(frozen=True)
class Asked:
    """A question, and its answers if known."""

    text: str
    answers: tuple[str, ...]


def main() -> None:
    """Build both pipelines, ask them in turn, print and write the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--squad", type=Path, help="passages and questions of a SQuAD file; else the sample corpus")
    parser.add_argument("--paragraphs", type=int, default=200, help="of the SQuAD file, the first so many")
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--checkpoint", help="a fine-tuned reader for theirs")
    parser.add_argument("--turns", type=int, default=5, help="of the cold scripts")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    parser.add_argument("--cold", nargs=3, metavar=("WHOSE", "FOLDER", "QUESTION"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cold:
        whose, folder, question = given.cold
        print(BUILD[whose](Path(folder), given.checkpoint)(question))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = prepare(folder, given.squad, given.paragraphs)[: given.questions]
        result = {
            "machine": f"{platform.machine()}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads",
            "versions": {one: version(one) for one in ("haystack-ai", "torch", "transformers")},
            "passages_read": N_PASSAGES,
            "questions": len(asked),
            "checkpoint": given.checkpoint or "the backbone, untrained head",
            **warm(folder, asked, given.checkpoint),
            **cold(folder, asked[0].text, given.checkpoint, given.turns),
        }
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def prepare(folder: Path, squad: Path | None, n_paragraphs: int) -> list[Asked]:
    """Make our store, and theirs with the same passages and vectors, on disk; return the questions."""
    if squad is None:
        source = REPOSITORY / "examples" / "corpus"
        content = json.loads((REPOSITORY / "examples" / "questions.json").read_text(encoding="utf-8"))["questions"]
        asked = [Asked(one["question"], tuple(one["answers"])) for one in content if one["answers"]]
    else:
        paragraphs = read_squad(squad).paragraphs[:n_paragraphs]
        source = folder / "paragraphs.jsonl"
        source.write_text("".join(json.dumps({"text": one.context}) + "\n" for one in paragraphs), encoding="utf-8")
        asked = [
            Asked(one.question, tuple(gold.text for gold in one.answers))
            for index in range(max(len(paragraph.questions) for paragraph in paragraphs))
            for paragraph in paragraphs
            for one in paragraph.questions[index : index + 1]
            if one.answers
        ]
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
    return asked


def write_untrained_checkpoint(folder: Path) -> None:
    """Write our encoder's backbone with a fresh head as a checkpoint for question answering."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    model = find_model(DEFAULT_ENCODER).path
    AutoModelForQuestionAnswering.from_pretrained(model).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)


Ask = Callable[[str], str]


def build_theirs(folder: Path, checkpoint: str | None) -> Ask:
    """Build and warm up their pipeline over the passages on disk."""
    from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersTextEmbedder
    from haystack_integrations.components.readers.transformers import TransformersExtractiveReader

    pipeline = Pipeline()
    model = str(find_model(DEFAULT_ENCODER).path)
    pipeline.add_component(
        "embedder",
        SentenceTransformersTextEmbedder(model=model, device=CPU, normalize_embeddings=True, progress_bar=False),
    )
    store = InMemoryDocumentStore.load_from_disk(str(folder / "theirs.json"))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=N_PASSAGES))
    reader = TransformersExtractiveReader(
        model=checkpoint or str(folder / "checkpoint"), device=CPU, token=None, top_k=N_ANSWERS
    )
    pipeline.add_component("reader", reader)
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever", "reader")
    pipeline.warm_up()
    return lambda question: first(pipeline.run({"embedder": {"text": question}, "reader": {"query": question}}))


def build_ours(folder: Path, checkpoint: str | None = None) -> Ask:
    """Build and warm up our pipeline."""
    pipeline = question_answering(folder / "store", top_k=N_ANSWERS, device=CPU)
    pipeline.warm_up()
    return lambda question: first(pipeline.run({"retriever": {"query": question}, "reader": {"query": question}}))


BUILD: dict[str, Callable[[Path, str | None], Ask]] = {"theirs": build_theirs, "ours": build_ours}


def first(result: dict[str, Any]) -> str:
    """Return the text of the best answer that has one."""
    return next((one.data for one in result["reader"]["answers"] if one.data is not None), "")


def warm(folder: Path, asked: Sequence[Asked], checkpoint: str | None) -> dict[str, Any]:
    """Ask both each question in turn, after three uncounted ones."""
    built = {whose: build(folder, checkpoint) for whose, build in BUILD.items()}
    seconds: dict[str, list[float]] = {whose: [] for whose in built}
    texts: dict[str, list[str]] = {whose: [] for whose in built}
    for ask in built.values():
        for one in asked[:3]:
            ask(one.text)
    for one in asked:
        for whose, ask in built.items():
            began = time.perf_counter()
            texts[whose].append(ask(one.text))
            seconds[whose].append(time.perf_counter() - began)
    figures: dict[str, Any] = {"warm": compared(seconds)}
    for whose in ("theirs", "ours") if checkpoint else ("ours",):
        pairs = [(text, list(one.answers)) for text, one in zip(texts[whose], asked, strict=True)]
        figures[f"{whose}_em"] = 100 * statistics.mean(float(exact_match(text, golds)) for text, golds in pairs)
        figures[f"{whose}_f1"] = 100 * statistics.mean(f1(text, golds) for text, golds in pairs)
    return figures


def cold(folder: Path, question: str, checkpoint: str | None, turns: int) -> dict[str, Any]:
    """Run a script of each, and ``qa ask``, in turn, after an uncounted round."""
    here = [sys.executable, str(Path(__file__).resolve())]
    more = ["--checkpoint", checkpoint] if checkpoint else []
    qa = [str(Path(sys.executable).with_name("qa")), "ask", question, "--store", str(folder / "store")]
    commands = {whose: [*here, *more, "--cold", whose, str(folder), question] for whose in BUILD}
    scripts: dict[str, list[float]] = {whose: [] for whose in BUILD}
    shell: dict[str, list[float]] = {"theirs": scripts["theirs"], "ours": []}
    for turn in range(turns + 1):
        for whose, command in (*commands.items(), ("qa", qa)):
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if turn:
                (shell["ours"] if whose == "qa" else scripts[whose]).append(time.perf_counter() - began)
    return {"cold_pipeline": compared(scripts), "cold_qa_ask": compared(shell)}


def compared(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Return the ratio of the medians, and the range of the ratios turn by turn."""
    ratios = sorted(one / other for one, other in zip(seconds["theirs"], seconds["ours"], strict=True))
    return {
        "ratio": round(statistics.median(seconds["theirs"]) / statistics.median(seconds["ours"]), 2),
        "lowest": round(ratios[0], 2),
        "highest": round(ratios[-1], 2),
        "n": len(ratios),
    }


if __name__ == "__main__":
    main()
