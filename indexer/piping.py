"""How does what comes through a pipe become documents? As one file that lies in no folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deformer_qa.indexer.encoding import TextEncoder, codebook_of, encoder_info
from deformer_qa.indexer.events import Event, SyncReport
from deformer_qa.indexer.files import PIPED, FileContent, FoundFile, printable
from deformer_qa.indexer.formats import file_of
from deformer_qa.indexer.formats.limits import DEFAULT_LIMITS, FileLimits
from deformer_qa.indexer.formats.parsed import NotReadable
from deformer_qa.indexer.parsing import FileParser
from deformer_qa.indexer.plan import FileWork, format_of
from deformer_qa.indexer.progress import Progress
from deformer_qa.indexer.roots import Scope
from deformer_qa.indexer.syncing import has_store, report_of
from deformer_qa.indexer.writing import CorpusWriter, Limits
from deformer_qa.store import Writer


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
