"""How states are kept, chosen and measured from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deformer_qa.reader.shipped import SHIPPED
from deformer_qa.store import open_snapshot


@pytest.fixture
def squad_file(tmp_path: Path) -> Path:
    context = "Johann Bode proposed the name Uranus. Herschel had found the planet in 1781 with his telescope in Bath."
    answer = {"text": "Johann Bode", "answer_start": 0}
    question = {"id": "1", "question": "Who proposed the name Uranus?", "answers": [answer]}
    paragraphs = [{"context": context, "qas": [question]}]
    file = tmp_path / "squad.json"
    file.write_text(json.dumps({"data": [{"title": "T", "paragraphs": paragraphs}]}), encoding="utf-8")
    return file


def test_bench_encodings_measures_each_and_names_what_it_leaves_out(qa: Any, squad_file: Path) -> None:
    ended = qa("bench", "encodings", squad_file, "--format", "json")
    found = {one["encoding"]: one for one in json.loads(ended.out)["encodings"]}
    assert (ended.code, list(found)) == (0, ["fp16", "int8", "int4", "pq4"])
    assert "pq6 is left out" in ended.err
    assert [round(one["bytes_per_token"]) for one in found.values()] == [768, 388, 216, 96]
    assert found["fp16"]["lost"] < found["int8"]["lost"] < found["int4"]["lost"] < found["pq4"]["lost"] < 0.15
    assert found["fp16"]["decoding"] == 1


def test_a_new_store_is_kept_by_the_readers_codebook_or_as_asked(qa: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("The mill stands by the river.", encoding="utf-8")
    for asked, kept in (((), "pq4"), (("--encoding", "int4"), "int4")):
        store = tmp_path / kept
        assert qa("index", page, "--store", store, *asked).code == 0
        with open_snapshot(store) as snapshot:
            assert snapshot.encoding == kept
    assert qa("index", page, "--store", tmp_path / "pq6", "--encoding", "pq6").code == 2
    other = qa("index", page, "--store", tmp_path / "int4", "--encoding", "int8")
    assert (other.code, "states encoded as int4" in other.err) == (4, True)


def test_a_codebook_of_too_few_tokens_or_a_damaged_one_is_refused(qa: Any, squad_file: Path, tmp_path: Path) -> None:
    reader = Path(shutil.copytree(SHIPPED, tmp_path / "reader"))
    ended = qa("train", "codebook", "--data", squad_file, "--reader", reader)
    assert ended.code == 2
    assert "tokens, expected 9,984 or more" in ended.err
    (reader / "codebook.safetensors").write_bytes(b"no codebook")
    ended = qa("ask", "Who?", "--reader", reader, "--store", tmp_path / "none")
    assert ended.code in (2, 4)
    ended = qa("index", squad_file.parent, "--reader", reader, "--store", tmp_path / "s")
    assert (ended.code, "codebook.safetensors: not a whole safetensors file" in ended.err) == (2, True)
