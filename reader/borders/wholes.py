"""Finds strings that no answer may split: words, numbers, codes, paths, options and addresses."""

from __future__ import annotations

import re

from deformer_qa.reader.scripts import is_without_blanks

_MONEY = r"$€£¥₹₽₩¢"
_BETWEEN_DIGITS = r"(?<=\d)(?:[.,:/'’]|[\u00a0\u202f](?=\d{3}(?!\d)))(?=\d)"
_HYPHEN = (  # not in 1939-1945 and 1939-45, which are two years
    r"(?<=\d)-(?=\d)(?!(?<=\b[12]\d{3}-)(?:[12]\d{3}|\d{2})(?![\d-]))"
    r"|(?<=\d)(?<!\d{3})–(?=\d{1,2}(?!\d))"  # a result; between longer numbers it means "to"
    r"|(?<=[A-Z])-(?=\d)|(?<=\d)-(?=[A-Z](?![a-z]))"
)
_POINT = r"(?<![a-z]{3})\.(?=\w)|\.(?=[a-z\d_])"  # not a sentence end without a blank after it
_POWER = r"\^[-−]?(?=\w)|(?<=\d)⁻(?=[⁰¹²³⁴-⁹])|(?<=\d)\ ?[×x]\ ?(?=10(?:\^|[⁰¹²³⁴-⁹⁻]))"
_APOSTROPHE = r"(?<=n)['’](?=t\b)|(?<=\b[OD])['’](?=[A-Z])"
_JOINT = rf"(?:{_BETWEEN_DIGITS}|{_HYPHEN}|{_POINT}|{_POWER}|{_APOSTROPHE}|::(?=\w))"

_WHOLE = re.compile(
    rf"""
    (?:https?|ftp|file)://[^\s<>"'()\[\]{{}}]*[\w/]
    | (?<![\w.+-])[\w.+-]++@\w[\w-]*(?:\.\w[\w-]*)+
    | (?<![\w/.<\])~])(?:~|\.\.?)?/(?=[\w.~])(?:[\w.~%+@/-]*[\w/])?
    | (?<!\w)[A-Za-z]:\\[^\s"<>|]*\w
    | (?<![\w-])--?[A-Za-z](?:[\w-]*\w)?
    | (?:\b[A-Za-z]\.){{2,}}
    | (?: (?<!\w)[A-Z]{{0,3}}[{_MONEY}]\ ?(?=[-−.]?\d) | (?<![\w)\]])[-+−±](?=\.?\d) | (?<![^\s"'`(\[])[.\#@](?=\w) )*
      \w+ (?: {_JOINT}\w+ )*
      (?: (?<=\d)\ ?(?: [%‰] | °(?:[CF]\b)? | [{_MONEY}](?!\ ?\d) ) | (?<=[A-Za-z])(?: \+\+ | \# )(?!\w) )?
    """,
    re.VERBOSE,
)


def wholes(text: str) -> list[tuple[int, int]]:
    """Start and end of each, in order. Scripts without blanks have none, so their tokens may be split anywhere."""
    found = [match.span() for match in _WHOLE.finditer(text)]
    if text.isascii() or not is_without_blanks(text):
        return found
    return [(start, end) for start, end in found if not is_without_blanks(text[start:end])]
