"""Brings a store up to date with its corpus (``sync``), or tells what that would do (``preview``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deformer_qa.indexer.encoding import TextEncoder, codebook_of, encoder_info
from deformer_qa.indexer.errors import RootGone
from deformer_qa.indexer.files import PIPED, FileContent, FoundFile, Unread, printable, shown
from deformer_qa.indexer.formats import ParsedFile, file_of
from deformer_qa.indexer.formats.parsed import DEFAULT_LIMITS, FileLimits
from deformer_qa.indexer.interruption import Interruption
from deformer_qa.indexer.plan import FileWork, Plan, SkippedFile, make_plan, pair_documents
from deformer_qa.indexer.progress import Event, Outcome, Progress, SyncReport
from deformer_qa.indexer.reading import NotRead, ReadFile, Reading, parse_content, read_and_parse
from deformer_qa.indexer.roots import Scope, choose_scope, existing_place
from deformer_qa.indexer.sandbox.parent import FileParser
from deformer_qa.indexer.selection import EVERYTHING, Selection
from deformer_qa.indexer.write import NO_RECORD, CorpusWriter, Limits
from deformer_qa.store import DocumentInfo, Snapshot, StoreError, StoreMissing, Writer, open_snapshot

MOST_REFRESHED = 200  # documents; reading and hashing an unchanged file costs less than writing its document anew


def sync(
    store: Path,
    encoder: TextEncoder,
    paths: Sequence[Path] = (),
    *,
    encoding: str | None = None,
    vector_index: str | None = None,
    prune: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    commit_seconds: float = 60.0,
    commit_bytes: int = 256 * 2**20,
    limits: FileLimits = DEFAULT_LIMITS,
    selection: Selection = EVERYTHING,
    n_threads: int | None = None,
) -> SyncReport:
    """Bring the index up to date with some paths, or with all recorded roots if none is given.

    Each path becomes a recorded root; one inside a recorded root stands for that part of it, one around recorded roots
    takes them over. New and changed files are indexed, vanished ones leave the index, and moved ones are recognised by
    their content. Only passages without a row in the store are encoded. A file that cannot be read is skipped with a
    reason. If there is nothing to index, no store is made and no root recorded.

    Finished work is committed every ``commit_seconds``, and before more than ``commit_bytes`` of memory wait for it.
    After an exception, including KeyboardInterrupt, whatever is complete is committed, and the next sync continues
    from there. Ctrl-C waits for a change of the store that has begun; pressed again, it does not, and only what was
    committed before stays.

    :param encoding: of the states; None takes the store's, for a new one that of the encoder's codebook, else int8.
    :param vector_index: auto, flat, or a factory string; None takes the store's choice, "auto" for a new one.
    :param prune: drop recorded roots that are gone, instead of an error.
    :param on_event: called in this thread, often.
    :param limits: on the size and cost of a file; files are parsed in a separate process, which is killed beyond them.
    :param selection: the files wanted of the paths; indexed files that are no longer wanted leave the index.
    :param n_threads: that encode; None takes one for each usable processor. The store does not depend on it.
    :raises BadPattern, PathMissing, PathUnusable, RootGone: before anything is changed.
    :raises EncoderFailing: if the encoder fails on several documents in a row.
    :raises StoreError: if the store cannot be opened or written.
    """
    selection.check()
    places = [existing_place(path) for path in paths] or None
    progress = Progress(on_event)
    with Interruption() as interruption, FileParser(limits) as parser:
        readings, is_planned = _Readings(parser, limits), False
        if places and not has_store(store):
            (scope, plan), is_planned = plan_of(None, store, places, limits, selection), True
            if not readings.find_text(plan):
                progress.found(plan.n_files, plan.n_bytes)
                _carry_out(plan, _Teller(progress), readings, prune)
                return report_of(None, scope, progress, ())
        opened = Writer.open(store, encoder_info(encoder), encoding, create=bool(places), codebook=codebook_of(encoder))
        with opened as writer:
            if vector_index is not None:
                writer.set_vector_index(vector_index)
            if not is_planned or writer.snapshot is not None:  # another process made the store meanwhile
                scope, plan = plan_of(writer.snapshot, store, places, limits, selection)
                readings = _Readings(parser, limits)
            if places is None and not prune:
                check_roots(plan)
            progress.found(plan.n_files, plan.n_bytes)
            corpus = CorpusWriter(
                writer,
                encoder,
                Limits(commit_seconds, commit_bytes),
                progress,
                interruption,
                n_threads,
                leaving=[*scope.absorbed, *scope.gone],
            )
            with _saving(corpus):
                _carry_out(plan, corpus, readings, prune)
                corpus.forget_roots()
                if corpus.has_changes:
                    corpus.refresh(plan.stale[:MOST_REFRESHED])
                corpus.commit()
                corpus.merge()
            return report_of(writer.snapshot, scope, progress, corpus.indexed)


def check_roots(plan: Plan) -> None:
    """Check the plan. :raises RootGone: if a recorded root is gone, and its content was not found elsewhere."""
    if plan.lost:
        root = next(iter(plan.lost))[0]
        raise RootGone(root, sum(len(documents) for place, documents in plan.lost.items() if place[0] == root))


def plan_of(
    snapshot: Snapshot | None, store: Path, places: Sequence[str] | None, limits: FileLimits, selection: Selection
) -> tuple[Scope, Plan]:
    scope = choose_scope(places, snapshot.roots if snapshot else ())
    return scope, make_plan(snapshot, scope, limits, selection, never=[store, *selection.never])


class _Readings:
    """Reads and parses each file once, when it is needed."""

    def __init__(self, parser: FileParser, limits: FileLimits) -> None:
        self._parser, self._limits = parser, limits
        self._early: dict[tuple[str, str], Reading] = {}  # at most one with documents; the others are reasons

    def find_text(self, plan: Plan) -> bool:
        """Whether a new store would get a document; reads up to the first one, and keeps what it read for ``take``."""
        for work in plan.work:
            reading = read_and_parse(work.file, self._parser, self._limits)
            self._early[work.file.root, work.file.path] = reading
            if _gives_documents(reading):
                return True
        return False

    def take(self, file: FoundFile) -> Reading:
        """The result of reading a file; call once for each file."""
        early = self._early.pop((file.root, file.path), None)
        return early or read_and_parse(file, self._parser, self._limits)


def _carry_out(plan: Plan, corpus: CorpusWriter | _Teller, readings: _Readings, prune: bool) -> None:
    """Run the plan's steps: files without encoding first, removals last, because their rows may serve new passages."""
    for file in plan.unchanged:
        corpus.leave(file)
    for skipped in plan.skipped:
        corpus.skip(skipped)
    for ignored in plan.ignored:
        corpus.ignore(ignored)
    corpus.take((work, readings.take(work.file)) for work in plan.work)
    for (root, path), documents in {**plan.removed, **(plan.lost if prune else {})}.items():
        corpus.remove(root, path, documents)


class _Teller:
    """Stands in for ``CorpusWriter`` where nothing is written: reports what would happen to each file.

    :ivar indexed: files, by root and path, that would be indexed at least in part
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.indexed: set[tuple[str, str]] = set()

    def leave(self, file: FoundFile) -> None:
        self.indexed.add((file.root, file.path))
        self._progress.file_done(file.shown, "unchanged")

    def skip(self, skipped: SkippedFile) -> None:
        self._progress.file_done(skipped.unread.shown, "skipped", skipped.unread.reason, skipped.unread.kind)

    def ignore(self, unread: Unread) -> None:
        self._progress.file_done(unread.shown, "ignored", unread.reason, unread.kind)

    def remove(self, root: str, path: str, documents: Sequence[DocumentInfo]) -> None:
        self._progress.file_done(shown(root, path), "removed")

    def take(self, files: Iterable[tuple[FileWork, Reading]]) -> None:
        for work, reading in files:
            self._take(work, reading)

    def _take(self, work: FileWork, reading: Reading) -> None:
        file = work.file
        self._progress.start_file(file.n_bytes)
        if isinstance(reading, NotRead):
            self._progress.file_done(file.shown, "skipped", reading.reason, reading.kind)
            return
        parsed = reading.parsed
        for record in parsed.bad_records:
            place = shown(file.root, file.path + record.record)
            self._progress.record_skipped(place, record.reason, record.kind)
        for note in reading.notes:
            self._progress.noted(file.shown, note)
        if parsed.documents:
            self.indexed.add((file.root, file.path))
            self._progress.file_done(file.shown, _outcome(work, parsed))
        else:
            self._progress.file_done(file.shown, "skipped", NO_RECORD, parsed.bad_records[0].kind)


@contextmanager
def _saving(corpus: CorpusWriter) -> Iterator[None]:
    """Commit what is whole if anything ends the run."""
    try:
        yield
    except BaseException as ending:
        try:
            corpus.save_what_is_whole()
        except Exception as error:
            ending.add_note(f"What was done since the last commit is lost: {error}")
        raise


def has_store(store: Path) -> bool:
    """Whether a generation was ever committed there; if it cannot be opened, the writer raises the error."""
    try:
        open_snapshot(store).close()
    except StoreMissing:
        return False
    except StoreError:
        return True
    return True


def report_of(
    snapshot: Snapshot | None, scope: Scope, progress: Progress, indexed: Collection[tuple[str, str]]
) -> SyncReport:
    by_root: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for place in indexed:
        by_root[place[0]].append(place)
    return SyncReport(
        generation=snapshot.generation if snapshot else None,
        files=progress.counts,
        n_documents=snapshot.n_documents if snapshot else 0,
        n_passages=snapshot.n_passages if snapshot else 0,
        n_passages_encoded=progress.n_encoded,
        skipped=tuple(progress.skipped),
        ignored=tuple(progress.ignored),
        notes=tuple(progress.notes),
        empty=tuple(
            target.place
            for target in scope.targets
            if not any(target.contains(*place) for place in by_root[target.root])
        ),
        committed=progress.n_commits > 0,
    )


def index_bytes(
    store: Path,
    encoder: TextEncoder,
    name: str,
    raw: bytes,
    *,
    encoding: str | None = None,
    vector_index: str | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    limits: FileLimits = DEFAULT_LIMITS,
    n_threads: int | None = None,
) -> SyncReport:
    """Index bytes under the name of a file, instead of anything indexed under this name before.

    The documents have ``PIPED`` as their root and the name as their path. A sync leaves them alone.

    :param name: with a suffix if there is one; the format is told from the content where possible.
    :param n_threads: as in ``sync``.
    :raises StoreError: if the store cannot be opened or written.
    """
    progress = Progress(on_event)
    name = printable(name)
    file = FoundFile(PIPED, name, Path(name), len(raw), "")
    nowhere = Scope((), {}, ())
    with Interruption() as interruption, FileParser(limits) as parser:
        progress.found(1, len(raw))
        if refusal := _unwanted(name, raw, limits):
            progress.file_done(file.shown, "skipped", refusal.reason, refusal.kind)
            return report_of(None, nowhere, progress, ())
        reading = parse_content(file, FileContent(raw, ("", b""), ""), parser)
        if not has_store(store) and not _gives_documents(reading):
            _Teller(progress).take([(FileWork(file, (), (), encodes=True), reading)])
            return report_of(None, nowhere, progress, ())
        with Writer.open(store, encoder_info(encoder), encoding, codebook=codebook_of(encoder)) as writer:
            if vector_index is not None:
                writer.set_vector_index(vector_index)
            known = writer.snapshot.find_documents(PIPED) if writer.snapshot else {}
            own = tuple(document for document in known.values() if file_of(document.path) == name)
            corpus = CorpusWriter(writer, encoder, Limits(60.0, 256 * 2**20), progress, interruption, n_threads)
            with _saving(corpus):
                corpus.take([(FileWork(file, own, (), encodes=True), reading)])
                corpus.commit()
                corpus.merge()
            return report_of(writer.snapshot, nowhere, progress, corpus.indexed)


def _unwanted(name: str, raw: bytes, limits: FileLimits) -> NotRead | None:
    """The reason to refuse content before it is parsed, if any; documents under its name then stay."""
    if len(raw) > limits.file_bytes:
        return NotRead(f"more than {limits.file_bytes:,} bytes (--max-file-size)", "limit")
    if file_of(name) != name:
        return NotRead("name looks like a record of a .jsonl file (NAME.jsonl#12); choose another", "name")
    return None


def _gives_documents(reading: Reading) -> bool:
    return isinstance(reading, ReadFile) and bool(reading.parsed.documents)


def preview(
    store: Path,
    paths: Sequence[Path] = (),
    *,
    prune: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    limits: FileLimits = DEFAULT_LIMITS,
    selection: Selection = EVERYTHING,
) -> SyncReport:
    """The report of ``sync`` with the same arguments, as far as it is known without an encoder.

    Every file that a sync would read is read, so the report has the reasons for skipped files. It does not know what
    the encoder would refuse, nor how many passages it would encode; its figures of the store are those of now.

    :raises BadPattern, PathMissing, PathUnusable, RootGone, StoreError: as ``sync``.
    """
    selection.check()
    places = [existing_place(path) for path in paths] or None
    snapshot = open_snapshot(store) if places is None or has_store(store) else None
    progress = Progress(on_event)
    try:
        scope, plan = plan_of(snapshot, store, places, limits, selection)
        if places is None and not prune:
            check_roots(plan)
        progress.found(plan.n_files, plan.n_bytes)
        teller = _Teller(progress)
        with FileParser(limits) as parser:
            _carry_out(plan, teller, _Readings(parser, limits), prune)
        return report_of(snapshot, scope, progress, teller.indexed)
    finally:
        _close(snapshot)


def _outcome(work: FileWork, parsed: ParsedFile) -> Outcome:
    pairs, left = pair_documents(parsed.documents, work)
    if not all(pair.is_same for pair in pairs):
        return "updated" if work.own else "added"
    stays = {document.id for document in work.own if document.root == work.file.root}
    if not any(pair.earlier and pair.earlier.id in stays for pair in pairs):
        return "moved"
    places = [(pair.earlier.path if pair.earlier else "", work.file.path + pair.document.record) for pair in pairs]
    return "updated" if left or any(earlier != now for earlier, now in places) else "unchanged"


def _close(snapshot: Snapshot | None) -> None:
    if snapshot is not None:
        snapshot.close()
