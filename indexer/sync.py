"""How does a corpus become a store, and stay like it? ``sync`` brings a store up to date with its corpus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from deformer_qa.indexer.encoding import TextEncoder, codebook_of, encoder_info
from deformer_qa.indexer.errors import RootGone
from deformer_qa.indexer.files import PIPED, FileContent, FoundFile, kind_of, printable, read_file, reason_of, shown
from deformer_qa.indexer.formats import BadRecord, Kind, NotReadable, ParsedFile, file_of
from deformer_qa.indexer.formats.parsed import DEFAULT_LIMITS, FileLimits
from deformer_qa.indexer.plan import FileWork, Plan, format_of, make_plan, pair_documents
from deformer_qa.indexer.progress import Event, Outcome, Progress, SyncReport
from deformer_qa.indexer.roots import Scope, choose_scope, existing_place
from deformer_qa.indexer.sandbox.parent import FileParser
from deformer_qa.indexer.selection import EVERYTHING, Selection
from deformer_qa.indexer.write import NO_RECORD, CorpusWriter, Limits
from deformer_qa.store import Snapshot, StoreError, StoreMissing, Writer, open_snapshot

MOST_REFRESHED = 200  # documents; to read and hash an unchanged file costs less than to write its document anew


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
) -> SyncReport:
    """Bring the index up to date with some paths, or with all recorded roots where none is given.

    Each path becomes a recorded root; one inside a recorded root stands for that part of it, one around recorded roots
    takes them over. Files that are new or changed are indexed, those that vanished leave, those that moved are known by
    their content. Only passages that the store has no row for are encoded. A file that cannot be read is skipped with a
    reason. Where there is nothing to index, no store is made and no root recorded.

    What is done is committed every ``commit_seconds``, and before more than ``commit_bytes`` of memory wait for it. An
    exception, KeyboardInterrupt among them, leaves a commit with all that was whole, and the next sync takes up there.

    :param encoding: of the states; None takes the store's, for a new one that of the encoder's codebook, else int8.
    :param vector_index: auto, flat, or a factory string; None takes the store's choice, "auto" for a new one.
    :param prune: drop recorded roots that are gone, instead of an error.
    :param on_event: called in this thread, often.
    :param limits: what a file may be and cost; files are read in a process beside this one, which is killed at them.
    :param selection: what is wanted of the paths; what was indexed and is not wanted any more leaves.
    :raises BadPattern, PathMissing, PathUnusable, RootGone: before anything is changed.
    :raises EncoderFailing: where the encoder fails on one document after the other.
    :raises StoreError: where the store cannot be opened or written.
    """
    selection.check()
    places = [existing_place(path) for path in paths] or None
    progress = Progress(on_event)
    with FileParser(limits) as parser:
        if places and not has_store(store):
            _, plan = plan_of(None, store, places, limits, selection)
            if not _has_text(plan, parser, limits, progress):
                return report_of(None, choose_scope(places, ()), progress, ())
        opened = Writer.open(store, encoder_info(encoder), encoding, create=bool(places), codebook=codebook_of(encoder))
        with opened as writer:
            if vector_index is not None:
                writer.set_vector_index(vector_index)
            scope, plan = plan_of(writer.snapshot, store, places, limits, selection)
            if places is None and not prune:
                check_roots(plan)
            progress.found(plan.n_files, plan.n_bytes)
            corpus = CorpusWriter(
                writer,
                encoder,
                parser,
                Limits(commit_seconds, commit_bytes, limits),
                progress,
                leaving=[*scope.absorbed, *scope.gone],
            )
            try:
                _carry_out(plan, corpus, prune)
                corpus.forget_roots()
                if corpus.has_changes:
                    corpus.refresh(plan.stale[:MOST_REFRESHED])
                corpus.commit()
                corpus.merge()
            except BaseException as interruption:
                _save(corpus, interruption)
                raise
            return report_of(writer.snapshot, scope, progress, corpus.indexed)


def check_roots(plan: Plan) -> None:
    """:raises RootGone: where a recorded root is not there any more, nor is its content elsewhere."""
    if plan.lost:
        root = next(iter(plan.lost))[0]
        raise RootGone(root, sum(len(documents) for place, documents in plan.lost.items() if place[0] == root))


def plan_of(
    snapshot: Snapshot | None, store: Path, places: Sequence[str] | None, limits: FileLimits, selection: Selection
) -> tuple[Scope, Plan]:
    scope = choose_scope(places, snapshot.roots if snapshot else ())
    return scope, make_plan(snapshot, scope, limits, selection, never=[store, *selection.never])


def _carry_out(plan: Plan, corpus: CorpusWriter, prune: bool) -> None:
    """What encodes nothing comes first, what leaves comes last: its rows may serve what came."""
    for file in plan.unchanged:
        corpus.leave(file)
    for skipped in plan.skipped:
        corpus.skip(skipped)
    for ignored in plan.ignored:
        corpus.ignore(ignored)
    for work in plan.work:
        corpus.take(work)
    for (root, path), documents in {**plan.removed, **(plan.lost if prune else {})}.items():
        corpus.remove(root, path, documents)


def _save(corpus: CorpusWriter, interruption: BaseException) -> None:
    try:
        corpus.save_what_is_whole()
    except Exception as error:
        interruption.add_note(f"What was done since the last commit is lost: {error}")


def has_store(store: Path) -> bool:
    """Whether a generation was ever committed there; one that cannot be opened is for the writer to complain of."""
    try:
        open_snapshot(store).close()
    except StoreMissing:
        return False
    except StoreError:
        return True
    return True


def read_and_parse(file: FoundFile, parser: FileParser, limits: FileLimits) -> tuple[FileContent, ParsedFile]:
    """What a file holds, and its documents. :raises NotReadable: also where the system does not let us."""
    try:
        content = read_file(file, limits.file_bytes)
    except OSError as error:
        raise NotReadable(f"cannot be read: {reason_of(error, file.shown)}", kind_of(error)) from error
    return content, parser.parse(format_of(file, content), file.path, content.raw, content.sidecar)


def _has_text(plan: Plan, parser: FileParser, limits: FileLimits, progress: Progress) -> bool:
    """Whether a new store would get a document; where not, tells why of every file."""
    reasons: list[tuple[FoundFile, str, Kind]] = []
    bad: dict[int, Sequence[BadRecord]] = {}  # of the files, by their number in that list
    for work in plan.work:
        try:
            _, parsed = read_and_parse(work.file, parser, limits)
        except NotReadable as error:
            reasons.append((work.file, str(error), error.kind))
        else:
            if parsed.documents:
                return True
            reasons.append((work.file, NO_RECORD, parsed.bad_records[0].kind))
            bad[len(reasons)] = parsed.bad_records
    progress.found(plan.n_files, plan.n_bytes)
    for skipped in plan.skipped:
        progress.file_done(skipped.unread.shown, "skipped", skipped.unread.reason, skipped.unread.kind)
    for ignored in plan.ignored:
        progress.file_done(ignored.shown, "ignored", ignored.reason, ignored.kind)
    for number, (file, reason, kind) in enumerate(reasons, start=1):
        for record in bad.get(number, ()):
            progress.record_skipped(shown(file.root, file.path + record.record), record.reason, record.kind)
        progress.file_done(file.shown, "skipped", reason, kind)
    return False


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
) -> SyncReport:
    """Index the content of a file that is none; what was indexed under this name before gives way to it.

    Its documents have ``PIPED`` for a root and the name for a path. A sync leaves them alone.

    :param name: with a suffix if there is one; the content decides of the format where it can.
    :raises StoreError: where the store cannot be opened or written.
    """
    progress = Progress(on_event)
    name = printable(name)
    file = FoundFile(PIPED, name, Path(name), len(raw), "")
    content = FileContent(raw, ("", b""), "")
    nowhere = Scope((), {}, ())
    with FileParser(limits) as parser:
        progress.found(1, len(raw))
        if refusal := _unwanted(name, raw, limits):
            progress.file_done(file.shown, "skipped", str(refusal), refusal.kind)
            return report_of(None, nowhere, progress, ())
        if not has_store(store) and (refusal := _refusal(file, content, parser)):
            progress.file_done(file.shown, "skipped", str(refusal), refusal.kind)
            return report_of(None, nowhere, progress, ())
        with Writer.open(store, encoder_info(encoder), encoding, codebook=codebook_of(encoder)) as writer:
            if vector_index is not None:
                writer.set_vector_index(vector_index)
            known = writer.snapshot.find_documents(PIPED) if writer.snapshot else {}
            own = tuple(document for document in known.values() if file_of(document.path) == name)
            corpus = CorpusWriter(writer, encoder, parser, Limits(60.0, 256 * 2**20, limits), progress)
            corpus.take_content(FileWork(file, own, (), encodes=True), content)
            corpus.commit()
            corpus.merge()
            return report_of(writer.snapshot, nowhere, progress, corpus.indexed)


def _unwanted(name: str, raw: bytes, limits: FileLimits) -> NotReadable | None:
    """What is wrong with it before anything is read; what was there under its name stays."""
    if len(raw) > limits.file_bytes:
        return NotReadable(f"more than {limits.file_bytes:,} bytes (--max-file-size)", "limit")
    if file_of(name) != name:
        return NotReadable("its name is as that of a record of a JSON lines file; choose another", "name")
    return None


def _refusal(file: FoundFile, content: FileContent, parser: FileParser) -> NotReadable | None:
    """Why there is nothing to make a store for, None where there is."""
    try:
        parsed = parser.parse(format_of(file, content), file.path, content.raw)
    except NotReadable as refusal:
        return refusal
    return None if parsed.documents else NotReadable("no record of it can be read")


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

    Every file that a sync would read is read, so what would be skipped is told with its reason. What the encoder would
    refuse is not known, nor how many passages it would encode; the store's own figures are those of today.

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
        indexed = _told(plan, limits, progress, prune=prune)
        return report_of(snapshot, scope, progress, indexed)
    finally:
        _close(snapshot)


def _told(plan: Plan, limits: FileLimits, progress: Progress, *, prune: bool) -> set[tuple[str, str]]:
    """Tell what would become of each file; those, by root and path, of which something would be indexed."""
    indexed = {(file.root, file.path) for file in plan.unchanged}
    for file in plan.unchanged:
        progress.file_done(file.shown, "unchanged")
    for skipped in plan.skipped:
        progress.file_done(skipped.unread.shown, "skipped", skipped.unread.reason, skipped.unread.kind)
    for ignored in plan.ignored:
        progress.file_done(ignored.shown, "ignored", ignored.reason, ignored.kind)
    with FileParser(limits) as parser:
        for work in plan.work:
            if _tell(work, parser, limits, progress):
                indexed.add((work.file.root, work.file.path))
    for root, path in {**plan.removed, **(plan.lost if prune else {})}:
        progress.file_done(shown(root, path), "removed")
    return indexed


def _tell(work: FileWork, parser: FileParser, limits: FileLimits, progress: Progress) -> bool:
    file = work.file
    progress.start_file(file.n_bytes)
    try:
        content, parsed = read_and_parse(file, parser, limits)
    except NotReadable as reason:
        progress.file_done(file.shown, "skipped", str(reason), reason.kind)
        return False
    for record in parsed.bad_records:
        progress.record_skipped(shown(file.root, file.path + record.record), record.reason, record.kind)
    for note in (*content.notes, *parsed.notes):
        progress.noted(file.shown, note)
    if not parsed.documents:
        progress.file_done(file.shown, "skipped", NO_RECORD, parsed.bad_records[0].kind)
        return False
    progress.file_done(file.shown, _outcome(work, parsed))
    return True


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
