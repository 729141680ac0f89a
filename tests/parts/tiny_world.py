"""A corpus folder, a store beside it, and a tiny encoder built in code: thousands of passages cost seconds."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deformer_qa.indexer import Event, SyncReport
from deformer_qa.indexer.sync import sync
from deformer_qa.store import DocumentInfo, PassageRecord, open_snapshot

WIDTH = 8


@dataclass(frozen=True)
class Span:
    start: int
    end: int


@dataclass(frozen=True)
class Encoded:
    vector: Any
    states: Any


class WordBorders:
    """A passage per line, as a line changed moves no border of another."""

    def split(self, text: str, tokenizer: Any) -> list[Span]:
        return [Span(*match.span()) for match in re.finditer(r"\S(?:[^\n]*\S)?", text)]


@dataclass
class TinyEncoder:
    """Vector and states from a hash of the words; counts its passes and fails where it is told to.

    :ivar encoded: what passed it: texts, those with names above them on a second line
    :ivar fail_at: called with each text before it is encoded
    """

    encoder_id: str = "tiny"
    hidden_width: int = WIDTH
    tokenizer: Any = None
    codebook: None = None
    borders: WordBorders = field(default_factory=WordBorders)
    encoded: list[str] = field(default_factory=list)
    fail_at: Callable[[str], None] = lambda text: None

    @property
    def about(self) -> dict[str, Any]:
        return {"name": "tiny"}

    def lead(self, title: str, heading: str) -> str:
        return " › ".join(dict.fromkeys(filter(None, (title, heading))))

    def encode(self, text: str) -> Encoded:
        self.fail_at(text)
        self.encoded.append(text)
        states = np.stack([_row(word) for word in text.split()])
        return Encoded(states.mean(0), states)


def _row(word: str) -> Any:
    digest = hashlib.blake2b(word.encode(), digest_size=4 * WIDTH).digest()
    return np.frombuffer(digest, "<u4").astype(np.float32) / 2**31 - 1


@dataclass
class World:
    """One corpus with its store.

    :ivar events: of the last sync
    """

    folder: Path
    store: Path
    encoder: TinyEncoder = field(default_factory=TinyEncoder)
    events: list[Event] = field(default_factory=list)

    def write_small_corpus(self) -> None:
        """Five documents in four files, one of each format."""
        self.write("one.txt", "First line of one.\nSecond line of one.\n")
        self.write("sub/two.md", "# Two\n\nText of two.\n\n## Deeper\n\nMore of two.\n")
        self.write("sub/three.html", "<title>Three</title><h1>Head</h1><p>Text of three.</p>")
        self.write("four.jsonl", '{"title": "A", "text": "Record a."}\n{"title": "B", "text": "Record b.\\nMore b."}\n')

    def write(self, path: str, text: str | bytes) -> Path:
        """A file of the corpus."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def sync(self, *paths: Path, **options: Any) -> SyncReport:
        """A sync of some paths, counting only its own passes."""
        self.encoder.encoded.clear()
        self.events.clear()
        options.setdefault("on_event", self.events.append)
        options.setdefault("n_threads", 1)  # so that what passes the encoder has an order
        return sync(self.store, self.encoder, paths, **options)

    def documents(self) -> dict[str, DocumentInfo]:
        """The indexed documents by absolute path."""
        found = {}
        with open_snapshot(self.store) as snapshot:
            for info in snapshot.iter_documents():
                folder = os.path.dirname(info.root) if os.path.isfile(info.root) else info.root
                path = os.path.join(folder, info.path)
                assert path not in found, "a place has one document"
                found[path] = info
        return found

    def ids(self) -> dict[str, int]:
        """The ids of the documents by their path in the corpus folder."""
        return {os.path.relpath(path, self.folder): info.id for path, info in self.documents().items()}

    def passages(self, path: str) -> list[PassageRecord]:
        """The passages of a document by its path in the corpus folder."""
        with open_snapshot(self.store) as snapshot:
            return snapshot.document_passages(self.ids()[path])

    def text(self, path: str) -> str:
        """The kept text of a document by its path in the corpus folder."""
        with open_snapshot(self.store) as snapshot:
            return snapshot.document(self.ids()[path]).text

    def roots(self) -> tuple[str, ...]:
        """The recorded roots."""
        with open_snapshot(self.store) as snapshot:
            return snapshot.roots

    def generation(self) -> int:
        """The generation that answers."""
        with open_snapshot(self.store) as snapshot:
            return snapshot.generation

    def answers(self) -> dict[str, list[str]]:
        """All that the index says: the passages' texts by the documents' paths in the corpus folder."""
        with open_snapshot(self.store) as snapshot:
            found = {}
            for path, id_ in self.ids().items():
                passages = snapshot.document_passages(id_)
                text = snapshot.document(id_).text
                found[path] = snapshot.passage_texts([passage.id for passage in passages])
                assert found[path] == [text[passage.start : passage.end] for passage in passages]
            return found
