"""The interface of an encoder as the indexer uses it. The reader's lower half implements it; tests build tiny ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import Codebook, EncoderInfo


class TextSpan(Protocol):
    """A range of code points of a text."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class Borders(Protocol):
    """The rule by which a text is divided into passages."""

    def split(self, text: str, tokenizer: Any) -> Iterable[TextSpan]: ...


class Encoded(Protocol):
    """The result of encoding one passage.

    :ivar vector: *Shape:* (hidden_width,), float32
    :ivar states: *Shape:* (tokens, hidden_width), float32
    """

    @property
    def vector(self) -> NDArray[np.float32]: ...
    @property
    def states(self) -> NDArray[np.float32]: ...


class TextEncoder(Protocol):
    """Divides texts into passages and encodes each alone; the result must depend on nothing but the encoder input.

    The encoder input is the passage's text below its lead, joined by the store's ``encoder_input``.
    """

    @property
    def encoder_id(self) -> str: ...
    @property
    def about(self) -> Mapping[str, Any]: ...
    @property
    def hidden_width(self) -> int: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def borders(self) -> Borders: ...
    @property
    def codebook(self) -> Mapping[str, NDArray[np.float32]] | None: ...
    def lead(self, title: str, heading: str) -> str:
        """The text to put before a passage of a document with this title, under this heading; may be ''."""
        ...

    def encode(self, text: str) -> Encoded: ...


def encoder_info(encoder: TextEncoder) -> EncoderInfo:
    """Describe an encoder for the store."""
    return EncoderInfo(encoder.encoder_id, encoder.hidden_width, encoder.hidden_width, dict(encoder.about))


def codebook_of(encoder: TextEncoder) -> Codebook | None:
    """The codebook with which a new store compresses this encoder's states; None where the encoder has none.

    :raises InvalidRecord: if its arrays do not form a codebook.
    """
    return Codebook(**encoder.codebook) if encoder.codebook is not None else None
