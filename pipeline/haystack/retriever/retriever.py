"""Retrieve passages of a store for a query by dense score, BM25 or both, optionally filtered by metadata."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import numpy as np
from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.types import FilterPolicy
from haystack.document_stores.types.filter_policy import apply_filter_policy
from haystack.tracing.tracer import tracer
from numpy.typing import NDArray

from deformer_qa.pipeline.haystack.documents import PassageDocuments, haystack_errors
from deformer_qa.pipeline.questions import MOST_CHARACTERS, checked_question
from deformer_qa.pipeline.retrieve import DEPTH, Method, candidates, retrieve
from deformer_qa.store import EncoderMismatch, Snapshot
from haystack_integrations.document_stores.deformer import DeformerDocumentStore


@component
class DeformerRetriever:
    """Retrieve the passages that a ``DeformerReader`` then reads from their stored states.

    A document of one passage comes back as it was written. For a longer one, the passage comes back, with the
    document's id and the passage's place as its id. ``meta["deformer"]`` names store, generation, passage and place,
    and has the scores by which the reader compares passages.

    :param document_store: the store to search.
    :param filters: filters on documents' metadata. They are applied before ranking, so a filter that five passages meet
        finds all five.
    :param top_k: how many passages to return.
    :param mode: "fused" (the sum of both scores), "dense" or "bm25". ``qa ask`` reads the first 20 by "fused". "bm25"
        encodes nothing, so queries may have any length, and its documents have no other score.
    :param filter_policy: whether filters given to ``run`` replace ``filters`` or are joined with them.
    """

    def __init__(
        self,
        document_store: DeformerDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 20,
        mode: Method = "fused",
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        if not isinstance(document_store, DeformerDocumentStore):
            raise TypeError(f"document_store: expected a DeformerDocumentStore, found {type(document_store).__name__}.")
        if top_k <= 0:
            raise ValueError(f"top_k: expected more than 0, found {top_k}.")
        if mode not in get_args(Method):
            raise ValueError(f"mode: expected one of {', '.join(get_args(Method))}, found {mode!r}.")
        self.document_store, self.filters, self.top_k, self.mode = document_store, filters, top_k, mode
        self.filter_policy = filter_policy

    def to_dict(self) -> dict[str, Any]:
        """Serialise the component, as Haystack's pipelines do."""
        return default_to_dict(
            self,
            document_store=self.document_store,
            filters=self.filters,
            top_k=self.top_k,
            mode=self.mode,
            filter_policy=self.filter_policy.value,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DeformerRetriever:
        """Build the component from the output of ``to_dict``."""
        given = dict(data.get("init_parameters", {}))
        if isinstance(given.get("filter_policy"), str):
            given["filter_policy"] = FilterPolicy.from_str(given["filter_policy"])
        data = {**data, "init_parameters": given}
        retriever: DeformerRetriever = default_from_dict(cls, data)
        return retriever

    def warm_up(self) -> None:
        """Load the encoder now, not at the first query; BM25 needs none."""
        if self.mode != "bm25":
            self.document_store.warm_up()

    def close(self) -> None:
        """Release the store's open generation."""
        self.document_store.close()

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str | None = None,
        query_embedding: list[float] | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """Return passages for a query, best first.

        :param query: the query's text; required unless ``mode`` is "dense" and its vector is given.
        :param query_embedding: the query's vector by the store's encoder; computed from the text if needed and not
            given.
        :param top_k: the most passages to return; 0 for none.
        :raises ValueError: if the query is missing, blank or too long to be encoded, or ``top_k`` is negative.
        :raises FilterError: if a filter is malformed.
        :raises DocumentStoreError: if the store cannot be read, or its vectors are from another encoder.
        :raises TextTooLong: if the query has to be encoded and does not fit the encoder.
        """
        top_k = self.top_k if top_k is None else top_k
        if top_k < 0:
            raise ValueError(f"top_k: expected 0 or more, found {top_k}.")
        if query is None and (query_embedding is None or self.mode != "dense"):
            raise ValueError(f'query: mode "{self.mode}" needs its text; "dense" takes query_embedding instead.')
        most = MOST_CHARACTERS if self.mode != "bm25" and query_embedding is None else None
        query = checked_question(query, most) if query is not None else ""
        wanted = apply_filter_policy(self.filter_policy, self.filters, filters)
        with tracer.trace("deformer.retrieve", tags={"mode": self.mode, "top_k": top_k}) as span:
            snapshot = self.document_store.snapshot()
            with haystack_errors():
                found = self._found(snapshot, query, query_embedding, wanted, top_k) if snapshot and top_k else []
            span.set_tag("documents", len(found))
        return {"documents": found}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str | None = None,
        query_embedding: list[float] | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """Call ``run`` in a thread."""
        found: dict[str, list[Document]] = await asyncio.to_thread(self.run, query, query_embedding, filters, top_k)
        return found

    def _found(
        self, snapshot: Snapshot, query: str, embedding: list[float] | None, filters: dict[str, Any] | None, top_k: int
    ) -> list[Document]:
        among = self.document_store.matching_passages(snapshot, filters)
        vector = self._vector(snapshot, query, embedding)
        weights = self.document_store.retrieval_weights() if vector is not None else None
        retrieved = retrieve(snapshot, query, vector, max(top_k, DEPTH), among, weights)
        chosen = candidates(retrieved, retrieved.by(self.mode)[:top_k])
        scores = {"dense": lambda one: one.dense, "bm25": lambda one: one.bm25, "fused": lambda one: one.fused}
        store, asked = str(self.document_store.place), {"by_vector": vector is not None, "by_words": bool(query)}
        passages = PassageDocuments(snapshot, store, **asked)
        return [passages.document(one, float(scores[self.mode](one))) for one in chosen]

    def _vector(self, snapshot: Snapshot, query: str, embedding: list[float] | None) -> NDArray[np.float32] | None:
        """Return the query's vector, given or computed; None for BM25 alone without a given vector.

        *Shape:* (vector_width,), float32.

        :raises EncoderMismatch: if the store's vectors are from another encoder.
        """
        if embedding is None and self.mode == "bm25":
            return None
        encoder = self.document_store.encoder()
        if snapshot.encoder.encoder_id != encoder.encoder_id:
            raise EncoderMismatch(snapshot.path, "encoder", snapshot.encoder.encoder_id, encoder.encoder_id)
        return np.asarray(embedding, np.float32) if embedding is not None else encoder.encode(query, "query").vector
