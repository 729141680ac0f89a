"""Each benchmark of speed runs on a few paragraphs and writes what it promises; no time is looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
_PARAGRAPHS = {
    "Heron": "The heron of the estuary is a tall grey bird. It eats frogs, and it nests in alder trees.",
    "Kiln": "The kiln at Ostby was built in 1871 by Marta Lund. It fired bricks until the flood of 1904.",
    "Sled": "A sled of ash wood weighs nine kilograms. Its runners are waxed with beeswax before each race.",
}
_ASKED = {
    "Heron": ("What does the heron eat?", "frogs"),
    "Kiln": ("Who built the kiln at Ostby?", "Marta Lund"),
    "Sled": ("How much does a sled of ash wood weigh?", "nine kilograms"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQuAD file of three paragraphs with a question each."""
    articles = []
    for title, context in _PARAGRAPHS.items():
        question, answer = _ASKED[title]
        gold = {"text": answer, "answer_start": context.index(answer)}
        asked = {"id": title, "question": question, "answers": [gold]}
        articles.append({"title": title, "paragraphs": [{"context": context, "qas": [asked]}]})
    file = tmp_path_factory.mktemp("squad") / "three.json"
    file.write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    return file


def _figures(name: str, data: Path, *options: str) -> dict[str, Any]:
    out = data.with_name(f"{name}.json")
    done = subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "benchmarks" / f"{name}.py"),
            "--data",
            str(data),
            "--json",
            str(out),
            *options,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert {"processor", "cores", "load", "options", "versions"} <= figures["about"].keys()
    return figures


def _check_table(rows: dict[str, Any], bases: set[str], names: set[str]) -> None:
    assert names <= rows.keys()
    for row in rows.values():
        assert row["times_as_fast_as"].keys() == bases
    for base in bases:
        assert rows[base]["times_as_fast_as"][base]["cpu"] == {"times": 1.0, "least": 1.0, "most": 1.0}


def test_engines(data: Path) -> None:
    figures = _figures("engines", data, "--rounds", "1", "--candidates", "2")
    _check_table(figures["joint_2"], {"torch"}, {"onnx-int8", "onnx", "numpy", "torch-bf16"})
    wholes = {"whole, transformers, padded batch", "whole, transformers, by pair", "whole, onnxruntime"}
    _check_table(figures["reader_2"], wholes, {"split, torch", "split, onnx", "split, onnx-int8"})
    assert figures["passage_tokens"] > 10


def test_cold(data: Path) -> None:
    figures = _figures("cold", data, "--rounds", "1")
    _check_table(figures["cold"], {"qa ask"}, {"floor"})
    assert figures["cold"]["qa ask"]["peak_mib"] > figures["cold"]["floor"]["peak_mib"]
    assert {"numpy", "deformer_qa.reader"} <= figures["import_ms"].keys()


def test_indexing(data: Path) -> None:
    figures = _figures("indexing", data, "--rounds", "1")
    bases = {"index, torch, 1 thread", "bare encoder, torch", "bare encoder, onnx"}
    _check_table(figures["indexing"], bases, {"index, onnx, 1 thread"})
    stores = figures["stores"]
    assert stores["codes"] > 3_000
    assert stores["codes_that_differ"] < stores["codes"] / 1_000
    assert stores["greatest_difference_of_vectors"] < 1e-5


def test_memory(data: Path) -> None:
    figures = _figures("memory", data, "--asks", "3", "--early", "2", "--engines", "numpy", "onnx-int8")
    assert figures["memory"].keys() == {"numpy", "onnx-int8"}
    for early, late in figures["memory"].values():
        assert (early["asks"], late["asks"]) == (2, 3)
        assert early["mib"] > 20


@pytest.mark.skipif(
    find_spec("haystack_integrations.components.embedders") is None, reason="needs sentence-transformers-haystack"
)
def test_against_haystack(data: Path) -> None:
    figures = _figures("against_haystack", data, "--rounds", "3", "--cold-rounds", "1")
    theirs = {"Haystack, defaults", "Haystack, by pair", "Haystack, by pair in onnxruntime"}
    _check_table(
        figures["warm"], theirs, {"ours, in Haystack", "ours", "ours, 20 passages", "ours, 20 passages, torch fp32"}
    )
    assert figures["warm"]["ours"]["em"] == 100
    _check_table(figures["cold"], {"Haystack, script"}, {"ours, script", "qa ask"})
