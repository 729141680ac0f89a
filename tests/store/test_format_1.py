"""The frozen sample of format 1: every later version opens it and says what it said, or this test tells."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from deformer_qa.store import Writer, export_store, import_store, open_snapshot, verify

SAMPLE = Path(__file__).parent / "format_1"
SAYS = json.loads((SAMPLE / "says.json").read_text())
STRIDE = int(os.environ.get("QA_SAMPLE_STRIDE", "25"))  # make torture changes every byte


@pytest.fixture
def sample(tmp_path):
    return Path(shutil.copytree(SAMPLE / "store", tmp_path / "sample"))


def check_says(store, tiny, rtol=1e-9) -> None:
    """The store says what the sample said when it was made; its scores but for ``rtol``."""
    with open_snapshot(store, encoder_id="tiny-encoder-1") as snapshot:
        assert snapshot.notice is None
        documents = {
            str(info.id): [info.path, snapshot.document(info.id).text, dict(info.meta)]
            for info in snapshot.iter_documents()
        }
        assert documents == SAYS["documents"]
        ids = [int(id_) for id_ in SAYS["passages"]]
        passages = snapshot.passages(ids)
        texts = zip(snapshot.passage_texts(ids), (one.heading for one in passages), strict=True)
        assert [list(one) for one in texts] == list(SAYS["passages"].values())
        for said, found in (
            (SAYS["nearest"], snapshot.nearest(tiny.vector("a question"), 5)),
            (SAYS["bm25"], snapshot.bm25("dogs at the river", 5)),
        ):
            assert [hit.passage_id for hit in found] == [id_ for id_, _ in said]
            np.testing.assert_allclose([hit.score for hit in found], [score for _, score in said], rtol=rtol)
        for passage in passages:
            expected = np.array(SAYS["states"][str(passage.id)])
            np.testing.assert_allclose(snapshot.states([passage.key])[0], expected, atol=2e-5)


def test_the_sample_store_says_what_it_said(sample, tiny):
    check_says(sample, tiny)
    assert verify(sample) == []


def test_the_sample_store_is_written_to_merged_compacted_and_exported(sample, tiny, tmp_path):
    with Writer.open(sample, tiny.encoder) as writer:
        id_ = tiny.put(writer, "new.txt", "Entirely new. Dogs bark loudly")
        writer.commit()
        writer.remove_document(id_)
        writer.merge()
        writer.compact()
    check_says(sample, tiny)
    with open_snapshot(sample) as snapshot:
        export_store(snapshot, tmp_path / "out")
    import_store(tmp_path / "out", tmp_path / "again")
    check_says(tmp_path / "again", tiny, rtol=0.05)  # an import cuts words anew: its Japanese sentence is longer now


def test_verify_finds_each_single_byte_change_in_the_sample_store(sample, tiny):
    changed = 0
    for name in tiny.files(sample):
        whole = (sample / name).read_bytes()
        stride = STRIDE if len(whole) > 1000 else 1
        for place in range(0, len(whole), stride):
            (sample / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
            assert [damage.file for damage in verify(sample)] == [str(name)], (name, place)
            changed += 1
        (sample / name).write_bytes(whole)
    assert changed > 70_000 / STRIDE
    assert verify(sample) == []
