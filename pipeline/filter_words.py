"""Which words does a filter consist of? Names, texts, numbers and signs, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from deformer_qa.pipeline.errors import BadFilter

_BLANKS = re.compile(r"\s*")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SIGN = re.compile(r"[=!<>]=|[<>()\[\],.]")
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}
_MOST_DIGITS = 300
_SHOWN = 30
KEYWORDS = frozenset(("and", "or", "not", "in", "true", "false", "null"))

Kind = Literal["name", "keyword", "text", "number", "sign", "unknown", "end"]


@dataclass(frozen=True)
class Word:
    """A part of a filter that is not divided.

    :ivar value: of a text or number itself, of a name without its quotes, of a keyword in small letters
    :ivar column: where it begins, counted from 1
    :ivar shown: how a message calls it
    """

    kind: Kind
    value: Any
    column: int
    shown: str

    def is_one_of(self, *values: str) -> bool:
        """Whether it is one of these signs or keywords."""
        return self.kind in ("sign", "keyword") and self.value in values


def words(text: str) -> Iterator[Word]:
    """Its words in order, then an end without end.

    :raises BadFilter: at a text or name without its closing quote, an unknown escape, a number too large.
    """
    place = 0
    while True:
        found = _BLANKS.match(text, place)
        place = found.end() if found else place
        if place == len(text):
            yield Word("end", "", place + 1, "the end")
            continue
        word, place = _word(text, place)
        yield word


def _word(text: str, place: int) -> tuple[Word, int]:
    """The word that begins here, and where it ends."""
    first = text[place]
    if first in "\"'":
        return _text(text, place)
    if first == "`":
        return _quoted_name(text, place)
    if number := _NUMBER.match(text, place):
        return _number(text, number), number.end()
    if sign := _SIGN.match(text, place):
        return Word("sign", sign[0], place + 1, sign[0]), sign.end()
    end = place
    while end < len(text) and _is_of_name(text[end], first=end == place):
        end += 1
    if end == place:
        return Word("unknown", first, place + 1, ascii(first) if not first.isprintable() else first), place + 1
    name = text[place:end]
    if name.lower() in KEYWORDS:
        return Word("keyword", name.lower(), place + 1, f"the word {name}"), end
    return Word("name", name, place + 1, f"the name {_short(name)}"), end


def _is_of_name(character: str, *, first: bool) -> bool:
    """Letters of any script and ``_``; then digits, marks on letters and ``-`` too."""
    return character.isidentifier() if first else character == "-" or ("a" + character).isidentifier()


def _text(text: str, start: int) -> tuple[Word, int]:
    quote, place, made = text[start], start + 1, ""
    while place < len(text) and text[place] != quote:
        if text[place] == "\\":
            escaped = text[place + 1 : place + 2]
            if escaped and escaped not in _ESCAPES:
                raise BadFilter(f"\\{escaped}", r"\\, \", \', \n or \t (write \\ for a backslash)", text, place + 1)
            made += _ESCAPES.get(escaped, "")
            place += 2
        else:
            made += text[place]
            place += 1
    if place >= len(text):
        raise BadFilter(f"a text without its closing {quote}", "one", text, start + 1)
    return Word("text", made, start + 1, f"the text {quote}{_short(made)}{quote}"), place + 1


def _quoted_name(text: str, start: int) -> tuple[Word, int]:
    quoted = re.compile(r"`((?:[^`]|``)+)`").match(text, start)
    if quoted is None:
        raise BadFilter("a name without its closing `, or an empty one", "a name between two of them", text, start + 1)
    name = quoted[1].replace("``", "`")
    return Word("name", name, start + 1, f"the name `{_short(name)}`"), quoted.end()


def _number(text: str, number: re.Match[str]) -> Word:
    spelled = number[0]
    if len(spelled) > _MOST_DIGITS:
        raise BadFilter(f"a number of {len(spelled):,} digits", f"at most {_MOST_DIGITS}", text, number.start() + 1)
    value = float(spelled) if set(spelled) & set(".eE") else int(spelled)
    if value in (float("inf"), float("-inf")):
        raise BadFilter(f"the number {_short(spelled)}", "one below 1.8e308", text, number.start() + 1)
    return Word("number", value, number.start() + 1, f"the number {_short(spelled)}")


def _short(text: str) -> str:
    one_line = "".join(" " if character.isspace() else character for character in text[: _SHOWN + 1])
    return one_line if len(text) <= _SHOWN else one_line[:_SHOWN] + "…"
