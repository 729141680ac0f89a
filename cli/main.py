"""``qa``: runs the commands, and turns each error into one line and an exit code."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from deformer_qa import __version__
from deformer_qa.cli.config import configured_defaults
from deformer_qa.cli.output import ExitCode, message
from deformer_qa.cli.terminal.streams import make_streams_safe, silence
from deformer_qa.reader.kernel_defaults import set_kernel_defaults

_HOMES = {  # command: its module in ``cli``, and its name there
    "index": ("index", "index"),
    "ask": ("ask", "ask"),
    "search": ("search", "search"),
    "show": ("show", "show"),
    "info": ("info", "info"),
    "doctor": ("doctor", "doctor"),
    "verify": ("verify", "verify_store"),
    "rm": ("rm", "rm"),
    "compact": ("compact", "compact"),
    "rollback": ("rollback", "rollback"),
    "export": ("export", "export_store"),
    "import": ("import_", "import_store"),
    "train": ("lab.train", "train"),
    "eval": ("lab.evaluate", "evaluate"),
    "analyze": ("lab.analyze", "analyze"),
    "bench": ("lab.bench", "bench"),
}


_BRIEF = ("ask", "search", "show", "info", "doctor")
"""Commands that read, print and end. Their process collects no garbage and skips the interpreter's own cleaning up,
which together take a sixth of a cold question."""


class _Commands(click.Group):
    """The commands, each imported on first use; ``qa "a question"`` means ``qa ask "a question"``."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*_HOMES, *self.commands]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _HOMES:
            return super().get_command(context, name)
        if name not in _BRIEF:
            gc.enable()
        module, attribute = _HOMES[name]
        command: click.Command = getattr(import_module(f"deformer_qa.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments[0] not in self.list_commands(context) and _looks_like_a_question(arguments[0]):
            return "ask", self.get_command(context, "ask"), arguments
        return super().resolve_command(context, arguments)

    def invoke(self, context: click.Context) -> Any:
        """Invoke as click does, but without an error if the reader of our output leaves (click would exit with 1)."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            silence(sys.stdout)
            return ExitCode.OK


def _looks_like_a_question(text: str) -> bool:
    """Whether a text has several words or ends with "?"; one too long for a question is reported as too long."""
    from deformer_qa.pipeline.questions import MOST_CHARACTERS

    words = text.strip()
    return any(map(str.isspace, words)) or words.endswith("?") or len(text) > MOST_CHARACTERS


@click.group(cls=_Commands, context_settings={"auto_envvar_prefix": "QA", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qa")
def root() -> None:
    """Ask a folder of documents; get exact answers with their places, offline.

    \b
    qa index papers/
    qa ask "Who proposed the method?"
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line's entry point; leaves through ``sys.exit``.

    :param arguments: None for those of the process, which then belongs to the command.
    """
    is_process = arguments is None
    if is_process:
        gc.disable()
    set_kernel_defaults()
    make_streams_safe()
    try:
        code = run(list(sys.argv[1:] if arguments is None else arguments))
    except Exception as error:  # our bug, not the user's: show the traceback, and use no exit code of an answer
        import traceback

        with suppress(OSError):
            sys.stderr.write("".join(traceback.format_exception(error)))
        code = ExitCode.RUNTIME
    code = _code_after_flushing(code)
    if is_process and not gc.isenabled():
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit code."""
    try:
        outcome: Any = root.main(
            arguments, prog_name="qa", standalone_mode=False, default_map=configured_defaults(root)
        )
        return outcome if isinstance(outcome, int) else ExitCode.OK
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except (KeyboardInterrupt, click.Abort) as ending:  # click puts its own in the place of Ctrl-C
        message(" ".join(["Interrupted.", *getattr(ending.__cause__ or ending, "__notes__", ())]))
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        hint = f' See "{error.ctx.command_path} --help".' if isinstance(error, click.UsageError) and error.ctx else ""
        message(f"qa: {error.format_message()}{hint}")
        return ExitCode.USAGE
    except Exception as error:
        code = code_of(error)
        if code is None:
            raise
        message(f"qa: {_sentence(error)}")
        return code


def _sentence(error: Exception) -> str:
    """The error's message as a sentence, which messages of the system are not."""
    if isinstance(error, MemoryError):
        return "not enough memory; close other programs, or raise the limit (ulimit -v)."
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return f"{place}{error.strerror.lower()}{_ADVICE.get(error.errno or 0, '')}."


_ADVICE = {
    errno.EMFILE: "; raise the limit (ulimit -n)",
    errno.ENOSPC: "; make room and run again",
    errno.EDQUOT: "; make room and run again",
    errno.EFBIG: "; raise the limit (ulimit -f)",
}


def code_of(error: Exception) -> int | None:
    """The exit code for an error that a user can cause; None for a bug of ours, which gets a traceback."""
    from deformer_qa.indexer import errors as indexing
    from deformer_qa.pipeline.errors import PipelineError
    from deformer_qa.reader.errors import ReaderError, WrongEncoder
    from deformer_qa.store import errors as storing

    table: list[tuple[type[Exception] | tuple[type[Exception], ...], int]] = [
        (storing.StoreLocked, ExitCode.LOCKED),
        (storing.InvalidRecord, ExitCode.USAGE),
        (storing.StoreAccess, ExitCode.RUNTIME),
        ((storing.PassageNotFound, storing.DocumentNotFound), ExitCode.USAGE),
        (
            (
                indexing.EncoderFailing,
                indexing.ParserMissing,
                storing.StoreFull,
                storing.CommitFailed,
                storing.CommitUncertain,
                storing.NotErased,
            ),
            ExitCode.RUNTIME,
        ),
        ((storing.NothingBefore, storing.FolderTaken, storing.InvalidExport), ExitCode.USAGE),
        (WrongEncoder, ExitCode.STORE),
        ((ReaderError, PipelineError, indexing.IndexerError), ExitCode.USAGE),
        (storing.StoreError, ExitCode.STORE),
        ((OSError, MemoryError), ExitCode.RUNTIME),
    ]
    return next((code for kind, code in table if isinstance(error, kind)), None)


def _code_after_flushing(code: int) -> int:
    """Flush all output and return the exit code: a reader that left is no error, a full disk is one."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        code = ExitCode.OK
    except OSError as error:
        silence(sys.stdout)
        message(f"qa: {error}")
        code = ExitCode.RUNTIME
    try:
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)
    return code
