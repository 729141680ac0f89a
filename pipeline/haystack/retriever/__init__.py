"""A Haystack retriever over our segments; see ``retriever``."""

from haystack_integrations.components.retrievers.deformer.retriever import DeformerRetriever

__all__ = ["DeformerRetriever"]
