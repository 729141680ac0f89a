"""Lists the files under a path, in order, with a reason for each that cannot be read; and reads them."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from deformer_qa.indexer.formats import Kind, NotReadable, file_of
from deformer_qa.indexer.formats.metadata import MOST_CHARACTERS, SIDECAR_SUFFIXES
from deformer_qa.indexer.selection import EVERYTHING, MOST_BYTES, Chooser, Selection

PIPED = "stdin"
"""The root of documents that came through a pipe: they are in no folder and are not synced."""

_FOLDER = os.O_DIRECTORY | getattr(os, "O_PATH", 0)  # O_PATH: passes through folders that may not be listed
_GROWTH_BYTES = 2**20  # by which a file may grow after it was opened
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_YOUNG_NS = 2 * 10**9  # a file changed this recently may change again within the resolution of its time stamps
_KINDS = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISBLK, "device"), (stat.S_ISCHR, "device"))


@dataclass(frozen=True)
class FoundFile:
    """A regular file.

    :ivar path: relative to its root, with '/'; if the root itself is a file, its name
    :ivar source: the path to read it from, with links resolved
    :ivar state: size and times; '' while a later change might not alter them
    :ivar sidecar: name of the metadata file beside it, '' where there is none
    """

    root: str
    path: str
    source: Path
    n_bytes: int
    state: str
    sidecar: str = ""

    @property
    def shown(self) -> str:
        """The path to show to a person."""
        return shown(self.root, self.path)


@dataclass(frozen=True)
class FileContent:
    """The content of a file and of its metadata file at the time of reading.

    :ivar sidecar: name and bytes of the metadata file, empty where there is none
    :ivar state: the state of both that belongs to these bytes, see ``FoundFile.state``
    :ivar notes: why the metadata file is not used, if it is not
    """

    raw: bytes
    sidecar: tuple[str, bytes]
    state: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unread:
    """A path that cannot be read, is not a file, or is not wanted.

    :ivar path: relative to its root; '' for the root itself
    :ivar hides_content: True if its content is unknown, so that documents indexed from it stay
    """

    root: str
    path: str
    reason: str
    kind: Kind
    hides_content: bool = False

    @property
    def shown(self) -> str:
        """The path to show to a person."""
        return shown(self.root, self.path)


@dataclass(frozen=True)
class Listing:
    """The files under one path of a root, in the order of their names.

    :ivar ignored: files and folders that a pattern leaves out
    """

    files: tuple[FoundFile, ...]
    unread: tuple[Unread, ...]
    ignored: tuple[Unread, ...] = ()


def shown(root: str, path: str) -> str:
    """The absolute path of a document or file for a person; the name of a root that is a file appears only once."""
    name = os.path.basename(root)
    if path and file_of(path) == name and not os.path.isdir(root):
        return printable(root + path[len(name) :])
    return printable(f"{root.rstrip('/')}/{path}") if path else printable(root)


def printable(path: str) -> str:
    """The path as valid Unicode: bytes that are not UTF-8 become backslash escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def list_files(
    root: str, part: str = "", *, never: Collection[Path] = (), selection: Selection = EVERYTHING
) -> Listing:
    """List the files of a root, or of the ``part`` of it that a relative path names.

    Hidden files and folders are left out without a reason, and so is everything in ``never`` (the store). A link is
    followed only to a hidden place inside the root: everything else in the root is found under its own name. The
    selection does not apply to the root or part itself.
    """
    top = Path(root)
    try:
        is_folder = stat.S_ISDIR(os.stat(top).st_mode)
    except OSError as error:
        reason = f"cannot be accessed: {reason_of(error, root)}"
        return Listing((), (Unread(root, "", reason, kind_of(error), hides_content=True),))
    walk = _Walk(root, top if is_folder else top.parent, never, selection)
    if is_folder:
        walk.enter_part(part)
        walk.follow_links()
    else:
        walk.enter_part(top.name)
    return walk.listing()


def read_file(file: FoundFile, max_bytes: int) -> FileContent:
    """Read a file, with the state that belongs to these bytes.

    :raises OSError: if it cannot be read. :raises NotReadable: if it is too long, or no longer a file.
    """
    raw, state = _read(file.source, max_bytes)
    if not file.sidecar:
        return FileContent(raw, ("", b""), state)
    try:
        beside, its_state = _read(file.source.with_name(file.sidecar), 4 * MOST_CHARACTERS, option="")
    except (OSError, NotReadable) as error:
        reason = reason_of(error, file.shown) if isinstance(error, OSError) else str(error)
        return FileContent(raw, ("", b""), "", (f"its metadata file {file.sidecar} is not used: {reason}",))
    return FileContent(raw, (file.sidecar, beside), _both(state, its_state))


def _read(place: Path, max_bytes: int, option: str = " (--max-file-size)") -> tuple[bytes, str]:
    fd = _opened(place, os.O_NONBLOCK)  # non-blocking, in case a pipe took its place
    with os.fdopen(fd, "rb") as stream:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise NotReadable("no longer a regular file", "gone")
        if before.st_size > max_bytes:
            reason = f"{before.st_size:,} bytes, at most {max_bytes:,} are read{option}"
            raise NotReadable(reason, "limit")
        raw = stream.read(before.st_size + 1)
        if len(raw) > before.st_size:  # a log, say
            raw += stream.read(min(_GROWTH_BYTES, max_bytes + 1 - len(raw)))
        if len(raw) > min(max_bytes, before.st_size + _GROWTH_BYTES):
            raise NotReadable("it grew while it was read", "gone")
        after = os.fstat(fd)
    return raw, _state(after) if _state(before) == _state(after) and len(raw) == after.st_size else ""


def _opened(place: Path, how: int) -> int:
    """Open for reading without following any link: a folder or file may have become a link out of the root."""
    *above, name = place.parts
    folder: int | None = None
    try:
        for step in above:
            fd = os.open(step, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            if folder is not None:
                os.close(folder)
            folder = fd
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | how, dir_fd=folder)
    finally:
        if folder is not None:
            os.close(folder)


def reason_of(error: OSError, place: str) -> str:
    """Describe an OSError as a phrase to follow the path.

    :raises OSError: if this process ran out of memory or descriptors, which is no fault of the file.
    """
    if error.errno in _OURS:
        raise OSError(error.errno, error.strerror, place) from error
    return (error.strerror or type(error).__name__).lower()


def kind_of(error: OSError) -> Kind:
    """The kind of an error, for programs."""
    if isinstance(error, PermissionError):
        return "permission"
    return "gone" if isinstance(error, FileNotFoundError) else "system"


class _Walk:
    """One pass over a root: first everything that is reached without links, then what links add."""

    def __init__(self, root: str, top: Path, never: Collection[Path], selection: Selection) -> None:
        self._root = root
        self._top = Path(os.path.realpath(top))
        self._never = [Path(os.path.realpath(path)) for path in never]
        self._kept_out = {(state.st_dev, state.st_ino) for state in map(os.stat, filter(Path.exists, self._never))}
        self._chooser = Chooser(selection, self._ignore_file)
        self._files: list[FoundFile] = []
        self._unread: list[Unread] = []
        self._ignored: list[Unread] = []
        self._links: list[tuple[Path, str]] = []
        self._met: set[Path] = set()

    def listing(self) -> Listing:
        """Everything found, in the order of the names."""
        refused = [Unread(self._root, path, reason, "metadata") for path, reason in self._chooser.refused]
        return Listing(
            tuple(sorted(self._files, key=lambda file: file.path)),
            tuple(sorted((*self._unread, *refused), key=lambda unread: unread.path)),
            tuple(sorted(self._ignored, key=lambda unread: unread.path)),
        )

    def enter_part(self, path: str) -> None:
        """Walk the whole root, or the part that ``path`` names."""
        self.enter(self._top / path, path)

    def enter(self, place: Path, path: str) -> None:
        """Walk the file or folder ``place``; ``path`` is its name relative to the root."""
        pending = [] if self._is_kept_out(Path(os.path.realpath(place))) else [(place, path)]
        named = path
        while pending:
            place, path = pending.pop()
            if place in self._met:
                continue
            self._met.add(place)
            try:
                state = os.stat(place) if not path else os.lstat(place)
                is_folder = stat.S_ISDIR(state.st_mode)
                if path != named and not is_folder and self._is_metadata(place, path):
                    continue
                if path != named and (reason := self._chooser.why_not(path, is_folder=is_folder)):
                    self._ignored.append(Unread(self._root, path, reason, "ignored"))
                    continue
                if not is_folder:
                    self.take(place, path, state)
                    continue
                names = [] if (state.st_dev, state.st_ino) in self._kept_out else _names_in(place)
            except OSError as error:
                reason = reason_of(error, shown(self._root, path))
                self._skip(path, f"cannot be listed: {reason}", kind_of(error), hides_content=True)
                continue
            pending += [(place / name, f"{path}/{name}" if path else name) for name in self._wanted(names, path)]

    def take(self, place: Path, path: str, state: os.stat_result) -> None:
        """Sort in one entry that is not a folder."""
        if stat.S_ISLNK(state.st_mode):
            self._links.append((place, path))
        elif (state.st_dev, state.st_ino) in self._kept_out:
            return
        elif file_of(path) != path:
            self._skip(path, "name looks like a record of a .jsonl file (NAME.jsonl#12); rename the file", "name")
        elif stat.S_ISREG(state.st_mode):
            sidecar, its_state = _sidecar_of(place)
            file_state = _both(_state(state), its_state) if sidecar else _state(state)
            self._files.append(FoundFile(self._root, path, place, state.st_size, file_state, sidecar))
        else:
            kind = next((name for test, name in _KINDS if test(state.st_mode)), "special file")
            self._skip(path, f"a {kind}, not a regular file", "special")

    def _is_metadata(self, place: Path, path: str) -> bool:
        """Whether this is the metadata file of a file beside it; of several one is used, the others are reported."""
        described = _described_by(place.name)
        try:
            if not described or stat.S_ISDIR(os.lstat(place.with_name(described)).st_mode):
                return False
        except OSError:
            return False
        used, _ = _sidecar_of(place.with_name(described))
        if used != place.name:
            self._skip(path, f"not used: the metadata of {described} are read from {used}", "metadata")
        return True

    def follow_links(self) -> None:
        """Walk the targets of links; a link may lead to further links, but no place is visited twice."""
        while self._links:
            links, self._links = sorted(self._links, key=lambda link: link[1]), []
            for place, path in links:
                real = Path(os.path.realpath(place))
                if not os.path.lexists(real) or real.is_symlink():  # a link still: links in a circle
                    self._skip(path, "a broken link", "link")
                elif not real.is_relative_to(self._top):
                    self._skip(path, "a link that leads out of the indexed folder", "link")
                elif self._is_hidden(real):
                    self.enter(real, path)

    def _is_hidden(self, real: Path) -> bool:
        return any(name.startswith(".") for name in real.relative_to(self._top).parts)

    def _is_kept_out(self, real: Path) -> bool:
        return any(real.is_relative_to(never) for never in self._never)

    def _wanted(self, names: list[str], path: str) -> Iterator[str]:
        for name in names:
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                self._skip(f"{path}/{name}" if path else name, "its name is not UTF-8", "name")
                continue
            if not name.startswith("."):
                yield name

    def _ignore_file(self, folder: str, name: str) -> bytes | None:
        try:
            return _read(self._top / folder / name, MOST_BYTES)[0]
        except NotReadable:
            return b"\0" * (MOST_BYTES + 1)  # too long, or not a file: it is reported as not used
        except OSError as error:
            reason_of(error, str(self._top / folder / name))
            return None

    def _skip(self, path: str, reason: str, kind: Kind, *, hides_content: bool = False) -> None:
        self._unread.append(Unread(self._root, path, reason, kind, hides_content))


def _names_in(folder: Path) -> list[str]:
    fd = _opened(folder, os.O_DIRECTORY)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def _described_by(name: str) -> str:
    """The name of the file that a metadata file of this name describes; '' if it is no name of a metadata file."""
    return next((name.removesuffix(suffix) for suffix in SIDECAR_SUFFIXES if name.endswith(suffix)), "")


def _sidecar_of(place: Path) -> tuple[str, str]:
    """Name and state of the metadata file beside a file; empty where there is none."""
    for suffix in SIDECAR_SUFFIXES:
        try:
            state = os.lstat(place.with_name(f"{place.name}{suffix}"))
        except OSError:
            continue
        if not stat.S_ISDIR(state.st_mode):
            return f"{place.name}{suffix}", _state(state)
    return "", ""


def _both(state: str, its_state: str) -> str:
    """The joint state of a file and its metadata file; '' where one of them has none."""
    return f"{state}+{its_state}" if state and its_state else ""


def _state(state: os.stat_result) -> str:
    """A text that changes with the file: its size and two times, because some tools set one of them back."""
    if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) < _YOUNG_NS:
        return ""
    return f"{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}"
