"""Foreign text on its way to a terminal: what could drive the terminal, or turn its text around, never gets there."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"  # needed to write Persian and Indic scripts, and harmless
_REPLACED = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """One line of the text, safe to print: blanks for line ends and tabs, a mark for anything else that is not visible.

    Control and escape characters, C1, bidirectional controls, tags and lone surrogates are what is replaced.
    """
    return "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """As ``printable``, with line ends kept."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _shown(character: str) -> str:
    if character in "\n\r\t\v\f\x85\u2028\u2029":
        return " "
    if character in _JOINERS:
        return character
    return _REPLACED if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") else character
