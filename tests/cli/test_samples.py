"""Files of the usual producers: the default model answers from each, and the answer names where it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deformer_qa.cli.main import run
from deformer_qa.indexer.formats.registry import has_all_formats

SAMPLES = Path(__file__).parents[1] / "indexer" / "samples"
OTHER = (".odt", ".ods", ".odp", ".rtf", ".doc", ".xls", ".ppt")
QUESTIONS: list[dict[str, Any]] = [
    question for file in sorted(SAMPLES.glob("questions_*.json")) for question in json.loads(file.read_text())
]
WHERE = ("page", "slide", "sheet", "row", "cell", "line", "heading")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All samples in one index."""
    folder = tmp_path_factory.mktemp("samples") / "store"
    assert run(["index", str(SAMPLES), "--store", str(folder), "--exclude", "questions_*.json"]) == 0
    return folder


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: f"{asked['file']}: {asked['question']}")
def test_an_answer_names_where_it_stands(
    asked: dict[str, Any], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if asked["file"].endswith(OTHER) and not has_all_formats():
        pytest.skip("needs the extra all-formats")
    capsys.readouterr()
    run(["ask", asked["question"], "--store", str(store), "--format", "json"])
    answer = json.loads(capsys.readouterr().out)["answers"][0]
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
