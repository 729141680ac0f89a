"""What would a sync do? Reads what a sync would read, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deformer_qa.indexer.events import Event, Outcome, SyncReport
from deformer_qa.indexer.files import shown
from deformer_qa.indexer.formats import NotReadable, ParsedFile
from deformer_qa.indexer.formats.limits import DEFAULT_LIMITS, FileLimits
from deformer_qa.indexer.pairing import pair_documents
from deformer_qa.indexer.parsing import FileParser
from deformer_qa.indexer.plan import FileWork, Plan
from deformer_qa.indexer.progress import Progress
from deformer_qa.indexer.roots import existing_place
from deformer_qa.indexer.selection import EVERYTHING, Selection
from deformer_qa.indexer.syncing import check_roots, has_store, plan_of, read_and_parse, report_of
from deformer_qa.indexer.writing import NO_RECORD
from deformer_qa.store import Snapshot, open_snapshot


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
