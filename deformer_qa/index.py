"""The Python interface in one class: open, index, ask, search, iterate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from deformer_qa.indexer.events import SyncReport
    from deformer_qa.pipeline.results import Answers, Found
    from deformer_qa.pipeline.retrieval import Method
    from deformer_qa.store import DocumentInfo, Snapshot


class Index:
    """A store with the reader that answers from it. Safe to use from several threads.

    Every call sees one whole generation, the newest when it begins; calls never wait for an indexing that runs in
    another thread or process. Models are loaded at the first call that needs them.

    :param store: the store's directory; made by the first ``index``.
    :param reader: a reader's folder made by ``qa train``; the shipped one by default.
    :param device: "cpu", "cuda", ...
    """

    def __init__(self, store: str | Path = ".qa", *, reader: str | Path | None = None, device: str = "cpu") -> None:
        self.path = Path(store)
        self._reader_folder, self._device = str(reader) if reader else None, device
        self._loading = threading.Lock()
        self._loaded: Any = None

    def index(self, *paths: str | Path, prune: bool = False) -> SyncReport:
        """Bring the index up to date with files and folders, or with all recorded ones where none is given.

        Only what changed is read, only new passages are encoded.

        :param prune: drop recorded folders that are gone, instead of an error.
        :raises PathMissing, PathUnusable, RootGone: before anything is changed.
        :raises StoreLocked: where another process writes.
        :raises StoreError: where the store cannot be opened or written.
        """
        from deformer_qa.indexer.sync import sync

        reader, _ = self._parts()
        return sync(self.path, reader.encoder, [Path(path) for path in paths], prune=prune)

    def ask(self, question: str, *, n_answers: int = 3, n_candidates: int = 20) -> Answers:
        """Answers with their places, best first; ``no_answer_is_best`` says where the documents do not say.

        :raises BadQuestion, TextTooLong: where the question is blank or too long.
        :raises StoreMissing, EncoderMismatch, StoreError: where there is no store that this reader can answer from.
        """
        from deformer_qa.pipeline.asking import Pipeline

        return Pipeline(self.snapshot(), self._parts()[0]).ask(question, n_answers=n_answers, n_candidates=n_candidates)

    def search(self, query: str, *, n: int = 10, method: Method = "fused") -> list[Found]:
        """Passages for a query, best first: "fused", "dense" or "bm25".

        :raises BadQuestion, TextTooLong, StoreError: as ``ask``.
        """
        from deformer_qa.pipeline.asking import Pipeline

        return Pipeline(self.snapshot(), self._parts()[0]).search(query, n=n, method=method)

    def __iter__(self) -> Iterator[DocumentInfo]:
        """The documents, in the order in which they came."""
        return self.snapshot().iter_documents()

    def __len__(self) -> int:
        """How many documents there are."""
        return self.snapshot().n_documents

    def text(self, document: int) -> str:
        """The kept text of a document, which offsets of answers count in."""
        return self.snapshot().document(document).text

    def snapshot(self) -> Snapshot:
        """The newest generation, for reading everything there is."""
        snapshot: Snapshot = self._parts()[1].get()
        return snapshot

    def close(self) -> None:
        """Let go of models and files; a later call loads them again."""
        with self._loading:
            self._loaded = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _parts(self) -> Any:
        """The reader, and the newest generation's keeper."""
        with self._loading:
            if self._loaded is None:
                from deformer_qa.pipeline.shared_readers import shared_reader
                from deformer_qa.store.newest import NewestSnapshot

                reader = shared_reader(self._reader_folder, self._device)
                self._loaded = reader, NewestSnapshot(self.path, reader.encoder.encoder_id)
            return self._loaded
