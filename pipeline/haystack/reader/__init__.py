"""A Haystack extractive reader over stored states; see ``extractive_reader``."""

from haystack_integrations.components.readers.deformer.extractive_reader import DeformerReader

__all__ = ["DeformerReader"]
