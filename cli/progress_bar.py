"""A bar on a terminal, and nothing elsewhere; lines that are written meanwhile appear above it, harmless."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO, cast

from rich.file_proxy import FileProxy
from rich.progress import Progress, ProgressColumn

from deformer_qa.cli.output import messages_console
from deformer_qa.cli.streams import SafeStream


@contextmanager
def progress_bar(*columns: ProgressColumn, speed_seconds: float = 30.0) -> Iterator[Progress]:
    """A bar of these columns on stderr.

    Left to itself rich takes stdout as well, even where that is a file, and reads escape sequences in what is written.
    """
    console = messages_console()
    drawn = console.is_terminal
    bar = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not drawn,
        redirect_stdout=False,
        redirect_stderr=False,
        speed_estimate_period=speed_seconds,
    )
    with bar, ExitStack() as put_back:
        for name in ("stdout", "stderr"):
            stream: TextIO = getattr(sys, name)
            if drawn and stream.isatty():
                above = SafeStream(cast(TextIO, FileProxy(console, stream)), name)
                setattr(sys, name, above)
                put_back.callback(setattr, sys, name, stream)
                put_back.callback(above.flush)
        yield bar
