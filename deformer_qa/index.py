"""Use a store from Python through one class: open, index, ask, search, iterate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from deformer_qa.pipeline import N_ANSWERS, N_CANDIDATES
from deformer_qa.store import EncoderMismatch, NewestSnapshot

if TYPE_CHECKING:
    from deformer_qa.indexer.formats.parsed import FileLimits
    from deformer_qa.indexer.progress import SyncReport
    from deformer_qa.indexer.selection import Selection
    from deformer_qa.pipeline.ask import Pipeline
    from deformer_qa.pipeline.filters import Filter
    from deformer_qa.pipeline.results import Answers, Found
    from deformer_qa.pipeline.retrieve import Method
    from deformer_qa.reader.reading import SplitReader
    from deformer_qa.store import DocumentInfo, Snapshot, Writer


class Index:
    """A store with the reader that answers from it. Safe to use from several threads.

    Every call sees one complete generation, the newest when the call begins. Calls never wait for indexing in another
    thread or process. Threads that index wait for each other. The first call that needs a model loads it.

    :param store: the store's directory, resolved now against the current directory; the first ``index`` creates it.
    :param reader: a reader's folder made by ``qa train``; the shipped one by default.
    :param device: "cpu", "cuda", ...
    :param threads: passages that are read or encoded at once; None for one on each processor.
        No answer and no store depends on it.
    """

    def __init__(
        self,
        store: str | Path = ".qa",
        *,
        reader: str | Path | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self.path = Path(store).absolute()
        self._reader_folder, self._device, self._threads = str(reader) if reader else None, device, threads
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
        """Bring the index up to date with files and folders; without arguments, with all recorded ones.

        Only changed files are read, and only new passages are encoded.

        :param prune: drop recorded folders that are gone instead of raising an error.
        :param limits: limits on files; a file beyond one is skipped, with the reason in the report.
        :param selection: patterns that choose files, and whether ignore files count.
        :raises BadPattern, PathMissing, PathUnusable, RootGone: before anything is changed.
        :raises StoreLocked: if another process writes.
        :raises StoreError: if the store cannot be opened or written.
        """
        from deformer_qa.indexer.formats.parsed import DEFAULT_LIMITS
        from deformer_qa.indexer.selection import EVERYTHING
        from deformer_qa.indexer.sync import sync
        from deformer_qa.store import waiting_lock

        with waiting_lock(self.path):
            return sync(
                self.path,
                self._reader().encoder,
                [Path(path) for path in paths],
                prune=prune,
                limits=limits or DEFAULT_LIMITS,
                selection=selection or EVERYTHING,
                n_threads=self._threads,
            )

    def compact(self) -> int:
        """Erase removed contents from every file, together with the previous generation; return the new generation.

        :raises StoreError: if there is no store, it is damaged, or there is no room for the copy.
        """
        with self._writer() as writer:
            return writer.compact()

    def rollback(self) -> int:
        """Commit the previous generation as a new one and return its number; a second call undoes the first.

        :raises NothingBefore: if there is no previous generation; the message says why.
        """
        with self._writer() as writer:
            return writer.rollback()

    def ask(
        self,
        question: str,
        *,
        n_answers: int = N_ANSWERS,
        n_candidates: int = N_CANDIDATES,
        max_risk: float | None = None,
        where: Filter | str | None = None,
    ) -> Answers:
        """Return answers with their places, best first; ``outcome`` is "answer", "guess" or "nothing".

        :param max_risk: the share of given answers that may be wrong; ``abstains`` is true if the best answer is not
            sure enough for it.
        :param where: a filter such as ``year >= 2020 and lang == "en"`` (docs/reference/filters.md has the grammar);
            only documents that match are searched.
        :raises BadFilter: if the filter is malformed; the message points at the place.
        :raises RiskNotKnown: if the reader has no confidence threshold for ``max_risk``.
        :raises BadQuestion, TextTooLong: if the question is blank or too long.
        :raises StoreMissing, EncoderMismatch, StoreError: if there is no store that this reader can answer from.
        """
        return self._pipeline().ask(
            question, n_answers=n_answers, n_candidates=n_candidates, max_risk=max_risk, where=where
        )

    def search(
        self, query: str, *, n: int = 10, method: Method = "fused", where: Filter | str | None = None
    ) -> list[Found]:
        """Return passages for a query, best first, by "fused", "dense" or "bm25"; the last encodes nothing.

        :raises BadQuestion, BadFilter, TextTooLong, StoreError: as ``ask``.
        """
        return self._pipeline().search(query, n=n, method=method, where=where)

    def __iter__(self) -> Iterator[DocumentInfo]:
        """Iterate over the documents in the order in which they were first indexed."""
        return self.snapshot().iter_documents()

    def __len__(self) -> int:
        """Count the documents."""
        return self.snapshot().n_documents

    def __bool__(self) -> bool:
        """Return True, even if there are no documents or no store yet."""
        return True

    def text(self, document: int) -> str:
        """Return the stored text of a document; offsets of answers count in it."""
        return self.snapshot().document(document).text

    def snapshot(self) -> Snapshot:
        """Return the newest generation, for reading everything in the store."""
        return self._newest.get()

    def close(self) -> None:
        """Release models and files; a later call loads them again."""
        self._newest.close()
        with self._loading:
            self._loaded = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _writer(self) -> Iterator[Writer]:
        from deformer_qa.store import Writer, waiting_lock

        with waiting_lock(self.path), Writer.open(self.path, None) as writer:
            yield writer

    def _reader(self) -> SplitReader:
        with self._loading:
            if self._loaded is None:
                from deformer_qa.pipeline.readers import shared_reader

                self._loaded = shared_reader(self._reader_folder, self._device, self._threads)
            return self._loaded

    def _pipeline(self) -> Pipeline:
        from deformer_qa.pipeline.ask import Pipeline

        snapshot, reader = self.snapshot(), self._reader()
        found, ours = snapshot.encoder.encoder_id, reader.encoder.encoder_id
        if found != ours:
            raise EncoderMismatch(self.path, "encoder", found, ours)
        return Pipeline(snapshot, reader)
