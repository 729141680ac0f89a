"""Plans a sync: compares the files on disk with the documents of the index.

A document is recognised by its place or by its content. If a file has the bytes of an indexed document whose own file
is gone, it is that document, moved.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deformer_qa.indexer import formats
from deformer_qa.indexer.files import FileContent, FoundFile, Listing, Unread, kind_of, list_files, read_file, reason_of
from deformer_qa.indexer.formats import FileLimits, Format, NotReadable, ParsedDocument
from deformer_qa.indexer.roots import Scope, Target
from deformer_qa.indexer.selection import Selection
from deformer_qa.store import DocumentInfo, Snapshot

Place = tuple[str, str]  # root, path of a file

_MOST_COMPARED = 64  # so that many files of equal content, such as templates, are not compared each with each


@dataclass(frozen=True)
class FileWork:
    """A file that is new, changed or at another place.

    :ivar own: the documents indexed from its place
    :ivar moved: documents of vanished files with its content
    :ivar encodes: False if each of its documents is among these, with the same content
    """

    file: FoundFile
    own: tuple[DocumentInfo, ...]
    moved: tuple[DocumentInfo, ...]
    encodes: bool


@dataclass(frozen=True)
class SkippedFile:
    """A path that is not read, and its documents that leave the index."""

    unread: Unread
    dropped: tuple[DocumentInfo, ...]


@dataclass(frozen=True)
class Stale:
    """An unchanged document whose recorded file state is outdated; worth writing only together with other changes."""

    document: DocumentInfo
    source_state: str


@dataclass(frozen=True)
class Plan:
    """The steps of a sync.

    :ivar work: in working order: files that need no encoding first
    :ivar ignored: paths that a pattern leaves out; documents indexed from them are in ``removed``
    :ivar removed: documents whose files vanished, by file
    :ivar lost: documents of roots that are gone, by file; they are not in ``removed``
    """

    unchanged: tuple[FoundFile, ...]
    stale: tuple[Stale, ...]
    work: tuple[FileWork, ...]
    skipped: tuple[SkippedFile, ...]
    ignored: tuple[Unread, ...]
    removed: dict[Place, tuple[DocumentInfo, ...]]
    lost: dict[Place, tuple[DocumentInfo, ...]]

    @property
    def n_files(self) -> int:
        return len(self.unchanged) + len(self.work) + len(self.skipped)

    @property
    def n_bytes(self) -> int:
        return sum(work.file.n_bytes for work in self.work)


def make_plan(
    snapshot: Snapshot | None,
    scope: Scope,
    limits: FileLimits,
    selection: Selection,
    *,
    never: Collection[Path] = (),
) -> Plan:
    """Compare every file of a scope with the index; read and hash those whose size or times differ from the record.

    New files are read only if an indexed document has lost its file and may have moved there.

    :param never: folders that belong to no root, such as the store.
    """
    planner = _Planner(snapshot, scope, limits)
    for target in scope.targets:
        planner.compare(list_files(target.root, target.part, never=never, selection=selection))
    return planner.plan()


class _Planner:
    def __init__(self, snapshot: Snapshot | None, scope: Scope, limits: FileLimits) -> None:
        self._targets: dict[str, list[Target]] = defaultdict(list)
        for target in scope.targets:
            self._targets[target.root].append(target)
        self._limits = limits
        self._known = _documents_by_place(snapshot, scope)
        self._lost = _by_place((root, document) for root in scope.gone for document in _documents(snapshot, root))
        self._unchanged: list[FoundFile] = []
        self._stale: list[Stale] = []
        self._order: dict[Place, int] = {}
        self._changed: list[tuple[FoundFile, dict[str, str]]] = []
        self._new: list[FoundFile] = []
        self._skipped: list[SkippedFile] = []
        self._ignored: list[Unread] = []
        self._hidden: list[Unread] = []

    def compare(self, listing: Listing) -> None:
        """Sort the files of one target into unchanged, changed, new, skipped and ignored ones."""
        for file in listing.files:
            self._order[file.root, file.path] = len(self._order)
            self._compare_file(file)
        self._hidden += [unread for unread in listing.unread if unread.hides_content]
        self._skipped += [SkippedFile(unread, ()) for unread in listing.unread]
        self._ignored += listing.ignored

    def plan(self) -> Plan:
        """The plan for everything compared; call once."""
        if self._lost or self._vanished():
            for file in self._new:
                self._read(file, [])
            self._new.clear()
        vanished = self._vanished()  # again: a new file that cannot be read hides documents of a folder of its name
        moves = _Moves([*_flat(vanished.values()), *_flat(self._lost.values())])
        work = [self._work(file, hashes, moves) for file, hashes in self._changed]
        work += [FileWork(file, (), (), encodes=True) for file in self._new]
        work.sort(key=lambda one: (one.encodes, self._order[one.file.root, one.file.path]))
        return Plan(
            unchanged=tuple(self._unchanged),
            stale=tuple(self._stale),
            work=tuple(work),
            skipped=tuple(self._skipped),
            ignored=tuple(self._ignored),
            removed=_without(vanished, moves.taken),
            lost=_without(self._lost, moves.taken),
        )

    def _compare_file(self, file: FoundFile) -> None:
        known = self._known.get((file.root, file.path), [])
        at_place = all(document.root == file.root for document in known)
        if known and at_place and all(_is_of(document, file.state, len(known)) for document in known):
            self._unchanged.append(file)
        elif known:
            self._read(file, known)
        else:
            self._new.append(file)

    def _read(self, file: FoundFile, known: list[DocumentInfo]) -> None:
        at_place = all(document.root == file.root for document in known)
        try:
            content = read_file(file, self._limits.file_bytes)
            format_ = format_of(file, content)
            hashes = formats.hashes(format_, content.raw, content.sidecar[1])
        except NotReadable as error:
            unread = Unread(file.root, file.path, str(error), error.kind)
            self._skipped.append(SkippedFile(unread, tuple(known)))
            return
        except OSError as error:
            reason = f"cannot be read: {reason_of(error, file.shown)}"
            unread = Unread(file.root, file.path, reason, kind_of(error), hides_content=True)
            self._skipped.append(SkippedFile(unread, ()))
            self._hidden.append(unread)
            return
        if known and at_place and hashes == {record_of(document): document.content_hash for document in known}:
            self._unchanged.append(file)
            if state := source_state(format_, content.state, len(known)):
                self._stale += [Stale(document, state) for document in known]
        else:
            self._changed.append((file, hashes))

    def _work(self, file: FoundFile, hashes: dict[str, str], moves: _Moves) -> FileWork:
        own = self._known.get((file.root, file.path), [])
        missing = _missing(hashes.values(), (document.content_hash for document in own))
        moved = [document for content_hash in missing if (document := moves.take(content_hash, file.path))]
        return FileWork(file, tuple(own), tuple(moved), encodes=len(moved) < len(missing))

    def _vanished(self) -> dict[Place, list[DocumentInfo]]:
        """Indexed documents of the scope whose files certainly no longer exist."""
        present = {(file.root, file.path) for file in self._unchanged}
        present |= {(file.root, file.path) for file, _ in self._changed}
        present |= {(skipped.unread.root, skipped.unread.path) for skipped in self._skipped if skipped.dropped}
        return {
            place: documents
            for place, documents in self._known.items()
            if place not in present and self._is_in_scope(place) and not self._is_hidden(place)
        }

    def _is_in_scope(self, place: Place) -> bool:
        return any(target.contains(*place) for target in self._targets[place[0]])

    def _is_hidden(self, place: Place) -> bool:
        root, path = place
        return any(
            unread.root == root and (not unread.path or path == unread.path or path.startswith(f"{unread.path}/"))
            for unread in self._hidden
        )


class _Moves:
    """Documents without a file, to be found by content; each is given out once."""

    def __init__(self, documents: Iterable[DocumentInfo]) -> None:
        self.taken: set[int] = set()
        self._by_hash: dict[str, list[DocumentInfo]] = defaultdict(list)
        for document in sorted(documents, key=lambda document: (document.root, document.path)):
            self._by_hash[document.content_hash].append(document)

    def take(self, content_hash: str, path: str) -> DocumentInfo | None:
        """Take a document with this content, preferably one whose path ends like ``path``, as in a renamed folder."""
        candidates = self._by_hash.get(content_hash, [])
        if not candidates:
            return None
        numbers = range(min(len(candidates), _MOST_COMPARED))
        best = max(numbers, key=lambda number: (_common_end(candidates[number].path, path), -number))
        document = candidates.pop(best)
        self.taken.add(document.id)
        return document


def format_of(file: FoundFile, content: FileContent) -> Format:
    """The format of a file. :raises NotReadable: if it is empty or in no known format."""
    if not content.raw:
        raise NotReadable("empty", "empty")
    return formats.format_of(file.path, content.raw)


def source_state(format_: Format, file_state: str, n_documents: int) -> str:
    """The file state to record in a document; '' where it could not be told from a later state.

    It includes the number of documents of the file, so that a partly indexed file is not taken for unchanged.
    """
    return f"{_reader(format_.versioned)}:{n_documents}:{file_state}" if file_state else ""


def _is_of(document: DocumentInfo, file_state: str, n_documents: int) -> bool:
    """Whether a document recorded this state of its file, parsed by a current format version."""
    reader, _, rest = document.source_state.partition(":")
    return bool(file_state) and rest == f"{n_documents}:{file_state}" and reader in _READERS


def _reader(version: str) -> str:
    return f"{formats.DETECTION}/{version}"


_READERS = frozenset(map(_reader, formats.VERSIONS))


def record_of(document: DocumentInfo) -> str:
    """'#3' for a document that is a record of its file, else ''."""
    return document.path[len(formats.file_of(document.path)) :]


def _documents(snapshot: Snapshot | None, root: str) -> Iterable[DocumentInfo]:
    return snapshot.find_documents(root).values() if snapshot else ()


def _documents_by_place(snapshot: Snapshot | None, scope: Scope) -> dict[Place, list[DocumentInfo]]:
    """The documents of all targets by their file; those of absorbed roots by their place in the new root."""
    roots = dict.fromkeys(target.root for target in scope.targets)
    places = _by_place((root, document) for root in roots for document in _documents(snapshot, root))
    for inner, outer in scope.absorbed.items():
        for document in _documents(snapshot, inner):
            path = formats.file_of(document.path)
            whole = inner if os.path.isfile(inner) and path == os.path.basename(inner) else os.path.join(inner, path)
            places.setdefault((outer, Path(whole).relative_to(outer).as_posix()), []).append(document)
    return places


def _by_place(documents: Iterable[tuple[str, DocumentInfo]]) -> dict[Place, list[DocumentInfo]]:
    places: dict[Place, list[DocumentInfo]] = {}
    for root, document in documents:
        places.setdefault((root, formats.file_of(document.path)), []).append(document)
    return places


def _missing(wanted: Iterable[str], there: Iterable[str]) -> list[str]:
    """The items of ``wanted`` that ``there`` lacks, with multiplicity and in order."""
    counts: dict[str, int] = defaultdict(int)
    for content_hash in there:
        counts[content_hash] += 1
    missing = []
    for content_hash in wanted:
        counts[content_hash] -= 1
        if counts[content_hash] < 0:
            missing.append(content_hash)
    return missing


def _common_end(one: str, other: str) -> int:
    """The number of trailing path parts that two paths share."""
    n_common = 0
    for left, right in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if left != right:
            break
        n_common += 1
    return n_common


def _flat(groups: Iterable[Iterable[DocumentInfo]]) -> Iterator[DocumentInfo]:
    return (document for group in groups for document in group)


def _without(groups: dict[Place, list[DocumentInfo]], taken: Collection[int]) -> dict[Place, tuple[DocumentInfo, ...]]:
    left = {key: tuple(document for document in group if document.id not in taken) for key, group in groups.items()}
    return {key: group for key, group in left.items() if group}


@dataclass(frozen=True)
class Pair:
    """A parsed document with the indexed document that it replaces, if any."""

    document: ParsedDocument
    earlier: DocumentInfo | None

    @property
    def is_same(self) -> bool:
        """Whether the content is unchanged, so that nothing needs encoding."""
        return self.earlier is not None and self.earlier.content_hash == self.document.content_hash


def pair_documents(documents: Sequence[ParsedDocument], work: FileWork) -> tuple[list[Pair], list[DocumentInfo]]:
    """Match a file's parsed documents, in order, with those already indexed; also returns indexed ones without a match.

    Documents match by content hash first, then by position.
    """
    by_content: dict[str, list[DocumentInfo]] = defaultdict(list)
    for known in (*work.moved, *work.own):
        by_content[known.content_hash].append(known)
    own_by_record = {record_of(info): info for info in work.own}
    earlier: dict[str, DocumentInfo] = {}
    info: DocumentInfo | None
    for document in documents:  # unmoved ones first, before others of the same content may claim them
        info = own_by_record.get(document.record)
        if info and info.content_hash == document.content_hash:
            earlier[document.record] = info
            by_content[document.content_hash].remove(info)
    for document in documents:
        if document.record not in earlier and by_content.get(document.content_hash):
            earlier[document.record] = by_content[document.content_hash].pop(0)
    taken = {known.id for known in earlier.values()}
    for document in documents:
        info = own_by_record.get(document.record)
        if document.record not in earlier and info and info.id not in taken:
            earlier[document.record] = info
            taken.add(info.id)
    pairs = [Pair(document, earlier.get(document.record)) for document in documents]
    return pairs, [known for known in (*work.moved, *work.own) if known.id not in taken]
