"""Writes planned files into the store as documents: encodes new passages, and commits from time to time."""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from deformer_qa.indexer.encoding import TextEncoder
from deformer_qa.indexer.errors import EncoderFailing
from deformer_qa.indexer.files import PIPED, FileContent, FoundFile, Unread, kind_of, read_file, reason_of, shown
from deformer_qa.indexer.formats import BadRecord, FileLimits, Kind, NotReadable, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.plan import FileWork, Pair, SkippedFile, Stale, format_of, pair_documents, source_state
from deformer_qa.indexer.progress import Outcome, Progress
from deformer_qa.indexer.sandbox.parent import FileParser
from deformer_qa.store import (
    DocumentInfo,
    DocumentRecord,
    InvalidRecord,
    PassageDraft,
    Writer,
    block_key,
    encoder_input,
)
from deformer_qa.store.locations import LOCATIONS, kept_locations, own_metadata

NO_RECORD = "none of its records can be read"

_LEADS_KEPT = 64  # for the latest headings; a heading has many passages
_LONGEST_MARKS = 1_000  # characters; so that a text of punctuation alone costs no more than any other
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_MOST_REFUSED = 10  # documents in a row: then the encoder is at fault


@dataclass(frozen=True)
class Limits:
    """When to commit before the end: after this time, or with this much memory waiting."""

    commit_seconds: float
    commit_bytes: int


@dataclass(frozen=True)
class ReadFile:
    """The documents of a file, without its bytes.

    :ivar state: the file state to record in its documents, see ``source_state``
    """

    parsed: ParsedFile
    state: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class NotRead:
    """Why a file gave no documents. Unlike the exception, it keeps no frame and so none of the file's bytes alive.

    :ivar kind: the same for programs
    :ivar may_pass: whether only this attempt failed; an earlier version then stays indexed
    """

    reason: str
    kind: Kind
    may_pass: bool = False


Reading = ReadFile | NotRead


def read_and_parse(file: FoundFile, parser: FileParser, limits: FileLimits) -> Reading:
    """Read a file once, and parse the bytes read."""
    try:
        content = read_file(file, limits.file_bytes)
    except NotReadable as error:
        return NotRead(str(error), error.kind)
    except OSError as error:
        return NotRead(f"cannot be read: {reason_of(error, file.shown)}", kind_of(error), may_pass=True)
    return parse_content(file, content, parser)


def parse_content(file: FoundFile, content: FileContent, parser: FileParser) -> Reading:
    """As ``read_and_parse``, for a file already read."""
    try:
        format_ = format_of(file, content)
        parsed = parser.parse(format_, file.path, content.raw, content.sidecar)
    except NotReadable as error:
        return NotRead(str(error), error.kind)
    state = source_state(format_, content.state, len(parsed.documents) + len(parsed.bad_records))
    return ReadFile(parsed, state, (*content.notes, *parsed.notes))


class _Refused(Exception):
    """A document could not be indexed; the message is the reason."""


class _Leads:
    """The leads of a document's passages: the title and heading, as its content states them, that precede each."""

    def __init__(self, document: ParsedDocument, encoder: TextEncoder) -> None:
        self._text, self._outline = document.text, document.outline
        self._offsets = [offset for offset, _ in document.outline]
        title = document.title if document.has_own_title else ""
        self._lead = lru_cache(maxsize=_LEADS_KEPT)(lambda heading: encoder.lead(title, heading))

    def at(self, start: int) -> str:
        """The lead of the passage that starts here: its last heading before, unless the passage begins with that."""
        number = bisect_right(self._offsets, start)
        nearest = self._offsets[max(number - 1, 0) : number + 1]
        begins_with_one = any(self._is_wordless(min(start, one), max(start, one)) for one in nearest)
        return self._lead("" if begins_with_one or not number else self._outline[number - 1][1])

    def _is_wordless(self, start: int, end: int) -> bool:
        """Whether only blanks and punctuation, such as the marks of a heading, stand between two offsets."""
        return end - start <= _LONGEST_MARKS and _LETTER_OR_DIGIT.search(self._text, start, end) is None


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
        leaving: Iterable[str] = (),
    ) -> None:
        """:param leaving: recorded roots that ``forget_roots`` drops if they have no document left by then."""
        self._writer, self._encoder = writer, encoder
        self._limits, self._progress = limits, progress
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

    def take(self, work: FileWork, reading: Reading) -> None:
        """Bring the documents of a new, changed or moved file up to date.

        A file that cannot be read is skipped with a reason. If only the attempt failed, its earlier version stays.
        """
        self._progress.start_file(work.file.n_bytes)
        if isinstance(reading, ReadFile):
            self._take_parsed(work, reading.parsed, reading.state, reading.notes)
        else:
            self._remove(() if reading.may_pass else (*work.own, *work.moved))
            self._progress.file_done(work.file.shown, "skipped", reading.reason, reading.kind)

    # All of them

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
        """Merge many small segments into few."""
        with self._changing():
            merged = self._writer.merge()
        if merged and self._writer.snapshot is not None:
            self._progress.committed(self._writer.snapshot.generation)

    def save_what_is_whole(self) -> None:
        """Commit after an interruption, unless it came in the middle of a change to the store."""
        if self._is_whole:
            self._writer.commit()

    # Within a file

    def _take_parsed(self, work: FileWork, parsed: ParsedFile, state: str, notes: Sequence[str]) -> None:
        pairs, left = pair_documents(parsed.documents, work)
        n_relocated = self._settle(work.file, [pair for pair in pairs if pair.is_same], left, state)
        bad, n_put = list(parsed.bad_records), 0
        for number, pair in enumerate(pairs):
            if not pair.is_same:
                try:
                    self._put(work.file, pair, state, first_share=number / len(pairs), share=1 / len(pairs))
                    n_put += 1
                except _Refused as refusal:
                    bad.append(BadRecord(pair.document.record, str(refusal), "refused"))
                self._commit_if_due()
        n_taken = n_put + sum(pair.is_same for pair in pairs)
        for record in bad:
            if record.record:
                place = shown(work.file.root, work.file.path + record.record)
                self._progress.record_skipped(place, record.reason, record.kind)
        for note in notes:
            self._progress.noted(work.file.shown, note)
        if n_taken:
            self._done(work.file, _outcome(work, pairs, n_put, bool(n_relocated or left)))
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

    def _put(self, file: FoundFile, pair: Pair, state: str, *, first_share: float, share: float) -> None:
        document = pair.document
        passages = self._encode(document, first_share, share)
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

    def _encode(self, document: ParsedDocument, first_share: float, share: float) -> list[PassageDraft]:
        """Encode the passages of a document that have no row yet; commits in between if the document is long."""
        drafts = []
        leads = _Leads(document, self._encoder)
        text = document.text
        for start, end in self._split(text):
            lead = self._lead(leads, start)
            whole = encoder_input(lead, text[start:end])
            key = block_key(whole)
            if not self._writer.has_row(key):
                self._encode_passage(key, whole)
                self._progress.reach(first_share + share * end / len(text))
                self._progress.encoded(1)
                self._commit_if_due()
            drafts.append(PassageDraft(start, end, lead, key))
        self._n_refused = 0
        return drafts

    def _lead(self, leads: _Leads, start: int) -> str:
        try:
            return leads.at(start)
        except Exception as error:  # the fault is in a name of this document
            raise self._refusal(error) from error

    def _split(self, text: str) -> list[tuple[int, int]]:
        try:
            spans = [(span.start, span.end) for span in self._encoder.borders.split(text, self._encoder.tokenizer)]
        except Exception as error:  # the fault is in this text
            raise self._refusal(error) from error
        if not spans:
            raise _Refused("contains no text that the model's tokenizer knows")
        return spans

    def _encode_passage(self, key: bytes, whole: str) -> None:
        try:
            encoded = self._encoder.encode(whole)
        except Exception as error:  # the fault is in this text
            raise self._refusal(error) from error
        try:
            with self._changing():
                self._writer.add_row(key, encoded.vector, encoded.states)
            self.has_changes = True
        except InvalidRecord as error:
            raise self._refusal(error) from error

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
