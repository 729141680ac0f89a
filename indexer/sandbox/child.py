"""The process that parses foreign files beside the indexer, one after the other, and that may be killed.

``sandbox.parent`` starts it, sends it files on its standard input and gets their text as JSON. It writes nothing else,
and nothing it answers is ever executed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from dataclasses import replace
from typing import Any, BinaryIO

from deformer_qa.indexer import formats
from deformer_qa.indexer.formats import FileLimits, NotReadable, ParsedDocument, ParsedFile
from deformer_qa.indexer.formats.metadata import from_sidecar
from deformer_qa.indexer.formats.registry import BY_NAME
from deformer_qa.indexer.formats.text_encoding import storable

LENGTH_BYTES = 8
NO_MEMORY = 77  # exit code if there is not even memory to answer
_SPARE_SECONDS = 5  # after which the system ends a process whose parent is gone, busy or asleep


def main() -> None:
    """Answer until the standard input ends."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)  # output of a library must not mix with the answers
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    limits = FileLimits(**_received(requests))
    _set_limit(resource.RLIMIT_AS, limits.memory_bytes)
    _send(answers, b"")  # ready
    while header := _received(requests):
        _set_limit(resource.RLIMIT_CPU, _cpu_seconds() + int(limits.seconds) + _SPARE_SECONDS)
        signal.alarm(int(limits.seconds) + _SPARE_SECONDS)
        try:
            raw, sidecar = requests.read(header["n_bytes"]), requests.read(header["n_sidecar_bytes"])
            _send(answers, _answer(header, raw, sidecar, limits))
        except MemoryError:
            os._exit(NO_MEMORY)
        signal.alarm(0)


def _answer(header: dict[str, Any], raw: bytes, sidecar: bytes, limits: FileLimits) -> bytes:
    try:
        parsed = formats.parse(BY_NAME[header["format"]], header["name"], raw, limits)
        if header["sidecar"]:
            parsed = _with_sidecar(parsed, header["sidecar"], sidecar)
        return _encoded(_told(parsed))
    except NotReadable as reason:
        return _encoded({"reason": str(reason), "kind": reason.kind})
    except MemoryError:
        return _encoded({"reason": formats.memory_reason(limits), "kind": "limit"})
    except Exception as error:  # a bug of ours on one file must not stop the others
        return _encoded({"reason": f"the parser failed: {type(error).__name__}: {error}"[:200], "kind": "damaged"})


def _with_sidecar(parsed: ParsedFile, name: str, raw: bytes) -> ParsedFile:
    """Add the metadata of the file beside it, which take precedence over the document's own."""
    try:
        meta, notes = from_sidecar(name, raw)
    except NotReadable as reason:
        return replace(parsed, notes=(*parsed.notes, f"its metadata file {name} is not used: {reason}"))
    title = meta.pop("title", None)
    documents = (replace(one, meta={**one.meta, **meta}) for one in parsed.documents)
    if isinstance(title, str) and title.strip():
        documents = (replace(one, title=title, has_own_title=True) for one in documents)
    return replace(parsed, documents=tuple(documents), notes=(*parsed.notes, *notes))


def _told(parsed: ParsedFile) -> dict[str, Any]:
    """A parsed file as JSON values."""
    return {
        "documents": list(map(_told_document, parsed.documents)),
        "bad_records": [{"record": one.record, "reason": one.reason, "kind": one.kind} for one in parsed.bad_records],
        "notes": parsed.notes,
    }


def _told_document(document: ParsedDocument) -> dict[str, Any]:
    """A document as JSON values, characters that UTF-8 lacks replaced one for one, so that offsets stay valid."""
    return {
        "record": document.record,
        "title": storable(document.title),
        "has_own_title": document.has_own_title,
        "text": storable(document.text),
        "outline": [(offset, storable(heading)) for offset, heading in document.outline],
        "meta": {storable(key): _storable_value(value) for key, value in document.meta.items()},
        "locations": {
            kind: [(offset, _storable_value(value)) for offset, value in marks]
            for kind, marks in document.locations.items()
        },
    }


def _storable_value(value: Any) -> Any:
    return storable(value) if isinstance(value, str) else value


def _received(requests: BinaryIO) -> dict[str, Any]:
    """The next header; {} at the end of input."""
    line = requests.readline()
    return dict(json.loads(line)) if line.endswith(b"\n") else {}


def _send(answers: BinaryIO, answer: bytes) -> None:
    answers.write(len(answer).to_bytes(LENGTH_BYTES, "little"))
    answers.write(answer)
    answers.flush()


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def _set_limit(what: int, soft: int) -> None:
    _, hard = resource.getrlimit(what)
    soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(what, (soft, hard))


def _cpu_seconds() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1


if __name__ == "__main__":
    main()
