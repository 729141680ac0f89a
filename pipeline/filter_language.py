"""Parse the language of `--where`, such as ``year >= 2020 and lang == "en"``, and point at errors in it.

::

    some       := every ("or" every)*
    every      := single ("and" single)*
    single     := "not" single | "(" some ")" | comparison
    comparison := field ("==" | "!=") value | field ("<" | "<=" | ">" | ">=") (text | number)
                | field ["not"] "in" "[" [value ("," value)*] "]" | value ["not"] "in" field | field "contains" text
    field      := name ("." name)*
    value      := text | number | "true" | "false" | "null"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from deformer_qa.pipeline.errors import BadFilter
from deformer_qa.pipeline.filters import Contains, Field, Filter, Member, OneOf, Ordered, Part
from deformer_qa.store.conditions import Every, Not, Order, Scalar, Some

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
    """A token of a filter: a name, keyword, text, number or sign.

    :ivar value: a text or number itself, a name without its quotes, a keyword in lower case
    :ivar column: where it begins, in characters from 1
    :ivar shown: how a message names it
    """

    kind: Kind
    value: Any
    column: int
    shown: str

    def is_one_of(self, *values: str) -> bool:
        """Whether it is one of these signs or keywords."""
        return self.kind in ("sign", "keyword") and self.value in values


def words(text: str) -> Iterator[Word]:
    """Yield the words of a filter in order, then the word "end" for ever.

    :raises BadFilter: at a text or name without its closing quote, an unknown escape or a number that is too large.
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
    """Return the word that begins here, and where it ends."""
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
    """Whether a name may have this character: letters of any script and ``_``; later also digits, marks and ``-``."""
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


MOST_CHARACTERS = 10_000
MOST_COMPARISONS = 100
DEEPEST = 50

_EXAMPLE = 'a comparison such as year >= 2020 or lang == "en"'
_A_VALUE = "a text in quotes, a number, true, false or null"
_OPERATORS = '==, !=, <, <=, >, >=, in, "not in" or contains'
_CONSTANTS = {"true": True, "false": False, "null": None}


def parsed_filter(text: str) -> Filter:
    """Parse the text of a filter.

    :raises BadFilter: if the text is malformed, too long, too deep or not Unicode; the message points at the place.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadFilter(f"{len(text):,} characters", f"at most {MOST_CHARACTERS:,}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadFilter("a byte that is not UTF-8", "Unicode text", text, error.start + 1) from None
    return Filter(text, _Parser(text).whole())


class _Parser:
    """Parse the words in one pass from left to right, by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text, self._words = text, words(text)
        self._word = next(self._words)
        self._n_comparisons = 0

    def whole(self) -> Part:
        if self._is("end"):
            raise BadFilter("nothing", _EXAMPLE)
        part = self._some(0)
        if not self._is("end"):
            raise self._unexpected("and, or or the end")
        return part

    def _some(self, depth: int) -> Part:
        return self._joined("or", self._every, Some, depth)

    def _every(self, depth: int) -> Part:
        return self._joined("and", self._single, Every, depth)

    def _joined(self, word: str, part: Callable[[int], Part], made: type[Every[Part] | Some[Part]], depth: int) -> Part:
        parts = [part(depth)]
        while self._word.is_one_of(word):
            self._next()
            parts.append(part(depth))
        return made(tuple(parts)) if len(parts) > 1 else parts[0]

    def _single(self, depth: int) -> Part:
        if not self._word.is_one_of("not", "("):
            return self._comparison()
        if depth == DEEPEST:
            raise self._unexpected(f"at most {DEEPEST} parentheses and nots inside each other")
        if self._next().value == "not":
            return Not(self._single(depth + 1))
        part = self._some(depth + 1)
        if not self._word.is_one_of(")"):
            raise self._unexpected("and, or or )")
        self._next()
        return part

    def _comparison(self) -> Part:
        self._n_comparisons += 1
        if self._n_comparisons > MOST_COMPARISONS:
            raise self._unexpected(f"at most {MOST_COMPARISONS} comparisons")
        if self._is("text", "number") or self._word.is_one_of(*_CONSTANTS):
            return self._membership(self._value())
        if not self._is("name"):
            raise self._unexpected(_EXAMPLE)
        field, word = self._field(), self._word
        if word.is_one_of("==", "!="):
            self._next()
            equal = OneOf(field, (self._value(),))
            return equal if word.value == "==" else Not(equal)
        if word.is_one_of("<", "<=", ">", ">="):
            self._next()
            if not self._is("text", "number"):
                raise self._unexpected("a text in quotes or a number")
            return Ordered(field, cast(Order, word.value), self._next().value)
        if word.is_one_of("in", "not"):
            is_negated = self._in(_OPERATORS)
            among = OneOf(field, self._list())
            return Not(among) if is_negated else among
        if word.kind == "name" and word.value == "contains":
            self._next()
            if not self._is("text"):
                raise self._unexpected("a text in quotes")
            return Contains(field, self._next().value)
        raise self._unexpected(_OPERATORS)

    def _membership(self, value: Scalar) -> Part:
        is_negated = self._in('in or "not in", since a comparison begins with its field')
        member = Member(self._field(), value)
        return Not(member) if is_negated else member

    def _in(self, expected: str) -> bool:
        """Consume ``in`` or ``not in``; return whether it is the latter."""
        is_negated = self._word.is_one_of("not")
        if is_negated:
            self._next()
        if not self._word.is_one_of("in"):
            raise self._unexpected("in" if is_negated else expected)
        self._next()
        return is_negated

    def _field(self) -> Field:
        keys = [self._name()]
        while self._word.is_one_of("."):
            self._next()
            keys.append(self._name())
        return Field(tuple(keys))

    def _name(self) -> str:
        if not self._is("name"):
            raise self._unexpected("the name of a field (an odd one between ` and `)")
        return cast(str, self._next().value)

    def _list(self) -> tuple[Scalar, ...]:
        if not self._word.is_one_of("["):
            raise self._unexpected('a list such as ["en", "de"]')
        self._next()
        values: list[Scalar] = []
        while not self._word.is_one_of("]"):
            if values:
                if not self._word.is_one_of(","):
                    raise self._unexpected(", or ]")
                self._next()
            values.append(self._value())
        self._next()
        return tuple(values)

    def _value(self) -> Scalar:
        if self._word.is_one_of(*_CONSTANTS):
            return _CONSTANTS[self._next().value]
        if not self._is("text", "number"):
            raise self._unexpected(_A_VALUE)
        return cast(Scalar, self._next().value)

    def _is(self, *kinds: Kind) -> bool:
        return self._word.kind in kinds

    def _next(self) -> Word:
        """Return the current word and move on to the next."""
        word, self._word = self._word, next(self._words)
        return word

    def _unexpected(self, expected: str) -> BadFilter:
        return BadFilter(self._word.shown, expected, self._text, self._word.column)
