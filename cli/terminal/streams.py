"""Protects the terminal: makes foreign text harmless, and lets only escape sequences of our own libraries pass.

All text that this program did not write is foreign: documents, titles, names of files, metadata, questions, arguments,
configuration, and so every error that quotes one of them.

``make_streams_safe`` replaces stdout and stderr by a ``SafeStream``. It makes all text harmless, whoever writes it (a
warning, a log, a traceback, a library), so no escape sequence passes. A console or the prompt, which need some, write
to the stream behind it (``behind``) and make their text harmless themselves.
"""

from __future__ import annotations

import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

MOST_MARKS = 16  # on one character; no script needs as many, and hundreds would cover other lines

_REPLACED = "\N{REPLACEMENT CHARACTER}"
_LINE_ENDS = "\n\r\v\f\x85\u2028\u2029"
_JOINERS = "\u200c\u200d"  # needed to write Persian and Indic scripts, and emoji
_SIGNS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # Cf, but visible
_UNSEEN = "\u00ad\u180e\u200b\u2060\u2061\u2062\u2063\u2064\ufeff"  # soft hyphens and the like, common in PDFs
_DIRECTION_MARKS = "\u061c\u200e\u200f"  # of no width, for one character each; controls that open a run are replaced
_LONE_RETURN = re.compile(r"\r(?!\n)")


def printable(text: str) -> str:
    """The text on one line, safe to print: line ends and tabs become blanks, invisible characters U+FFFD.

    Replaced are control and escape characters, C1, bidirectional controls, tags and lone surrogates. Soft hyphens and
    other characters without effect vanish. Combining marks beyond ``MOST_MARKS`` on one character become one U+FFFD.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = text.translate(_ON_A_LINE)
    return shown if shown.isascii() else _few_marks(shown)


def printable_lines(text: str) -> str:
    """As ``printable``, but with line ends kept."""
    return "\n".join(map(printable, text.replace("\r\n", "\n").split("\n")))


def harmless(text: str) -> str:
    """The text made harmless one character for one, so that offsets hold.

    Tabs, "\\n" and "\\r\\n" stay; other line ends become "\\n". What ``printable`` replaces is replaced, and so are
    direction marks; unseen characters and combining marks stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return _LONE_RETURN.sub("\n", text).translate(_ONE_FOR_ONE)


class _Shown(dict[int, str]):
    """A table for ``str.translate``: the text shown for a character; filled on demand."""

    def __init__(self, special: dict[str, str]) -> None:
        super().__init__({ord(one): shown for characters, shown in special.items() for one in characters})

    def __missing__(self, code: int) -> str:
        hidden = unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Co", "Cn")
        shown = _REPLACED if hidden else chr(code)
        if code < 0x10000:  # so that it cannot grow to all characters
            self[code] = shown
        return shown


_STAYING = {one: one for one in _JOINERS + _SIGNS}
_ON_A_LINE = _Shown({_LINE_ENDS + "\t": " ", _UNSEEN + _DIRECTION_MARKS: "", **_STAYING})
_ONE_FOR_ONE = _Shown({_LINE_ENDS: "\n", **_STAYING, **{one: one for one in "\r\t" + _UNSEEN}})


def _few_marks(text: str) -> str:
    """Limit the combining marks on one character; joiners and variation selectors, which have no width, count too."""
    kept, run = [], 0
    for character in text:
        combines = character in _JOINERS or unicodedata.category(character) in ("Mn", "Me")
        run = run + 1 if combines else 0
        if run <= MOST_MARKS:
            kept.append(character)
        elif run == MOST_MARKS + 1:
            kept.append(_REPLACED)
    return "".join(kept)


class NamedStream(io.TextIOBase):
    """A text stream over another whose errors name the stream. It has no ``buffer``, which would bypass it."""

    def __init__(self, inner: TextIO, name: str) -> None:
        self.inner, self.name = inner, name

    def write(self, text: str) -> int:
        """Write text. :raises OSError: naming the stream. :raises BrokenPipeError: if its reader left."""
        with self._naming():
            self.inner.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush; raises as ``write``."""
        with self._naming():
            self.inner.flush()

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(f"{self.name}: {error.strerror or error}; this output is lost.") from error

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
    """A stream that makes all text harmless."""

    def write(self, text: str) -> int:
        return super().write(harmless(text))


def behind(stream: TextIO) -> TextIO:
    """The stream below the safe one, which also takes bytes and escape sequences."""
    while (inner := getattr(stream, "inner", None) or getattr(stream, "rich_proxied_file", None)) is not None:
        stream = inner  # below ours, or below rich's while a bar is drawn
    return stream


def make_streams_safe() -> None:
    """Make stdout and stderr safe; closed streams count as empty.

    Characters that a stream's encoding lacks are escaped.
    """
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115
    for name in ("stdout", "stderr"):
        stream = behind(getattr(sys, name) or open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, cast(TextIO, SafeStream(stream, name)))


def silence(stream: TextIO) -> None:
    """Discard further output, also at exit, because the reader left or the disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
