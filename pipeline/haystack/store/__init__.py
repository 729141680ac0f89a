"""A Haystack document store on the segments of a store; see ``document_store``."""

from haystack_integrations.document_stores.deformer.document_store import DeformerDocumentStore

__all__ = ["DeformerDocumentStore"]
