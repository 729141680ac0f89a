"""Asking, verifying and what else reads a store: no socket is opened, no name looked up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WATCHED = """
import sys

def refuse(event, arguments):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        family = arguments[1] if event == "socket.__new__" else None
        if event != "socket.__new__" or int(family) != 1:  # sockets within this machine's processes are no network
            print("NETWORK", event, arguments, file=sys.stderr)
            sys.stderr.flush()
            import os
            os._exit(99)

sys.addaudithook(refuse)
"""
RUN = WATCHED + "from deformer_qa.cli.main import main\nmain()\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "On what date was Magellan killed?"),
        ("ask", "Was Magellan killed?", "--format", "json"),
        ("search", "Magellan"),
        ("verify", "--recompute", "2"),
        ("info",),
    ],
    ids=" ".join,
)
def test_reading_a_store_uses_no_network(example_store: Path, arguments: tuple[str, ...]) -> None:
    there = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, "-c", RUN, *arguments, "--store", str(example_store)]
    done = subprocess.run(command, env=there, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout


def test_the_watch_sees_a_connection() -> None:
    attempt = WATCHED + "import socket\nsocket.create_connection(('127.0.0.1', 9))\n"
    done = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, check=False)
    assert (done.returncode, "NETWORK" in done.stderr) == (99, True)
