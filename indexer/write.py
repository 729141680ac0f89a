"""Writes planned files into the store as documents, and commits from time to time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from deformer_qa.indexer.encoding import TextEncoder
from deformer_qa.indexer.errors import EncoderFailing
from deformer_qa.indexer.files import PIPED, FoundFile, Unread, shown
from deformer_qa.indexer.formats import BadRecord, ParsedDocument, one_line
from deformer_qa.indexer.interruption import Interruption
from deformer_qa.indexer.lookahead import DocumentAhead, FileAhead, Lookahead
from deformer_qa.indexer.plan import FileWork, Pair, SkippedFile, Stale
from deformer_qa.indexer.progress import Outcome, Progress
from deformer_qa.indexer.reading import ReadFile, Reading
from deformer_qa.reader.machine import usable_cpus
from deformer_qa.store import DocumentInfo, DocumentRecord, InvalidRecord, PassageDraft, PendingRow, Writer
from deformer_qa.store.locations import LOCATIONS, kept_locations, own_metadata

NO_RECORD = "none of its records can be read"

_MOST_REFUSED = 10  # documents in a row: then the encoder is at fault


@dataclass(frozen=True)
class Limits:
    """When to commit before the end: after this time, or with this much memory waiting."""

    commit_seconds: float
    commit_bytes: int


class _Refused(Exception):
    """A document could not be indexed; the message is the reason."""


class CorpusWriter:
    """Writes files into an open store, one after the other.

    :ivar has_changes: whether the store was changed, or will be with the next commit
    :ivar indexed: files, by root and path, that are now indexed at least in part
    """

    def __init__(
        self,
        writer: Writer,
        encoder: TextEncoder,
        limits: Limits,
        progress: Progress,
        interruption: Interruption,
        n_threads: int | None,
        leaving: Iterable[str] = (),
    ) -> None:
        """A writer of an open store's corpus.

        :param interruption: waits for the end of each change.
        :param n_threads: that encode; None takes one for each usable processor.
        :param leaving: recorded roots that ``forget_roots`` drops if they have no document left by then.
        """
        self._writer, self._encoder, self._n_threads = writer, encoder, n_threads or usable_cpus()
        self._limits, self._progress, self._interruption = limits, progress, interruption
        self._roots = list(writer.snapshot.roots) if writer.snapshot else []
        self._n_left = {root: len(_documents(writer, root)) for root in leaving}
        self._is_whole = True
        self._last_commit = time.monotonic()
        self._n_refused = 0
        self.has_changes = False
        self.indexed: set[tuple[str, str]] = set()

    # One file each

    def leave(self, file: FoundFile) -> None:
        """Count an unchanged file."""
        self._done(file, "unchanged")

    def skip(self, skipped: SkippedFile) -> None:
        """Skip a file; documents that it certainly no longer holds leave the index."""
        self._remove(skipped.dropped)
        self._progress.file_done(skipped.unread.shown, "skipped", skipped.unread.reason, skipped.unread.kind)

    def ignore(self, unread: Unread) -> None:
        """Count a file or folder that a pattern leaves out."""
        self._progress.file_done(unread.shown, "ignored", unread.reason, unread.kind)

    def remove(self, root: str, path: str, documents: Sequence[DocumentInfo]) -> None:
        """Remove the documents of a vanished file."""
        self._remove(documents)
        self._progress.file_done(shown(root, path), "removed")

    # All of them

    def take(self, files: Iterable[tuple[FileWork, Reading]]) -> None:
        """Bring the documents of new, changed and moved files up to date.

        A file that cannot be read is skipped with a reason. If only the attempt failed, its earlier version stays.

        :param files: drawn some time before they are taken.
        """
        with Lookahead(self._writer, self._encoder, self._n_threads, files) as ahead:
            for file in ahead.files():
                work, reading = file.work, file.reading
                self._progress.start_file(work.file.n_bytes)
                if isinstance(reading, ReadFile):
                    self._take_parsed(file, reading, ahead)
                else:
                    self._remove(() if reading.may_pass else (*work.own, *work.moved))
                    self._progress.file_done(work.file.shown, "skipped", reading.reason, reading.kind)

    def refresh(self, stale: Iterable[Stale]) -> None:
        """Record new file states of unchanged documents, so that the next sync need not read their files."""
        with self._changing():
            for entry in stale:
                document = entry.document
                self._writer.move_document(
                    document.id, root=document.root, path=document.path, source_state=entry.source_state
                )

    def forget_roots(self) -> None:
        """Drop the leaving roots that have no document left."""
        kept = [root for root in self._roots if self._n_left.get(root) != 0]
        if kept != self._roots:
            self._roots = kept
            self.has_changes = True
            with self._changing():
                self._writer.set_roots(self._roots)

    def commit(self) -> None:
        """Commit everything written so far."""
        with self._changing():
            generation = self._writer.commit()
        self._last_commit = time.monotonic()
        if generation is not None:
            self._progress.committed(generation)

    def merge(self) -> None:
        """Merge many small segments into few; everything is committed, so that Ctrl-C need not wait."""
        self._is_whole = False
        merged = self._writer.merge()
        self._is_whole = True
        if merged and self._writer.snapshot is not None:
            self._progress.committed(self._writer.snapshot.generation)

    def save_what_is_whole(self) -> None:
        """Commit after an interruption, unless it came in the middle of a change to the store, or twice."""
        if self._is_whole and not self._interruption.is_urgent:
            self._writer.commit()

    # Within a file

    def _take_parsed(self, file: FileAhead, reading: ReadFile, ahead: Lookahead) -> None:
        work, pairs = file.work, [document.pair for document in file.documents]
        n_relocated = self._settle(work.file, [pair for pair in pairs if pair.is_same], file.left, reading.state)
        bad, n_put = list(reading.parsed.bad_records), 0
        for number, document in enumerate(file.documents):
            if not document.pair.is_same:
                try:
                    drafts = self._keep_rows(document, ahead, first_share=number / len(pairs), share=1 / len(pairs))
                    self._put(work.file, document.pair, drafts, reading.state)
                    n_put += 1
                except _Refused as refusal:
                    ahead.drop(document)
                    bad.append(BadRecord(document.pair.document.record, str(refusal), "refused"))
                self._commit_if_due()
        n_taken = n_put + sum(pair.is_same for pair in pairs)
        for record in bad:
            if record.record:
                place = shown(work.file.root, work.file.path + record.record)
                self._progress.record_skipped(place, record.reason, record.kind)
        for note in reading.notes:
            self._progress.noted(work.file.shown, note)
        if n_taken:
            self._done(work.file, _outcome(work, pairs, n_put, bool(n_relocated or file.left)))
        else:
            reason = NO_RECORD if bad[0].record else bad[0].reason
            self._progress.file_done(work.file.shown, "skipped", reason, bad[0].kind)

    def _settle(self, file: FoundFile, same: Sequence[Pair], left: Sequence[DocumentInfo], state: str) -> int:
        """Remove unmatched documents and move those of unchanged content, all in one commit; returns how many moved."""
        n_relocated = 0
        with self._changing():
            self._remove(left)
            for document, earlier in ((pair.document, pair.earlier) for pair in same if pair.earlier):
                path, title = file.path + document.record, document.title
                if (earlier.root, earlier.path, earlier.title) != (file.root, path, title):
                    self._writer.move_document(earlier.id, root=file.root, path=path, title=title, source_state=state)
                    self._count(file.root, earlier)
                    n_relocated += 1
        return n_relocated

    def _put(self, file: FoundFile, pair: Pair, passages: Sequence[PassageDraft], state: str) -> None:
        document = pair.document
        record = DocumentRecord(
            id=pair.earlier.id if pair.earlier else self._writer.new_document_id(),
            root=file.root,
            path=file.path + document.record,
            title=document.title,
            content_hash=document.content_hash,
            text=document.text,
            outline=document.outline,
            meta=_meta(document),
            source_state=state,
        )
        try:
            with self._changing():
                self._writer.put_document(record, passages)
                self._count(file.root, pair.earlier)
        except InvalidRecord as error:
            raise _Refused(str(error)) from error

    def _keep_rows(
        self, document: DocumentAhead, ahead: Lookahead, *, first_share: float, share: float
    ) -> list[PassageDraft]:
        """Keep the rows of a document's passages that the store lacks; commits in between if the document is long."""
        drafts = []
        for passage in ahead.passages(document):
            if passage.row is not None and self._keep_row(passage.draft.key, passage.row):
                self._progress.reach(first_share + share * passage.draft.end / len(document.pair.document.text))
                self._progress.encoded(1)
                self._commit_if_due()
            drafts.append(passage.draft)
        if document.error is not None:
            raise self._refusal(document.error) from document.error
        if not drafts:
            raise _Refused("contains no text that the model's tokenizer knows")
        self._n_refused = 0
        return drafts

    def _keep_row(self, key: bytes, coming: Future[PendingRow]) -> bool:
        """Keep a row once it is encoded; False if an earlier passage with this text has brought it."""
        if self._writer.has_row(key):
            return False
        try:
            row = coming.result()
        except Exception as error:  # the fault is in this text
            raise self._refusal(error) from error
        with self._changing():
            self._writer.keep_row(key, row)
        self.has_changes = True
        return True

    def _refusal(self, error: Exception) -> Exception:
        """The error to raise after the encoder failed on a document; ends the run after too many in a row."""
        self._n_refused += 1
        if self._n_refused >= _MOST_REFUSED:
            return EncoderFailing(self._n_refused, error)
        return _Refused(one_line(f"the encoder failed: {type(error).__name__}: {error}"))

    # Bookkeeping

    def _remove(self, documents: Sequence[DocumentInfo]) -> None:
        with self._changing():
            for document in documents:
                self._writer.remove_document(document.id)
                self._count(None, document)

    def _count(self, root: str | None, earlier: DocumentInfo | None) -> None:
        """Count a document that is now in ``root`` and left its earlier root; record a root with its first document."""
        self.has_changes = True
        for place, change in ((earlier.root if earlier else None, -1), (root, 1)):
            if place in self._n_left:
                self._n_left[place] += change
        if root is not None and root != PIPED and root not in self._roots:
            self._roots.append(root)
            self._writer.set_roots(self._roots)

    def _done(self, file: FoundFile, outcome: Outcome) -> None:
        self.indexed.add((file.root, file.path))
        self._progress.file_done(file.shown, outcome)

    def _commit_if_due(self) -> None:
        waited = time.monotonic() - self._last_commit
        if waited >= self._limits.commit_seconds or self._writer.pending_bytes >= self._limits.commit_bytes:
            self.commit()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Mark a change in progress: until it ends, the writer may hold part of a document and must not commit."""
        with self._interruption.held():
            was_whole, self._is_whole = self._is_whole, False
            try:
                yield
            except InvalidRecord:  # the writer took nothing
                self._is_whole = was_whole
                raise
            self._is_whole = was_whole


def _documents(writer: Writer, root: str) -> Sized:
    return writer.snapshot.find_documents(root) if writer.snapshot else ()


def _meta(document: ParsedDocument) -> dict[str, object]:
    """The metadata to store with a document: its own, and its locations."""
    locations = kept_locations(document.locations, document.text)
    return own_metadata(document.meta) | ({LOCATIONS: locations} if locations else {})


def _outcome(work: FileWork, pairs: Sequence[Pair], n_put: int, was_settled: bool) -> Outcome:
    """The outcome to report for a file that is indexed at least in part."""
    if n_put:
        return "updated" if work.own else "added"
    stays = {document.id for document in work.own if document.root == work.file.root}
    if not any(pair.earlier and pair.earlier.id in stays for pair in pairs):
        return "moved"
    return "updated" if was_settled else "unchanged"
