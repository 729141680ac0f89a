"""Parses foreign files in a separate process with limits, which is killed when it exceeds them.

The libraries that extract text were written for benign files. If one hangs, crashes or takes all memory, only that
file is lost, with a reason.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any, Self

from deformer_qa.indexer import formats
from deformer_qa.indexer.errors import ParserMissing
from deformer_qa.indexer.formats import BadRecord, FileLimits, Format, NotReadable, ParsedDocument, ParsedFile
from deformer_qa.indexer.sandbox.child import LENGTH_BYTES, NO_MEMORY

_CHUNK_BYTES = 1 << 20
_START_SECONDS = 60.0  # for a process to start, even on a busy machine
_FILES_PER_PROCESS = 500  # bounds the memory that parsers leak
_LONG_BYTES = 16 * 2**20  # after a file this long the process is replaced
_LOOK_SECONDS = 0.02  # between two checks of the memory of a working process
_LONGEST_SECONDS = 10.0**6  # the most that poll and alarm take
_MOST_MEMORY = 2**62  # the most that setrlimit takes
_NOT_ITS_DOING = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


class _Gone(Exception):
    """The process ended instead of answering."""


class _Ended(Exception):
    """The process ended instead of answering, with details.

    :ivar code: its exit code; for a signal, the negative number
    :ivar peak_bytes: the largest address space seen, 0 if it ended before the first check
    """

    def __init__(self, code: int, peak_bytes: int) -> None:
        super().__init__(code)
        self.code, self.peak_bytes = code, peak_bytes


class FileParser:
    """Parses files within limits of time and memory; a context manager, not safe for several threads."""

    def __init__(self, limits: FileLimits) -> None:
        seconds, memory = min(limits.seconds, _LONGEST_SECONDS), min(limits.memory_bytes, _MOST_MEMORY)
        self._limits = replace(limits, seconds=seconds, memory_bytes=memory)
        self._process: subprocess.Popen[bytes] | None = None
        self._n_files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the process; the next file starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()

    def parse(self, format_: Format, path: str, raw: bytes, sidecar: tuple[str, bytes] = ("", b"")) -> ParsedFile:
        """Parse a file into documents with content hashes.

        :param sidecar: name and content of the metadata file beside it, if there is one.
        :raises NotReadable: with the reason, if the file gives no document.
        """
        if not raw:
            raise NotReadable("empty", "empty")
        with self._running():
            answer = self._answer(format_, PurePosixPath(path).stem, raw, sidecar)
        if "reason" in answer:
            raise NotReadable(answer["reason"], answer["kind"])
        return _parsed(answer, formats.hashes(format_, raw, sidecar[1]))

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Close the process if an error occurs."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _answer(self, format_: Format, name: str, raw: bytes, sidecar: tuple[str, bytes]) -> dict[str, Any]:
        """The answer of the process for a file.

        A used process may end or lack memory because of earlier files, and any process may be killed from outside. Then
        a new process gets the file once more.
        """
        is_used = self._process is not None
        deadline = time.monotonic() + self._limits.seconds
        try:
            answer = self._ask(format_, name, raw, sidecar, self._limits.seconds)
            if not is_used or answer.get("reason") != formats.memory_reason(self._limits):
                return answer
        except _Ended as end:
            if not is_used and -end.code not in _NOT_ITS_DOING:
                raise self._reason_of(end, format_) from None
        self.close()
        seconds = max(self._limits.seconds / 4, deadline - time.monotonic())
        try:
            return self._ask(format_, name, raw, sidecar, seconds)
        except _Ended as end:
            raise self._reason_of(end, format_) from None

    def _ask(
        self, format_: Format, name: str, raw: bytes, sidecar: tuple[str, bytes], seconds: float
    ) -> dict[str, Any]:
        process = self._process or self._started()
        deadline, peak = time.monotonic() + seconds, _Peak(process.pid)
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
            answer: dict[str, Any] = json.loads(_receive(process, deadline, peak))
        except TimeoutError:
            raise NotReadable(_time_reason(self._limits), "limit") from None
        except _Gone:
            raise _Ended(_exit_code(process), peak.n_bytes) from None
        self._n_files += 1
        if self._n_files >= _FILES_PER_PROCESS or len(raw) > _LONG_BYTES:
            self.close()
        return answer

    def _reason_of(self, end: _Ended, format_: Format) -> NotReadable:
        """Why a process ended while parsing a file."""
        limits, name = self._limits, format_.name
        if end.code == NO_MEMORY:
            return NotReadable(formats.memory_reason(limits), "limit")
        if -end.code in (signal.SIGXCPU, signal.SIGALRM):
            return NotReadable(_time_reason(limits), "limit")
        what = f"exit code {end.code}" if end.code >= 0 else _signal_name(-end.code)
        if -end.code in _NOT_ITS_DOING:
            return NotReadable(f"the {name} parser was killed ({what}) by someone, or because memory ran out", "system")
        # Some libraries just end when they get no memory. If they grow by doubling, the last request was at most as
        # large as the memory they had, so half of the limit counts as reaching it.
        if end.code < 0 and end.peak_bytes >= limits.memory_bytes // 2:
            used, most = end.peak_bytes // 2**20, limits.memory_bytes // 2**20
            reason = f"the {name} parser ended ({what}) at {used:,} MiB of memory; the limit is {most:,} (--max-memory)"
            return NotReadable(reason, "limit")
        return NotReadable(f"the {name} parser crashed ({what})")

    def _started(self) -> subprocess.Popen[bytes]:
        # -P: the current folder may hold documents named like modules, such as json.py
        command = [sys.executable, "-P", "-m", "deformer_qa.indexer.sandbox.child"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            self._process = process = subprocess.Popen(command, bufsize=0, **pipes)
        except (FileNotFoundError, PermissionError) as error:
            raise ParserMissing(" ".join(command)) from error
        except OSError as error:  # such as too few descriptors; it may name no file
            raise OSError(error.errno, error.strerror, error.filename or sys.executable) from error
        self._n_files = 0
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        os.set_blocking(process.stdout.fileno(), False)
        deadline = time.monotonic() + _START_SECONDS
        try:
            _send(process, json.dumps(asdict(self._limits)).encode() + b"\n", deadline)
            _receive(process, deadline, _Peak(process.pid))
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


def _receive(process: subprocess.Popen[bytes], deadline: float, peak: _Peak) -> bytearray:
    assert process.stdout is not None
    received, n_wanted = bytearray(), LENGTH_BYTES
    while len(received) < n_wanted:
        _wait_for(process.stdout.fileno(), select.POLLIN, deadline, peak.look)
        piece = os.read(process.stdout.fileno(), _CHUNK_BYTES)
        if not piece:
            raise _Gone
        received += piece
        if n_wanted == LENGTH_BYTES and len(received) >= LENGTH_BYTES:
            n_wanted += int.from_bytes(received[:LENGTH_BYTES], "little")
    del received[:LENGTH_BYTES]
    return received


def _wait_for(fd: int, event: int, deadline: float, look: Callable[[], None] = lambda: None) -> None:
    poll = select.poll()
    poll.register(fd, event)
    while not poll.poll(1000 * max(0.0, min(_LOOK_SECONDS, deadline - time.monotonic()))):
        if time.monotonic() >= deadline:
            raise TimeoutError
        look()


class _Peak:
    """The largest address space seen of a process: once it has ended, the system no longer tells."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self.n_bytes = 0

    def look(self) -> None:
        """Check now; without a status file nothing is known."""
        try:
            found = re.search(rb"^VmPeak:\s+(\d+) kB", self._status.read_bytes(), re.MULTILINE)
        except OSError:
            return
        self.n_bytes = max(self.n_bytes, int(found[1]) * 1024 if found else 0)


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process that closed its output; if it still runs, it is killed."""
    try:
        return process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a signal without a name
        return f"signal {number}"


def _time_reason(limits: FileLimits) -> str:
    return f"reading it takes more than {limits.seconds:g} seconds (--max-seconds)"


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
        has_own_title=fields["has_own_title"],
    )
