"""Build whole Haystack pipelines in one call."""

from __future__ import annotations

from pathlib import Path

from haystack import Pipeline
from haystack.utils import ComponentDevice

from deformer_qa.pipeline import N_CANDIDATES
from haystack_integrations.components.readers.deformer import DeformerReader
from haystack_integrations.components.retrievers.deformer import DeformerRetriever
from haystack_integrations.document_stores.deformer import DeformerDocumentStore


def question_answering(
    store: str | Path, *, reader: str | None = None, top_k: int = 3, device: ComponentDevice | None = None
) -> Pipeline:
    """Build a pipeline that answers as ``qa ask`` does on the same store.

    Run it with ``{"retriever": {"query": question}, "reader": {"query": question}}``; the answers are
    ``result["reader"]["answers"]``.

    :param store: the store's directory, written by ``qa index`` or through a ``DeformerDocumentStore``.
    :param reader: a reader's folder; the shipped one by default.
    :param top_k: the most answers to return, not counting "no answer".
    """
    documents = DeformerDocumentStore(store, reader=reader)
    pipeline = Pipeline()
    pipeline.add_component("retriever", DeformerRetriever(documents, top_k=N_CANDIDATES))
    pipeline.add_component("reader", DeformerReader(reader, device=device, top_k=top_k, document_store=documents))
    pipeline.connect("retriever.documents", "reader.documents")
    return pipeline
