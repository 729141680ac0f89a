"""Pick the words of a question that say what it looks for, and the names among them.

English function words are dropped, even if they are rare in a store of tables or code lists. Those of other languages
are left to BM25, which weighs frequent words less. A name is a code, a number of several parts, a file or a setting
(C-00087, RFC 2616, max_connections), or the only word of the question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

_IN_ENGLISH = """
    a an the this that these those
    i me my mine we our ours you your yours he him his she her hers it its they them their theirs
    am is are was were be been being do does did done doing has have had having
    can could would should shall will might must
    of in on at by for from to with into about as than and or but if nor so not there here
    who whom whose what which when where why how many much any some
"""
FUNCTION_WORDS = frozenset(_IN_ENGLISH.split())
"""A short list, without words that often mean more: "may" is a month, "us" a country, "no" stands before numbers."""

_AFTER_APOSTROPHE = frozenset(("s", "re", "ve", "ll", "d", "m"))
_NEGATED = "ain aren can couldn didn doesn don hadn hasn haven isn mightn mustn shan shouldn wasn weren won wouldn"
_BEFORE_NT = frozenset(_NEGATED.split())
_WORD = re.compile(r"(?<![\w'’&.-])[^\W\d_]+(?:['’][^\W\d_]+)*(?![\w'’&-]|\.\w)")

_TOKEN = re.compile(r"[^\s,;!?\"“”„«»‘()\[\]{}<>=|]+")
_PART = re.compile(r"[^\W_]+")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|s)", re.IGNORECASE)
_NUMBERED = re.compile(r"(?<![\w-])[A-Z]{2,8}\s\d[\w.-]*")  # RFC 2616, ISO 9001
_BETWEEN_PARTS = r"[\s_./:\\‐-―-]{0,2}"  # a code may be written with other marks: ERR 404, ERR-404, ERR404
_DASHES = "-‐‑‒–—"
_BEFORE = r"(?<![0-9A-Za-z])(?<![0-9A-Za-z][_-])(?<!\d\.)"
_AFTER = r"(?![_-]?[0-9A-Za-z]|\.\d)"
_MOST_NAMES = 8
_LONGEST_NAME = 100  # characters


@dataclass(frozen=True)
class Name:
    """The name of one thing in a question.

    :ivar text: as the question spells it
    :ivar pattern: finds the name in a passage, its parts adjoining; None if any form of the word is enough
    """

    text: str
    pattern: re.Pattern[str] | None


def content_words(question: str) -> str:
    """Return the question without its function words, or as it is if it has no others ("The Who").

    Words in capitals are kept as names (WHO, IT), also a capital A that is not the first word (Vitamin A), unless the
    whole question is in capitals.
    """
    is_loud = question.isupper()

    def kept(found: re.Match[str]) -> str:
        word = found.group()
        is_first = not question[: found.start()].strip()
        if not is_loud and word.isupper() and word != "I" and not (is_first and len(word) == 1):
            return word
        *before, ending = word.lower().replace("’", "'").split("'")
        base = "'".join(before)
        if ending == "t" and base in _BEFORE_NT:
            return " "
        if base and ending in _AFTER_APOSTROPHE:
            return " " if base in FUNCTION_WORDS else word[: len(base)]
        return " " if not base and ending in FUNCTION_WORDS else word

    content = _WORD.sub(kept, question)
    return content if _PART.search(content) else question


def names(question: str) -> list[Name]:
    """List the names in a question, each once; a question of a single word is its own name."""
    numbered = [found.group().rstrip(".-")[:_LONGEST_NAME] for found in _NUMBERED.finditer(question)]
    tokens = [token for token in _TOKEN.findall(_NUMBERED.sub(" ", question)) if _is_code(token)]
    tokens = [token for token in tokens if len(token) <= _LONGEST_NAME]
    found = {tuple(part.casefold() for part in _PART.findall(text)): text for text in (*tokens, *numbered)}
    if found:
        return [Name(text, _pattern(text)) for text in list(found.values())[:_MOST_NAMES]]
    words = question.split()
    parts = _PART.findall(words[0]) if len(words) == 1 and len(words[0]) <= _LONGEST_NAME else []
    if len(parts) > 1:
        return [Name(words[0], _pattern(words[0]))]
    return [Name(parts[0], None)] if parts else []


def _is_code(token: str) -> bool:
    """Whether a word has digits and other parts, joins words by "_" or "::", or is a file's name or an option."""
    parts = _PART.findall(token)
    if len(parts) < 2:
        return bool(parts) and not (parts[0].isdigit() or parts[0].isalpha() or _ORDINAL.fullmatch(parts[0]))
    core = token.strip("._-:/'’*+#@&%$€£~^`\\")
    has_digit = any(character.isdigit() for character in core)
    joins_words = re.search(r"[^\W_]_+[^\W_]|\w::\w", core) is not None
    is_file = re.fullmatch(r"[\w/-]*[^\W_]{2,}\.[^\W_]{2,}", core) is not None or token.startswith(("--", "/"))
    return has_digit or joins_words or is_file


def _pattern(name: str) -> re.Pattern[str]:
    """Compile a pattern for a whole name. Marks between two numbers must match: 4.2 is neither 42 nor 4-2."""
    spans = [found.span() for found in _PART.finditer(name)]
    parts = [re.escape(name[slice(*spans[0])])]
    for (_, end), (start, last) in pairwise(spans):
        if name[end - 1].isdigit() and name[start].isdigit():
            parts += [f"[{_DASHES}]" if mark in _DASHES else re.escape(mark) for mark in name[end:start]]
        else:
            parts.append(_BETWEEN_PARTS)
        parts.append(re.escape(name[start:last]))
    return re.compile(_BEFORE + "".join(parts) + _AFTER, re.IGNORECASE)
