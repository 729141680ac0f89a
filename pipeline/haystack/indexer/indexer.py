"""Write documents to a store, as the last component of an indexing pipeline."""

from __future__ import annotations

import asyncio
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.types import DuplicatePolicy
from haystack.tracing.tracer import tracer

from haystack_integrations.document_stores.deformer import DeformerDocumentStore


@component
class DeformerIndexer:
    """Encode documents and write them, all of one call in one commit.

    It does what Haystack's ``DocumentWriter`` does with our store, and loads the encoder at ``warm_up``. Documents may
    have any length: the encoder's own rule cuts them into passages, so no splitter is needed before.

    :param document_store: the store to write to.
    :param policy: what to do with a document whose id is there already; by default the new one replaces it, so that a
        pipeline can run again.
    """

    def __init__(
        self, document_store: DeformerDocumentStore, policy: DuplicatePolicy = DuplicatePolicy.OVERWRITE
    ) -> None:
        if not isinstance(document_store, DeformerDocumentStore):
            raise TypeError(f"document_store: expected a DeformerDocumentStore, found {type(document_store).__name__}.")
        self.document_store, self.policy = document_store, policy

    def to_dict(self) -> dict[str, Any]:
        """Serialise the component, as Haystack's pipelines do."""
        return default_to_dict(self, document_store=self.document_store, policy=self.policy.name)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DeformerIndexer:
        """Build the component from the output of ``to_dict``."""
        given = dict(data.get("init_parameters", {}))
        if isinstance(given.get("policy"), str):
            given["policy"] = DuplicatePolicy[given["policy"]]
        data = {**data, "init_parameters": given}
        indexer: DeformerIndexer = default_from_dict(cls, data)
        return indexer

    def warm_up(self) -> None:
        """Load the encoder now, not at the first document."""
        self.document_store.warm_up()

    def close(self) -> None:
        """Release the store's open generation."""
        self.document_store.close()

    @component.output_types(documents_written=int)
    def run(self, documents: list[Document], policy: DuplicatePolicy | None = None) -> dict[str, int]:
        """Write the documents.

        :return: ``documents_written``, how many were written.
        :raises ValueError, DuplicateDocumentError, DocumentStoreError: as the store's ``write_documents``; none is
            written.
        """
        with tracer.trace("deformer.index", tags={"documents": len(documents)}):
            written: int = self.document_store.write_documents(documents, policy or self.policy)
        return {"documents_written": written}

    @component.output_types(documents_written=int)
    async def run_async(self, documents: list[Document], policy: DuplicatePolicy | None = None) -> dict[str, int]:
        """Call ``run`` in a thread."""
        written: dict[str, int] = await asyncio.to_thread(self.run, documents, policy)
        return written
