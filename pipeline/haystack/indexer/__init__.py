"""A Haystack component that fills a store; see ``indexer``."""

from haystack_integrations.components.writers.deformer.indexer import DeformerIndexer

__all__ = ["DeformerIndexer"]
