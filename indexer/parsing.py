"""How is a foreign file read without harm? In a process beside ours, which has limits and is killed at them.

The text of a file is got by libraries that were written for well-meant files. One that hangs, crashes or takes all
memory costs that file, with a reason, and nothing else.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any, Self

from deformer_qa.indexer import formats
from deformer_qa.indexer.errors import ParserMissing
from deformer_qa.indexer.formats import BadRecord, FileLimits, Format, NotReadable, ParsedDocument, ParsedFile

_LENGTH_BYTES = 8
_CHUNK_BYTES = 1 << 20
_START_SECONDS = 60.0  # for a process to begin, on a machine that has much else to do
_FILES_PER_PROCESS = 500  # what parsers forget to give back stays small
_LONG_BYTES = 16 * 2**20  # after a file as long as this a process is not used again


class _Gone(Exception):
    """The process ended instead of answering."""


class FileParser:
    """Reads files, each in at most so many seconds and so much memory; a context manager. Not for several threads."""

    def __init__(self, limits: FileLimits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._n_files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it is doing; the next file starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()

    def parse(self, format_: Format, path: str, raw: bytes, sidecar: tuple[str, bytes] = ("", b"")) -> ParsedFile:
        """The documents of a file, their content hashes set.

        :param sidecar: name and content of the file beside it that holds its metadata, if there is one.
        :raises NotReadable: with the reason, for a file that gives none.
        """
        if not raw:
            raise NotReadable("empty", "empty")
        with self._running(path):
            answer = self._ask(format_, PurePosixPath(path).stem, raw, sidecar)
        if "reason" in answer:
            raise NotReadable(answer["reason"], answer["kind"])
        return _parsed(answer, formats.hashes(format_, raw, sidecar[1]))

    @contextmanager
    def _running(self, path: str) -> Iterator[None]:
        """A process is there; after trouble it is not."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _ask(self, format_: Format, name: str, raw: bytes, sidecar: tuple[str, bytes]) -> dict[str, Any]:
        process = self._process or self._started()
        deadline = time.monotonic() + self._limits.seconds
        header = {
            "format": format_.name,
            "name": name,
            "n_bytes": len(raw),
            "sidecar": sidecar[0],
            "n_sidecar_bytes": len(sidecar[1]),
        }
        try:
            for part in (json.dumps(header).encode() + b"\n", raw, sidecar[1]):
                _send(process, part, deadline)
            answer: dict[str, Any] = json.loads(_receive(process, deadline))
        except TimeoutError:
            seconds = self._limits.seconds
            raise NotReadable(f"reading it takes more than {seconds:g} seconds (--max-seconds)", "limit") from None
        except _Gone:
            raise _end_of(process, format_, self._limits) from None
        self._n_files += 1
        if self._n_files >= _FILES_PER_PROCESS or len(raw) > _LONG_BYTES:
            self.close()
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        # -P: a folder of documents that we happen to be in may hold a json.py
        command = [sys.executable, "-P", "-m", "deformer_qa.indexer.parser_process"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            self._process = process = subprocess.Popen(command, bufsize=0, **pipes)
        except OSError as error:  # it does not always say of what
            raise OSError(error.errno, error.strerror, error.filename or sys.executable) from error
        self._n_files = 0
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        os.set_blocking(process.stdout.fileno(), False)
        deadline = time.monotonic() + _START_SECONDS
        try:
            _send(process, json.dumps(asdict(self._limits)).encode() + b"\n", deadline)
            _receive(process, deadline)
        except (TimeoutError, _Gone) as error:
            raise ParserMissing(" ".join(command)) from error
        return process


def _send(process: subprocess.Popen[bytes], content: bytes, deadline: float) -> None:
    assert process.stdin is not None
    left = memoryview(content)
    while left:
        _wait_for(process.stdin.fileno(), select.POLLOUT, deadline)
        try:
            left = left[os.write(process.stdin.fileno(), left[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            raise _Gone from None


def _receive(process: subprocess.Popen[bytes], deadline: float) -> bytearray:
    assert process.stdout is not None
    received, n_wanted = bytearray(), _LENGTH_BYTES
    while len(received) < n_wanted:
        _wait_for(process.stdout.fileno(), select.POLLIN, deadline)
        piece = os.read(process.stdout.fileno(), _CHUNK_BYTES)
        if not piece:
            raise _Gone
        received += piece
        if n_wanted == _LENGTH_BYTES and len(received) >= _LENGTH_BYTES:
            n_wanted += int.from_bytes(received[:_LENGTH_BYTES], "little")
    del received[:_LENGTH_BYTES]
    return received


def _wait_for(fd: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(fd, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _end_of(process: subprocess.Popen[bytes], format_: Format, limits: FileLimits) -> NotReadable:
    """Why a process ended in the midst of a file."""
    try:
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        code = 0
    if code == -signal.SIGXCPU:
        return NotReadable(f"reading it takes more than {limits.seconds:g} seconds (--max-seconds)", "limit")
    what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return NotReadable(f"the reader of {format_.name} crashed on it ({what})")


def _parsed(answer: dict[str, Any], hashes: dict[str, str]) -> ParsedFile:
    return ParsedFile(
        tuple(_document(fields, hashes) for fields in answer["documents"]),
        tuple(BadRecord(**fields) for fields in answer["bad_records"]),
        tuple(answer["notes"]),
    )


def _document(fields: dict[str, Any], hashes: dict[str, str]) -> ParsedDocument:
    return ParsedDocument(
        record=fields["record"],
        title=fields["title"],
        text=fields["text"],
        outline=tuple((offset, heading) for offset, heading in fields["outline"]),
        meta=fields["meta"],
        locations={
            kind: tuple((offset, value) for offset, value in marks) for kind, marks in fields["locations"].items()
        },
        content_hash=hashes[fields["record"]],
    )
