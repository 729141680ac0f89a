"""The command line, in this process and as a real command."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from parts.commands import Ended, Qa

from deformer_qa.cli.main import run


@pytest.fixture
def qa(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Qa:
    """Run ``qa`` with some arguments, in an empty folder, without the user's configuration."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("QA_STORE", raising=False)

    def run_qa(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run_qa


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start ``qa`` as a process of its own; what still runs at the end of the test is killed."""
    children: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from deformer_qa.cli.main import main; main()", *map(str, arguments)]
        # A suite started in the background ignores Ctrl-C, and children would inherit that.
        heeds_ctrl_c = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        children.append(subprocess.Popen(command, preexec_fn=heeds_ctrl_c, **pipes))
        return children[-1]

    yield start
    for child in children:
        if child.poll() is None:
            child.kill()
            child.communicate()
