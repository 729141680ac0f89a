"""Foreign text on its way to a terminal: what could drive the terminal, or turn its text around, never gets there.

All that this program did not write is foreign: documents, titles, names of files, metadata, questions, arguments,
configuration, and so every error that quotes one of them. ``streams`` puts what was forgotten through ``harmless``.
"""

from __future__ import annotations

import re
import unicodedata

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
