"""Reads a file and has it parsed, or says why not."""

from __future__ import annotations

from dataclasses import dataclass

from deformer_qa.indexer.files import FileContent, FoundFile, kind_of, read_file, reason_of
from deformer_qa.indexer.formats import FileLimits, Kind, NotReadable, ParsedFile
from deformer_qa.indexer.plan import format_of, source_state
from deformer_qa.indexer.sandbox.parent import FileParser


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
