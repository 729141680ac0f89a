"""``qa verify``: what it prints of a healthy and of a damaged store, and what it does to repair one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from parts.commands import Qa

from deformer_qa.indexer.sync import sync
from deformer_qa.reader.encoder import Encoder
from deformer_qa.store import Writer, open_snapshot, verify


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, text in {
        "ulm.txt": "Ulm lies on the Danube. Its minster is high.",
        "rye.txt": "Rye is grown in the north.",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def store(default_encoder: Encoder, corpus: Path, tmp_path: Path) -> Path:
    sync(tmp_path / "store", default_encoder, [corpus])
    return tmp_path / "store"


def change(file: Path, place: int = -1) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def one(store: Path, name: str) -> Path:
    (file,) = store.glob(f"seg/*/{name}")
    return file


def test_a_healthy_store_is_said_to_be_so_and_left_alone(qa: Qa, store: Path) -> None:
    for arguments in ([], ["--repair"]):
        ended = qa("verify", "--store", store, *arguments)
        assert (ended.code, ended.out, ended.err) == (0, "healthy\n", "")
    about = json.loads(qa("verify", "--store", store, "--repair", "--format", "json").out)
    assert (about["healthy"], about["generation"], about["mended"]) == (True, None, [])
    assert json.loads(qa("info", "--store", store, "--format", "json").out)["generation"] == 1


def test_damage_is_named_and_repaired_by_one_more_command(qa: Qa, store: Path) -> None:
    states, lookup = one(store, "states"), one(store, "lookup")
    change(states)
    lookup.unlink()
    ended = qa("verify", "--store", store)
    assert ended.code == 1
    assert sorted(line.split("\t")[0] for line in ended.out.splitlines()) == sorted(
        str(file.relative_to(store)) for file in (states, lookup)
    )
    ended = qa("verify", "--store", store, "--recompute", "5")
    assert ended.code == 1
    assert "--recompute was skipped" in ended.err
    ended = qa("verify", "--store", store, "--repair", "--recompute", "5", "--format", "json")
    about = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert (about["healthy"], about["generation"]) == (True, 2)
    assert {mended["file"] for mended in about["mended"]} == {str(file.relative_to(store)) for file in (states, lookup)}
    assert (about["rows_kept"], about["rows_encoded_again"], about["documents_dropped"]) == (1, 1, 0)
    assert about["recomputed"]["n_rows"] == 2
    assert about["recomputed"]["wrong"] == []
    assert qa("verify", "--store", store).out == "healthy\n"


def test_repair_says_in_plain_lines_what_became_of_what(qa: Qa, store: Path) -> None:
    change(one(store, "vectors"))
    lines = [line.split("\t") for line in qa("verify", "--store", store, "--repair").out.splitlines()]
    assert lines[0][0] == "repaired"
    assert lines[0][1].endswith("/vectors")
    assert "1 of 2 rows carried over into seg/2-" in lines[0][3]
    assert ["rows kept", "1"] in lines
    assert any(line[:2] == ["rows encoded again", "1"] and line[2].startswith("passages ") for line in lines)
    assert ["generation", "2"] in lines
    assert lines[-1] == ["healthy"]


def test_a_dropped_document_is_named_and_comes_back_with_the_next_index(qa: Qa, store: Path, corpus: Path) -> None:
    with sqlite3.connect(one(store, "meta.sqlite")) as connection:
        connection.execute("UPDATE texts SET text = x'00' WHERE document_id = 1")
    connection.close()
    with open_snapshot(store) as snapshot:
        (path,) = (info.path for info in snapshot.document_infos([1]))
    ended = qa("verify", "--store", store, "--repair")
    assert ended.code == 0
    assert f"dropped\tdocument 1\t{corpus / path}\ttexts row 1: the checksum does not match" in ended.out
    assert "1 documents left the index" in ended.err
    assert "qa index" in ended.err
    about = json.loads(qa("index", "--store", store, "--format", "json").out.splitlines()[-1])
    assert about["passages_encoded"] == 0  # its rows were whole
    with open_snapshot(store) as snapshot:
        assert sorted(info.path for info in snapshot.iter_documents()) == ["rye.txt", "ulm.txt"]


def test_what_cannot_be_repaired_is_one_line_each_and_code_1(qa: Qa, store: Path) -> None:
    change(store / "MANIFEST-1")
    ended = qa("verify", "--store", store, "--repair")
    assert ended.code == 1
    assert ended.out == "cannot be repaired\tMANIFEST-1\tthe checksum does not match the content\n"


def test_a_sample_is_encoded_again_and_its_errors_are_printed(qa: Qa, store: Path, default_encoder: Encoder) -> None:
    lines = [line.split("\t") for line in qa("verify", "--store", store, "--recompute", "1").out.splitlines()]
    assert [line[0] for line in lines] == [
        "healthy",
        "rows compared",
        "error of states",
        "error beyond the encoding's",
        "error of vectors",
        "rows coded otherwise now",
        "rows that are wrong",
    ]
    assert lines[1][1] == "1"
    largest = float(lines[2][1].removeprefix("largest "))
    assert 0 < largest < 0.1


def test_a_row_that_is_not_of_its_text_is_damage_that_only_recompute_finds(
    qa: Qa, default_encoder: Encoder, tmp_path: Path, corpus: Path
) -> None:
    from deformer_qa.indexer.encoding import encoder_info
    from deformer_qa.store import DocumentRecord, PassageDraft, block_key

    text = "Ulm lies on the Danube."
    encoded = default_encoder.encode("Rye is grown in the north.")
    with Writer.open(tmp_path / "lie", encoder_info(default_encoder)) as writer:
        writer.add_row(block_key(text), encoded.vector, encoded.states)
        record = DocumentRecord(writer.new_document_id(), str(corpus), "ulm.txt", "Ulm", "0", text, (), {})
        writer.put_document(record, [PassageDraft(0, len(text), "", block_key(text))])
        writer.commit()
    assert verify(tmp_path / "lie") == []
    ended = qa("verify", "--store", tmp_path / "lie", "--recompute", "10", "--format", "json")
    assert ended.code == 1
    about = json.loads(ended.out)
    assert (about["healthy"], about["damaged"], about["recomputed"]["wrong"]) == (False, [], [1])
    assert "build the index again" in ended.err


def test_a_repair_with_another_encoder_is_refused(qa: Qa, store: Path, tiny_reader: Path) -> None:
    change(one(store, "states"))
    before = shutil.copytree(store, store.with_name("before"))
    ended = qa("verify", "--store", store, "--repair", "--reader", tiny_reader)
    assert ended.code == 4
    assert "encoder" in ended.err
    assert sorted(path.name for path in store.glob("seg/*")) == sorted(path.name for path in before.glob("seg/*"))


@pytest.mark.parametrize("arguments", [["--recompute", "0"], ["--recompute", "x"], ["--seed", "-1"]])
def test_wrong_numbers_are_refused(qa: Qa, store: Path, arguments: list[str]) -> None:
    ended = qa("verify", "--store", store, *arguments)
    assert ended.code == 2
    assert arguments[0] in ended.err
