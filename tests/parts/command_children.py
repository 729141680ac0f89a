"""Commands in processes of their own, forked so that nothing is loaded anew: on a terminal, into files, with limits."""

from __future__ import annotations

import fcntl
import os
import pickle
import pty
import select
import struct
import sys
import termios
import time
import traceback
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deformer_qa.cli.main import main

Ended = tuple[int, bytes, bytes]
"""Exit code, stdout and stderr."""
Call = Callable[..., Any]


def in_a_child(work: Callable[[], Any], leader: int | None = None, follower: int | None = None) -> Any:
    """What the work gives, done in a process of its own; on a terminal what it printed."""
    ends = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            torch.set_num_threads(1)  # threads do not survive a fork
            if follower is not None:
                for fd in (0, 1, 2):
                    os.dup2(follower, fd)
                sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
                sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
                sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
            result = work()
            with os.fdopen(ends[1], "wb") as out:
                pickle.dump(result, out)
            code = 0
        except BaseException:
            os.write(ends[1], traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(ends[1])
    sources, read = [ends[0], *([leader] if leader is not None else [])], {ends[0]: b"", leader: b""}
    if follower is not None:
        os.close(follower)
    deadline = time.monotonic() + 120
    while sources and time.monotonic() < deadline:
        for source in select.select(sources, [], [], 1)[0]:
            try:
                piece = os.read(source, 1 << 20)
            except OSError:  # the terminal is closed
                piece = b""
            read[source] += piece
            if not piece:
                sources.remove(source)
    if sources:
        os.kill(child, 9)
    assert os.waitpid(child, 0)[1] == 0, read[ends[0]].decode()
    return pickle.loads(read[ends[0]]) if leader is None else read[leader]


def on_a_terminal(work: Callable[[], Any], typed: bytes = b"") -> bytes:
    """All bytes that reach a terminal while the work is done in a process of its own."""
    leader, follower = pty.openpty()
    if typed:
        tty.setraw(follower)  # else the system itself would echo
        os.write(leader, typed)
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    return in_a_child(work, leader, follower)


def caller(folder: Path) -> Call:
    """In a child: run a command with both streams as files, and give its code and their bytes."""
    files = [open(folder / name, "w+b", buffering=0) for name in ("out", "err")]  # noqa: SIM115

    def call(*arguments: str | Path) -> Ended:
        for fd, file in enumerate(files, start=1):
            file.truncate(0)
            file.seek(0)
            os.dup2(file.fileno(), fd)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        code = ended(*arguments)
        sys.stdout.flush()
        out, err = (os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in files)
        return code, out, err

    return call


def ended(*arguments: str | Path) -> int:
    """The exit code of a command in this process."""
    with pytest.raises(SystemExit) as ending:
        main([str(argument) for argument in arguments])
    assert isinstance(ending.value.code, int)
    return ending.value.code
