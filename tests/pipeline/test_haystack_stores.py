"""Haystack's components that work on a document store give with ours what they give with its in-memory one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from haystack import Document
from haystack.components.caching import CacheChecker
from haystack.components.preprocessors import DocumentSplitter, HierarchicalDocumentSplitter
from haystack.components.retrievers import AutoMergingRetriever, FilterRetriever, SentenceWindowRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy

from haystack_integrations.document_stores.deformer import DeformerDocumentStore

TEXT = (
    "The river was in the city. Who was in the river? The city of the river was where the city was. "
    "When was the city in the river? The river of the city was in the river."
)


@pytest.fixture
def stores(tmp_path: Path, tiny_reader: Path) -> tuple[InMemoryDocumentStore, DeformerDocumentStore]:
    return InMemoryDocumentStore(shared=False), DeformerDocumentStore(tmp_path / "store", reader=str(tiny_reader))


def _same(stores: tuple[Any, Any], run: Callable[[Any], Any]) -> Any:
    expected, found = (run(store) for store in stores)
    assert found == expected
    return found


def test_the_filter_retriever(stores: tuple[Any, Any]) -> None:
    documents = [Document(id=f"{n}", content=TEXT[: 20 + n], meta={"n": n, "even": n % 2 == 0}) for n in range(9)]
    _same(stores, lambda store: store.write_documents(documents))
    some = {"field": "meta.even", "operator": "==", "value": True}
    found = _same(stores, lambda store: FilterRetriever(store, filters=some).run())
    assert len(found["documents"]) == 5
    more = {"operator": "AND", "conditions": [some, {"field": "meta.n", "operator": ">", "value": 3}]}
    assert len(_same(stores, lambda store: FilterRetriever(store).run(filters=more))["documents"]) == 3
    _same(stores, lambda store: asyncio.run(FilterRetriever(store).run_async(filters=more)))


def test_the_sentence_window_retriever(stores: tuple[Any, Any]) -> None:
    parts = DocumentSplitter(split_by="word", split_length=6, split_overlap=2).run([Document(id="whole", content=TEXT)])
    _same(stores, lambda store: DocumentWriter(store).run(parts["documents"]))
    for chosen in (parts["documents"][3:4], parts["documents"][:2]):
        found = _same(stores, lambda store, chosen=chosen: SentenceWindowRetriever(store, window_size=2).run(chosen))
        assert len(found["context_documents"]) > len(chosen)
        _same(
            stores,
            lambda store, chosen=chosen: asyncio.run(SentenceWindowRetriever(store, window_size=1).run_async(chosen)),
        )


def test_the_auto_merging_retriever(stores: tuple[Any, Any]) -> None:
    splitter = HierarchicalDocumentSplitter(block_sizes={24, 12, 4}, split_overlap=0, split_by="word")
    parts = splitter.run([Document(content=TEXT)])["documents"]
    parents = [one for one in parts if one.meta["__children_ids"]]
    leaves = [one for one in parts if not one.meta["__children_ids"]]
    _same(stores, lambda store: store.write_documents(parents))
    for n_leaves in (1, 2, 3, len(leaves)):
        found = _same(stores, lambda store, n=n_leaves: AutoMergingRetriever(store, threshold=0.5).run(leaves[:n]))
        assert found["documents"]
    _same(stores, lambda store: asyncio.run(AutoMergingRetriever(store, threshold=0.5).run_async(leaves[:3])))


def test_the_document_writer(stores: tuple[Any, Any]) -> None:
    documents = [Document(id="1", content="the river"), Document(id="2", content="the city")]
    for policy in (DuplicatePolicy.NONE, DuplicatePolicy.SKIP, DuplicatePolicy.OVERWRITE):
        _same(stores, lambda store, policy=policy: DocumentWriter(store, policy).run(documents))
    for store in stores:
        with pytest.raises(DuplicateDocumentError):
            DocumentWriter(store, DuplicatePolicy.FAIL).run(documents)
        assert asyncio.run(DocumentWriter(store, DuplicatePolicy.OVERWRITE).run_async(documents)) == {
            "documents_written": 2
        }


def test_the_cache_checker(stores: tuple[Any, Any]) -> None:
    documents = [Document(id=name, content="the river", meta={"url": f"example.org/{name}"}) for name in "abc"]
    _same(stores, lambda store: store.write_documents(documents))
    wanted = ["example.org/a", "example.org/z", "example.org/c"]
    found = _same(stores, lambda store: CacheChecker(store, cache_field="url").run(wanted))
    assert found["misses"] == ["example.org/z"]
    _same(stores, lambda store: asyncio.run(CacheChecker(store, cache_field="meta.url").run_async(wanted)))
