"""The document store: Haystack's own tests of its protocol, and what is ours beyond."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from haystack import Document
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DocumentStoreError, DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing import document_store as sync_tests
from haystack.testing import document_store_async as async_tests

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.readers import shared_reader
from deformer_qa.store import verify
from haystack_integrations.document_stores.deformer import DeformerDocumentStore

MakeStore = Callable[[str], DeformerDocumentStore]


@pytest.fixture
def make_store(tmp_path: Path, tiny_reader: Path) -> MakeStore:
    held = shared_reader(str(tiny_reader))  # loaded once for all the stores of a test

    def make(name: str) -> DeformerDocumentStore:
        assert held is not None
        return DeformerDocumentStore(tmp_path / name, reader=str(tiny_reader))

    return make


@pytest.fixture
def document_store(make_store: MakeStore) -> DeformerDocumentStore:
    return make_store("store")


class OurStore:
    @pytest.fixture
    def document_store(self, make_store: MakeStore) -> DeformerDocumentStore:
        return make_store("store")


class TestProtocol(
    OurStore,
    sync_tests.DocumentStoreBaseExtendedTests,
    sync_tests.CountDocumentsByFilterTest,
    sync_tests.CountUniqueMetadataByFilterTest,
    sync_tests.GetMetadataFieldsInfoTest,
    sync_tests.GetMetadataFieldMinMaxTest,
    sync_tests.GetMetadataFieldUniqueValuesTest,
):
    def test_write_documents(self, document_store: DeformerDocumentStore) -> None:
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document], DuplicatePolicy.NONE)
        assert document_store.filter_documents() == [document]


class TestAsyncProtocol(
    OurStore,
    async_tests.CountDocumentsAsyncTest,
    async_tests.WriteDocumentsAsyncTest,
    async_tests.DeleteDocumentsAsyncTest,
    async_tests.DeleteAllAsyncTest,
    async_tests.DeleteByFilterAsyncTest,
    async_tests.UpdateByFilterAsyncTest,
    async_tests.FilterDocumentsAsyncTest,
    async_tests.CountDocumentsByFilterAsyncTest,
    async_tests.CountUniqueMetadataByFilterAsyncTest,
    async_tests.GetMetadataFieldsInfoAsyncTest,
    async_tests.GetMetadataFieldMinMaxAsyncTest,
    async_tests.GetMetadataFieldUniqueValuesAsyncTest,
):
    @pytest.mark.asyncio
    async def test_write_documents_async(self, document_store: DeformerDocumentStore) -> None:
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document], DuplicatePolicy.NONE)
        assert await document_store.filter_documents_async() == [document]


def test_every_mixin_of_the_protocol_is_inherited_here() -> None:
    for module, ours in ((sync_tests, TestProtocol), (async_tests, TestAsyncProtocol)):
        mixins = {name for name in vars(module) if name.endswith("Test")}
        assert len(mixins) > 8
        assert mixins <= {one.__name__ for one in ours.__mro__}


def test_a_document_comes_back_as_it_was_written(document_store: DeformerDocumentStore) -> None:
    documents = [
        Document(content="Grüße aus Łódź, 漢字 and \u202e.", meta={"a": {"b": [1, 2.5, None, True]}, "ü": "ß"}),
        Document(content=None, blob=ByteStream(b"\x00\xff", {"x": 1}, "image/png"), meta={"page_number": 3}),
        Document(content="", id="empty", meta={"t": [({"u": (1, (2,))}, "v")], "none": ()}),
        Document(content="  ", id="../../blank"),
        Document(content="x", id="..", score=0.1, embedding=[0.1, -2.0], sparse_embedding=SparseEmbedding([1], [0.5])),
        Document(content="x", id="a/b %2F?"),
    ]
    assert document_store.write_documents(documents) == 6
    assert document_store.filter_documents() == documents
    assert document_store.filter_documents()[2].meta == documents[2].meta
    document_store.delete_documents(["..", "a/b %2F?", "../../blank"])
    assert [one.id for one in document_store.filter_documents()] == [documents[0].id, documents[1].id, "empty"]


@pytest.mark.parametrize("meta", [{"when": object()}, {"n": float("nan")}, {1: "one"}, {"s": "\ud800"}])
def test_metadata_that_would_come_back_changed_are_refused(
    document_store: DeformerDocumentStore, meta: dict[Any, Any]
) -> None:
    with pytest.raises(ValueError, match="bad"):
        document_store.write_documents([Document(content="good"), Document(id="bad", content="b", meta=meta)])
    assert document_store.count_documents() == 0


def test_what_was_written_stands_in_another_process_without_a_save(
    document_store: DeformerDocumentStore, tiny_reader: Path
) -> None:
    code = (
        "import os, sys\nfrom haystack import Document\n"
        "from haystack_integrations.document_stores.deformer import DeformerDocumentStore\n"
        "store = DeformerDocumentStore(sys.argv[1], reader=sys.argv[2])\n"
        "store.write_documents([Document(content='the river', id='1'), Document(content='the city', id='2')])\n"
        "os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, document_store.path, str(tiny_reader)], env=os.environ)
    assert done.returncode == 9
    assert [one.id for one in document_store.filter_documents()] == ["1", "2"]
    assert verify(Path(document_store.path)) == []


def test_a_refused_write_leaves_everything_as_it_was(document_store: DeformerDocumentStore) -> None:
    document_store.write_documents([Document(content="first", id="1")])
    with pytest.raises(DuplicateDocumentError):
        document_store.write_documents([Document(content="new", id="2"), Document(content="again", id="1")])
    with pytest.raises(DuplicateDocumentError):
        document_store.write_documents([Document(content="a", id="3"), Document(content="b", id="3")])
    assert [one.content for one in document_store.filter_documents()] == ["first"]


def test_policies_settle_equal_ids_within_one_call(document_store: DeformerDocumentStore) -> None:
    twice = [Document(content="a", id="1"), Document(content="b", id="1")]
    assert document_store.write_documents(twice, DuplicatePolicy.SKIP) == 1
    assert [one.content for one in document_store.filter_documents()] == ["a"]
    assert document_store.write_documents(twice, DuplicatePolicy.OVERWRITE) == 2
    assert [one.content for one in document_store.filter_documents()] == ["b"]


def test_equal_texts_are_encoded_once_and_new_metadata_encode_nothing(document_store: DeformerDocumentStore) -> None:
    encoder = document_store.encoder()
    before = encoder.n_passes
    document_store.write_documents([Document(content="the river", id=str(n), meta={"n": n}) for n in range(5)])
    assert encoder.n_passes - before == 1
    document_store.update_by_filter({"field": "meta.n", "operator": ">", "value": 2}, {"far": True})
    document_store.write_documents([Document(content="the river", id="1")], DuplicatePolicy.OVERWRITE)
    assert encoder.n_passes - before == 1
    assert document_store.count_documents_by_filter({"field": "meta.far", "operator": "==", "value": True}) == 2


def test_a_store_of_another_encoder_is_refused(document_store: DeformerDocumentStore) -> None:
    document_store.write_documents([Document(content="the river")])
    with pytest.raises(DocumentStoreError, match="encoder"):
        DeformerDocumentStore(document_store.path).write_documents([Document(content="the city")])
    assert document_store.count_documents() == 1


def test_files_of_a_synchronised_folder_are_documents_too(
    make_store: MakeStore, tmp_path: Path, tiny_reader: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "river.txt").write_text("the river was in the city")
    store = make_store("mixed")
    sync(Path(store.path), shared_reader(str(tiny_reader)).encoder, [folder])
    store.write_documents([Document(content="who and when", id="note")])
    id_ = f"{folder}/river.txt"
    assert {one.id for one in store.filter_documents()} == {id_, "note"}
    (found,) = store.filter_documents({"field": "meta.path", "operator": "==", "value": "river.txt"})
    assert (found.id, found.content) == (id_, "the river was in the city")
    assert store.write_documents([found], DuplicatePolicy.SKIP) == 0
    sync(Path(store.path), shared_reader(str(tiny_reader)).encoder)
    assert {one.id for one in store.filter_documents()} == {
        id_,
        "note",
    }  # no file, and stays
    store.delete_documents([id_])
    assert [one.id for one in store.filter_documents()] == ["note"]


def test_a_write_that_happened_does_not_raise_for_old_damage(
    document_store: DeformerDocumentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deformer_qa.store.writer.MOST_SEGMENTS", 3)
    document_store.write_documents([Document(content="the river")])
    (vectors,) = Path(document_store.path).rglob("vectors*")
    content = bytearray(vectors.read_bytes())
    content[5] ^= 1
    vectors.write_bytes(content)
    for n in range(4):  # each leaves so many segments that they would be merged
        assert document_store.write_documents([Document(content=f"the city {n}")]) == 1
        assert document_store.count_documents() == n + 2
    assert verify(Path(document_store.path))


def test_new_metadata_are_checked_and_kept_as_a_write_would(document_store: DeformerDocumentStore) -> None:
    document_store.write_documents([Document(id="a", content="the river", meta={"t": (1, 2)})])
    all_of_them = {"field": "id", "operator": "==", "value": "a"}
    for meta in ({"t": 5}, {"q": ((1,), 2)}, {"title": "zebra"}):
        assert document_store.update_by_filter(all_of_them, meta) == 1
    (found,) = document_store.filter_documents()
    assert found.meta == {"t": 5, "q": ((1,), 2), "title": "zebra"}
    with pytest.raises(ValueError, match="meta"):
        document_store.update_by_filter(all_of_them, {"k": {1: "one"}})
    snapshot = document_store.snapshot()
    assert snapshot is not None
    assert snapshot.bm25("zebra", 3)
    assert document_store.count_documents_by_filter({"field": "meta.q", "operator": "==", "value": ((1,), 2)}) == 1


def test_a_document_that_is_a_file_is_not_overwritten(make_store: MakeStore, tmp_path: Path, tiny_reader: Path) -> None:
    (tmp_path / "a.txt").write_text("the river")
    store = make_store("mixed")
    sync(Path(store.path), shared_reader(str(tiny_reader)).encoder, [tmp_path / "a.txt"])
    (found,) = store.filter_documents()
    with pytest.raises(ValueError, match="change the file"):
        store.write_documents([found], DuplicatePolicy.OVERWRITE)
    assert store.update_by_filter({"field": "meta.path", "operator": "!=", "value": ""}, {"seen": True}) == 1
    with pytest.raises(ValueError, match="tuples"):
        store.update_by_filter({"field": "meta.seen", "operator": "==", "value": True}, {"t": (1,)})


def test_a_store_put_in_the_place_of_another_is_seen(document_store: DeformerDocumentStore) -> None:
    document_store.write_documents([Document(content="old")])
    shutil.rmtree(document_store.path)
    assert document_store.count_documents() == 0
    document_store.write_documents([Document(content="new")])
    assert [one.content for one in document_store.filter_documents()] == ["new"]
    aside = Path(document_store.path).with_name("aside")
    DeformerDocumentStore(aside, reader=document_store.reader).write_documents([Document(content="other")])
    shutil.rmtree(document_store.path)
    aside.rename(document_store.path)
    assert [one.content for one in document_store.filter_documents()] == ["other"]


def test_a_relative_path_is_that_of_the_beginning(
    tmp_path: Path, tiny_reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = DeformerDocumentStore("rel", reader=tiny_reader)
    store.write_documents([Document(content="the river")])
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert store.count_documents() == 1
    assert store.to_dict()["init_parameters"]["path"] == "rel"


def test_threads_that_write_wait_for_each_other(document_store: DeformerDocumentStore, tiny_reader: Path) -> None:
    stores = [document_store, DeformerDocumentStore(document_store.path, reader=str(tiny_reader))]
    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(lambda n: stores[n % 2].write_documents([Document(id=f"{n}", content="the river")]), range(12))
        )
    assert document_store.count_documents() == 12
