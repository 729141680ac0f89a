"""The Python interface in one class: open, index, ask, search, iterate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from deformer_qa.store import EncoderMismatch, NewestSnapshot, Writer, waiting_lock

if TYPE_CHECKING:
    from deformer_qa.indexer.formats.parsed import FileLimits
    from deformer_qa.indexer.progress import SyncReport
    from deformer_qa.indexer.selection import Selection
    from deformer_qa.pipeline.ask import Pipeline
    from deformer_qa.pipeline.filters import Filter
    from deformer_qa.pipeline.results import Answers, Found
    from deformer_qa.pipeline.retrieve import Method
    from deformer_qa.reader.reading import SplitReader
    from deformer_qa.store import DocumentInfo, Snapshot


class Index:
    """A store with the reader that answers from it. Safe to use from several threads.

    Every call sees one whole generation, the newest when it begins; calls never wait for an indexing that runs in
    another thread or process. Threads that index wait for each other. Models are loaded by the first call that needs
    them.

    :param store: the store's directory, from where the process is now; made by the first ``index``.
    :param reader: a reader's folder made by ``qa train``; the shipped one by default.
    :param device: "cpu", "cuda", ...
    """

    def __init__(self, store: str | Path = ".qa", *, reader: str | Path | None = None, device: str = "cpu") -> None:
        self.path = Path(store).absolute()
        self._reader_folder, self._device = str(reader) if reader else None, device
        self._newest = NewestSnapshot(self.path)
        self._loading = threading.Lock()
        self._loaded: SplitReader | None = None

    def index(
        self,
        *paths: str | Path,
        prune: bool = False,
        limits: FileLimits | None = None,
        selection: Selection | None = None,
    ) -> SyncReport:
        """Bring the index up to date with files and folders, or with all recorded ones where none is given.

        Only what changed is read, only new passages are encoded.

        :param prune: drop recorded folders that are gone, instead of an error.
        :param limits: what a file may be and cost; a file beyond one is skipped, with its reason in the report.
        :param selection: patterns of what is wanted, and whether ignore files count.
        :raises BadPattern, PathMissing, PathUnusable, RootGone: before anything is changed.
        :raises StoreLocked: where another process writes.
        :raises StoreError: where the store cannot be opened or written.
        """
        from deformer_qa.indexer.formats.parsed import DEFAULT_LIMITS
        from deformer_qa.indexer.selection import EVERYTHING
        from deformer_qa.indexer.sync import sync

        with waiting_lock(self.path):
            return sync(
                self.path,
                self._reader().encoder,
                [Path(path) for path in paths],
                prune=prune,
                limits=limits or DEFAULT_LIMITS,
                selection=selection or EVERYTHING,
            )

    def compact(self) -> int:
        """Erase what was removed from every file, and the generation before with it; returns the generation.

        :raises StoreError: where there is no store, it is damaged, or has no room for the copy.
        """
        with waiting_lock(self.path), Writer.open(self.path, None) as writer:
            return writer.compact()

    def rollback(self) -> int:
        """Go back to the generation before, as a new one; a second time undoes that. Returns the generation.

        :raises NothingBefore: where there is none, saying why.
        """
        with waiting_lock(self.path), Writer.open(self.path, None) as writer:
            return writer.rollback()

    def ask(
        self,
        question: str,
        *,
        n_answers: int = 3,
        n_candidates: int = 20,
        max_risk: float | None = None,
        where: Filter | str | None = None,
    ) -> Answers:
        """Answers with their places, best first; ``outcome`` says what came of it: "answer", "guess" or "nothing".

        :param max_risk: the share of answers given that may be wrong; ``abstains`` says where the best is not sure
            enough for it.
        :param where: a filter, as ``year >= 2020 and lang == "en"`` (docs/reference/filters.md has the grammar); only
            documents that match are searched.
        :raises BadFilter: pointing at the place in it.
        :raises RiskNotKnown: where the reader knows no confidence that holds it.
        :raises BadQuestion, TextTooLong: where the question is blank or too long.
        :raises StoreMissing, EncoderMismatch, StoreError: where there is no store that this reader can answer from.
        """
        return self._pipeline().ask(
            question, n_answers=n_answers, n_candidates=n_candidates, max_risk=max_risk, where=where
        )

    def search(
        self, query: str, *, n: int = 10, method: Method = "fused", where: Filter | str | None = None
    ) -> list[Found]:
        """Passages for a query, best first: "fused", "dense" or "bm25"; the last encodes nothing.

        :raises BadQuestion, BadFilter, TextTooLong, StoreError: as ``ask``.
        """
        return self._pipeline().search(query, n=n, method=method, where=where)

    def __iter__(self) -> Iterator[DocumentInfo]:
        """The documents, in the order in which they came."""
        return self.snapshot().iter_documents()

    def __len__(self) -> int:
        """How many documents there are."""
        return self.snapshot().n_documents

    def __bool__(self) -> bool:
        """True, also where there are no documents, or no store yet."""
        return True

    def text(self, document: int) -> str:
        """The kept text of a document, which offsets of answers count in."""
        return self.snapshot().document(document).text

    def snapshot(self) -> Snapshot:
        """The newest generation, for reading everything there is."""
        return self._newest.get()

    def close(self) -> None:
        """Let go of models and files; a later call loads them again."""
        self._newest.close()
        with self._loading:
            self._loaded = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reader(self) -> SplitReader:
        with self._loading:
            if self._loaded is None:
                from deformer_qa.pipeline.readers import shared_reader

                self._loaded = shared_reader(self._reader_folder, self._device)
            return self._loaded

    def _pipeline(self) -> Pipeline:
        from deformer_qa.pipeline.ask import Pipeline

        snapshot, reader = self.snapshot(), self._reader()
        found, ours = snapshot.encoder.encoder_id, reader.encoder.encoder_id
        if found != ours:
            raise EncoderMismatch(self.path, "encoder", found, ours)
        return Pipeline(snapshot, reader)
