"""What may reach a terminal: foreign text made harmless, and the escape sequences of our own libraries.

All that this program did not write is foreign: documents, titles, names of files, metadata, questions, arguments,
configuration, and so every error that quotes one of them. ``streams`` puts what was forgotten through ``harmless``.

``make_streams_safe`` puts a ``SafeStream`` in the place of stdout and stderr. All text written there by anybody (a
warning, a log, a traceback, a library) is made harmless; no escape sequence passes. Who may write some, a console or
the prompt, takes the stream behind it (``behind``) and answers for its text.
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

MOST_MARKS = 16  # on one character; no script needs as many, and hundreds cover the lines above and below

_REPLACED = "\N{REPLACEMENT CHARACTER}"
_LINE_ENDS = "\n\r\v\f\x85\u2028\u2029"
_JOINERS = "\u200c\u200d"  # needed to write Persian and Indic scripts, and emoji
_SIGNS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # Cf, and yet visible
_UNSEEN = "\u00ad\u180e\u200b\u2060\u2061\u2062\u2063\u2064\ufeff"  # soft hyphens and the like, as PDFs are full of
_DIRECTION_MARKS = "\u061c\u200e\u200f"  # one character each, of no width; all that opens a run is replaced
_LONE_RETURN = re.compile(r"\r(?!\n)")


def printable(text: str) -> str:
    """One line of the text, safe to print: blanks for line ends and tabs, a mark for anything else that is not visible.

    Control and escape characters, C1, bidirectional controls, tags and lone surrogates are what is replaced. Soft
    hyphens and other characters that nobody sees vanish. Of more than ``MOST_MARKS`` combining marks on one character
    the rest is one mark of ours.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = text.translate(_ON_A_LINE)
    return shown if shown.isascii() else _few_marks(shown)


def printable_lines(text: str) -> str:
    """As ``printable``, with line ends kept."""
    return "\n".join(map(printable, text.replace("\r\n", "\n").split("\n")))


def harmless(text: str) -> str:
    """The text one character for one, so that offsets hold: tabs, "\\n" and "\\r\\n" stay, other line ends are "\\n".

    What ``printable`` replaces is replaced, and so are direction marks; unseen characters and combining marks stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return _LONE_RETURN.sub("\n", text).translate(_ONE_FOR_ONE)


class _Shown(dict[int, str]):
    """For ``str.translate``: what is shown for a character; filled as characters come."""

    def __init__(self, special: dict[str, str]) -> None:
        super().__init__({ord(one): shown for characters, shown in special.items() for one in characters})

    def __missing__(self, code: int) -> str:
        hidden = unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Co", "Cn")
        shown = _REPLACED if hidden else chr(code)
        if code < 0x10000:  # nobody fills it with all there are
            self[code] = shown
        return shown


_STAYING = {one: one for one in _JOINERS + _SIGNS}
_ON_A_LINE = _Shown({_LINE_ENDS + "\t": " ", _UNSEEN + _DIRECTION_MARKS: "", **_STAYING})
_ONE_FOR_ONE = _Shown({_LINE_ENDS: "\n", **_STAYING, **{one: one for one in "\r\t" + _UNSEEN}})


def _few_marks(text: str) -> str:
    """Cut down what combines with one character; joiners and selectors of variants, which have no width, count."""
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
