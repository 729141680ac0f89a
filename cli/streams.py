"""What may reach the terminal? Text that is harmless, and of escape sequences those that rich and the prompt make.

``make_streams_safe`` puts a ``SafeStream`` in the place of stdout and stderr. All text written there by anybody (a
warning, a log, a traceback, a library) is made harmless; no escape sequence passes. Who may write some, a console or
the prompt, takes the stream behind it (``behind``) and answers for its text.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from deformer_qa.cli.display import harmless


class NamedStream(io.TextIOBase):
    """A text stream over another, whose errors say which one failed. It has no ``buffer``: bytes would go around it."""

    def __init__(self, inner: TextIO, name: str) -> None:
        self.inner, self.name = inner, name

    def write(self, text: str) -> int:
        """:raises OSError: naming the stream. :raises BrokenPipeError: where nobody reads it any more."""
        with self._naming():
            self.inner.write(text)
        return len(text)

    def flush(self) -> None:
        """As ``write``."""
        with self._naming():
            self.inner.flush()

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(f"{self.name}: {error.strerror or error}; what was to be written there is lost.") from error

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.inner.isatty()

    def fileno(self) -> int:
        return self.inner.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.inner.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.inner.errors


class SafeStream(NamedStream):
    """Writes all it is given harmless."""

    def write(self, text: str) -> int:
        return super().write(harmless(text))


def behind(stream: TextIO) -> TextIO:
    """The stream that takes bytes and escape sequences too."""
    while (inner := getattr(stream, "inner", None) or getattr(stream, "rich_proxied_file", None)) is not None:
        stream = inner  # of one of ours, or of rich's while a bar is drawn
    return stream


def make_streams_safe() -> None:
    """Make stdout and stderr safe; streams that are closed are as good as empty.

    What a stream's encoding lacks is escaped, not an error.
    """
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115
    for name in ("stdout", "stderr"):
        stream = behind(getattr(sys, name) or open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, cast(TextIO, SafeStream(stream, name)))


def silence(stream: TextIO) -> None:
    """Nothing more is written there, also not at exit: its reader is gone, or there is no room."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
