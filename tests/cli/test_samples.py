"""Files of the usual producers: the default model answers from each, and the answer names where it stands.

What is tested is where, not how often: a question that the model gets wrong says nothing of that and is not asked here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from parts import SAMPLES

from deformer_qa.cli.ask import opened
from deformer_qa.cli.main import run
from deformer_qa.indexer.formats.registry import has_all_formats
from deformer_qa.pipeline.ask import Pipeline

OTHER = (".odt", ".ods", ".odp", ".rtf", ".doc", ".xls", ".ppt")
QUESTIONS: list[dict[str, Any]] = [
    question for file in sorted(SAMPLES.glob("questions_*.json")) for question in json.loads(file.read_text())
]
WHERE = ("page", "slide", "sheet", "row", "cell", "line", "heading")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """All samples in one index, with the default reader."""
    folder = tmp_path_factory.mktemp("samples") / "store"
    assert run(["index", str(SAMPLES), "--store", str(folder), "--exclude", "questions_*.json"]) == 0
    with opened(folder, None) as pipeline:
        yield pipeline


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: f"{asked['file']}: {asked['question']}")
def test_an_answer_names_where_it_stands(asked: dict[str, Any], pipeline: Pipeline) -> None:
    if asked["file"].endswith(OTHER) and not has_all_formats():
        pytest.skip("needs the extra all-formats")
    answer = pipeline.ask(asked["question"]).json()["answers"][0]
    document = answer["document"]
    assert document["path"] == asked["file"]
    assert asked["answer"] in answer["text"] or answer["text"] in asked["answer"], answer["text"]
    assert {kind: document[kind] for kind in WHERE if kind in asked} == {
        kind: asked[kind] for kind in WHERE if kind in asked
    }


def test_every_sample_is_asked_about() -> None:
    asked = {question["file"] for question in QUESTIONS}
    locked = {"locked.docx", "locked.pdf"}
    there = {file.name for file in SAMPLES.iterdir() if not file.name.startswith("questions_")}
    assert there - locked == asked
