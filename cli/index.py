"""``qa index``: make a store from folders and files, or update it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.options import ENCODINGS, device_option, is_pattern, located, store_option, threads_option
from deformer_qa.cli.output import ExitCode, format_option, message

if TYPE_CHECKING:
    from deformer_qa.indexer.encoding import TextEncoder
    from deformer_qa.indexer.formats.parsed import FileLimits
    from deformer_qa.indexer.progress import Event, SyncReport
    from deformer_qa.indexer.selection import Selection


_MIB = 2**20
_MOST = 2**40  # in MiB, still a number of bytes that the system accepts
_LIMITS: dict[str, tuple[str, int, str]] = {  # option: field of FileLimits, unit, help
    "max-file-size": ("file_bytes", _MIB, "N MiB for a file."),
    "max-text": ("text_characters", 1, "N characters of text for a document."),
    "max-pages": ("pages", 1, "N pages, slides or sheets in a file."),
    "max-members": ("members", 1, "N files in an archive; office documents are archives."),
    "max-unpacked": ("unpacked_bytes", _MIB, "N MiB for an archive when unpacked."),
    "max-ratio": ("ratio", 1, "N times as many bytes unpacked as packed, for a file in an archive."),
    "max-nesting": ("nesting", 1, "N levels of nested JSON values, or of nested parts of mail."),
    "max-seconds": ("seconds", 1, "N seconds to read one file."),
    "max-memory": ("memory_bytes", _MIB, "N MiB of memory to read files."),
}


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--include``, ``--exclude``, ``--no-ignore``."""
    options = (
        click.option(
            "--include",
            multiple=True,
            metavar="PATTERN",
            help="Only files that match, such as '*.pdf' or 'papers/**'. May be given several times.",
        ),
        click.option(
            "--exclude",
            multiple=True,
            metavar="PATTERN",
            help="Leave out files and folders that match. Patterns follow .gitignore. May be given several times.",
        ),
        click.option("--no-ignore", is_flag=True, help="Also index what .gitignore and .qaignore files leave out."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option per limit; the command gets them together as ``limits``, a dict for ``file_limits``."""
    from functools import wraps

    @wraps(command)
    def with_limits(*arguments: Any, **options: Any) -> Any:
        limits = {field: options.pop(_name(option)) for option, (field, _, _) in _LIMITS.items()}
        return command(*arguments, limits=limits, **options)

    wrapped: Callable[..., Any] = with_limits
    for option, (_, _, what) in reversed(_LIMITS.items()):
        wrapped = click.option(f"--{option}", type=click.IntRange(1, _MOST), metavar="N", help=f"At most {what}")(
            wrapped
        )
    return wrapped


def file_limits(chosen: dict[str, int | None]) -> FileLimits:
    """The chosen limits, with defaults for the others."""
    from dataclasses import replace

    from deformer_qa.indexer.formats.parsed import DEFAULT_LIMITS

    units = {field: unit for field, unit, _ in _LIMITS.values()}
    assert units.keys() == {field.name for field in fields(DEFAULT_LIMITS)}
    return replace(DEFAULT_LIMITS, **{field: n * units[field] for field, n in chosen.items() if n is not None})


def existing_paths(paths: tuple[Path, ...]) -> list[Path]:
    """The paths; a pattern such as ``'papers/**/*.pdf'`` that no shell has expanded becomes the paths it matches.

    :raises click.UsageError: for a path that does not exist, or a pattern that matches nothing.
    """
    found: list[Path] = []
    for path in paths:
        if _is_there(path):
            found.append(path)
        elif is_pattern(str(path)):
            found += _fitting(path)
        else:
            raise click.UsageError(f"{path}: no such file or folder.")
    return found


def _fitting(pattern: Path) -> list[Path]:
    """Expand a pattern as a shell does: hidden names match only if the pattern has a leading "." itself."""
    try:
        relative = pattern.relative_to(pattern.anchor) if pattern.anchor else pattern
        found = sorted(Path(pattern.anchor or ".").glob(str(relative)))
    except (ValueError, NotImplementedError, OSError) as error:
        raise click.UsageError(f"{pattern}: invalid pattern ({error}).") from error
    if not any(_is_hidden(name) for name in relative.parts):
        found = [path for path in found if not any(map(_is_hidden, path.parts))]
    if not found:
        raise click.UsageError(f"{pattern}: no file or folder matches this pattern.")
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name not in (".", "..")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return True  # a later step reports why it cannot be accessed


def _name(option: str) -> str:
    return option.replace("-", "_")


def checked_vector_index(context: click.Context, option: click.Parameter, choice: str | None) -> str | None:
    """Check the value of --vector-index."""
    from deformer_qa.store.errors import InvalidRecord
    from deformer_qa.store.index_choice import check_choice

    try:
        return choice and check_choice(choice)
    except InvalidRecord as error:
        raise click.BadParameter(str(error), context, option) from error


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH|-]...", type=click.Path(path_type=Path, readable=False))
@store_option
@click.option(
    "--encoder",
    metavar="DIR|NAME",
    help="A sentence-transformers folder or hub id, with a reader trained on it. Default: the reader's own.",
)
@click.option(
    "--reader",
    "reader_folder",
    type=click.Path(path_type=Path, readable=False),
    metavar="DIR",
    help="The reader whose encoder makes the store. Default: the one shipped.",
)
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    help="Encoding of the stored states. Default: the store's; for a new one the reader's codebook, else int8.",
)
@click.option(
    "--vector-index",
    callback=checked_vector_index,
    metavar="auto|flat|FACTORY",
    help="How vectors are searched from now on: auto chooses by the store's size, flat compares every vector, FACTORY "
    "is an index such as IVF2048,SQ8. Default: the store's, auto for a new one.",
)
@device_option
@threads_option("Encode N passages at once; the index does not depend on it.")
@click.option("--prune", is_flag=True, help="Drop recorded roots that no longer exist, with their documents.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--watch", is_flag=True, help="Keep running, and update the index whenever a file changes.")
@click.option("--name", metavar="NAME", help='With "-": a file name for the content, such as notes.md. Default: stdin.')
@selection_options
@limit_options
@click.option("--strict", is_flag=True, help="Exit with 3 if any file was skipped.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Write the outcome of each file there as JSON, with the reason for each skipped file.",
)
@format_option
def index(
    paths: tuple[Path, ...],
    store: Path | None,
    encoder: str | None,
    reader_folder: Path | None,
    encoding: str | None,
    vector_index: str | None,
    device: str,
    n_threads: int | None,
    prune: bool,
    dry_run: bool,
    watch: bool,
    name: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    no_ignore: bool,
    limits: dict[str, int | None],
    strict: bool,
    report: Path | None,
    form: str,
) -> int:
    """Build or update the index of PATHs: folders or files, each a root that is synced alone.

    Without PATH all recorded roots are updated. Unchanged files are not read again, moved files are recognised, and
    deleted files leave the index. Ctrl-C keeps what is encoded, and the next run goes on from there. A quoted pattern
    such as 'papers/**/*.pdf' stands for the files that match it; "-" indexes the content of stdin.

    The metadata of report.pdf are read from report.pdf.meta.json or .meta.yaml beside it, and from the YAML head of a
    Markdown file.
    """
    from deformer_qa.cli.terminal.progress import Outcomes
    from deformer_qa.indexer.selection import Selection

    is_piped = Path("-") in paths
    _check_usage(paths, is_piped=is_piped, dry_run=dry_run, watch=watch, name=name, include=include, exclude=exclude)
    folder, never = located(store), () if report is None else (report,)
    selection = Selection(include, exclude, ignore_files=not no_ignore, never=never)
    selection.check()
    outcomes = Outcomes(report)
    # Before any model is loaded, so that a missing path is reported at once.
    places = [] if is_piped else existing_paths(paths)
    run = _Run(folder, places, encoding, vector_index, n_threads, prune, file_limits(limits), selection, form, outcomes)
    if dry_run:
        return _ended(run.preview(), strict)
    with _interruptible(folder):
        chosen = _encoder(encoder, reader_folder, device)
        if is_piped:
            # One byte above the limit, so that too long input is recognised, and endless input ends.
            return _ended(run.piped(chosen, name or "stdin", sys.stdin.buffer.read(run.limits.file_bytes + 1)), strict)
        done = run.sync(chosen)
        if watch:
            from deformer_qa.indexer.watch import keep_up

            keep_up(folder, places, lambda: run.sync(chosen, quietly=True), lambda text: message(f"qa: {text}"))
        return _ended(done, strict)


@contextmanager
def _interruptible(store: Path) -> Iterator[None]:
    """Add to Ctrl-C what the index holds then."""
    from deformer_qa.store import StoreMissing, open_snapshot

    try:
        yield
    except KeyboardInterrupt as interruption:
        n_documents = 0
        with suppress(StoreMissing), open_snapshot(store) as snapshot:
            n_documents = snapshot.n_documents
        interruption.add_note(f"Documents in the index: {n_documents:,}; the same command goes on from there.")
        raise


@dataclass
class _Run:
    """The arguments of a run, which happens once or, while watching, repeatedly."""

    store: Path
    places: list[Path]
    encoding: str | None
    vector_index: str | None
    n_threads: int | None
    prune: bool
    limits: FileLimits
    selection: Selection
    form: str
    outcomes: Any

    def sync(self, encoder: TextEncoder, *, quietly: bool = False) -> SyncReport:
        """Bring the store up to date; if ``quietly``, print nothing unless something changed."""
        from deformer_qa.indexer.sync import sync

        with self._watching() as on_event:
            done = sync(
                self.store,
                encoder,
                self.places,
                encoding=self.encoding,
                vector_index=self.vector_index,
                prune=self.prune,
                on_event=on_event,
                limits=self.limits,
                selection=self.selection,
                n_threads=self.n_threads,
            )
        return self._told(done, quietly=quietly and not done.committed)

    def preview(self) -> SyncReport:
        """Report what a sync would do."""
        from deformer_qa.indexer.sync import preview

        with self._watching() as on_event:
            done = preview(
                self.store,
                self.places,
                prune=self.prune,
                on_event=on_event,
                limits=self.limits,
                selection=self.selection,
            )
        return self._told(done, is_preview=True)

    def piped(self, encoder: TextEncoder, name: str, raw: bytes) -> SyncReport:
        """Index the content of stdin."""
        from deformer_qa.indexer.sync import index_bytes

        with self._watching() as on_event:
            done = index_bytes(
                self.store,
                encoder,
                name,
                raw,
                encoding=self.encoding,
                vector_index=self.vector_index,
                on_event=on_event,
                limits=self.limits,
                n_threads=self.n_threads,
            )
        return self._told(done)

    def _watching(self) -> AbstractContextManager[Callable[[Event], None]]:
        from deformer_qa.cli.terminal.progress import watching

        return watching(self.form, self.outcomes)

    def _told(self, done: SyncReport, *, is_preview: bool = False, quietly: bool = False) -> SyncReport:
        from deformer_qa.cli.terminal.progress import print_summary

        self.outcomes.write(done, is_preview=is_preview)
        if is_preview:
            self.outcomes.list(self.form)
        if not quietly:
            print_summary(done, self.form, is_preview=is_preview)
        return done


def _check_usage(
    paths: tuple[Path, ...],
    *,
    is_piped: bool,
    dry_run: bool,
    watch: bool,
    name: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
) -> None:
    if is_piped and len(paths) > 1:
        raise click.UsageError('"-" (stdin) cannot be combined with other PATHs.')
    if is_piped and (dry_run or watch or include or exclude):
        raise click.UsageError('"-" (stdin) cannot be combined with --dry-run, --watch, --include or --exclude.')
    if name is not None and not is_piped:
        raise click.UsageError('--name needs "-" as the PATH (content on stdin).')
    if name is not None and (not name.strip("/. ") or "\0" in name or name != Path(name).name):
        raise click.UsageError(f"--name {name!r}: expected the name of a file, without folders.")
    if dry_run and watch:
        raise click.UsageError("--dry-run cannot be combined with --watch.")


def _encoder(encoder: str | None, reader_folder: Path | None, device: str) -> TextEncoder:
    from deformer_qa.reader.checkpoint import encoder_of
    from deformer_qa.reader.description import describe_reader
    from deformer_qa.reader.encoder import Encoder
    from deformer_qa.reader.shipped import SHIPPED

    about = describe_reader(reader_folder or SHIPPED)
    return (Encoder.load(encoder, k=about.k) if encoder else encoder_of(about)).to(device)


def _ended(done: SyncReport, strict: bool) -> int:
    return ExitCode.RUNTIME if strict and done.skipped else ExitCode.OK
