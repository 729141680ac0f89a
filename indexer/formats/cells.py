"""How does a spreadsheet show a stored value? Numbers by their number format, dates as ISO 8601, all on one line.

Of number formats those are followed that fix decimals, group thousands, or add a percent sign, a currency or a unit;
any other number is shown as it is stored.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

_SYMBOL = re.compile(r"\[\$([^\]-]*)[^\]]*\]")  # [$€-407]
_PART = re.compile(r'"([^"]*)"|\\(.)|\[[^\]]*\]|_.|\*.|([^"\\])', re.DOTALL)
_NUMBER = re.compile(r"(?P<whole>[#0?,]*[#0?])(?:\.(?P<decimals>[#0?]+))?")
_PLACES = frozenset("#0?,.")
_LETTER = "\ue000"  # a place of the number among what is written as it is
_MOST_DIGITS = 15


class _Shown(NamedTuple):
    """How numbers of a format are shown.

    :ivar before, after: what stands around the digits
    :ivar least, most: decimals
    :ivar grouped: whether thousands are set apart
    """

    before: str
    after: str
    least: int
    most: int
    grouped: bool
    percent: bool


def shown(value: object, number_format: str = "General") -> str:
    """What a person sees in a cell, without line ends."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, number_format)
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    return " ".join(str(value).split())


def _moment(value: datetime) -> str:
    if value.time() == time():
        return value.date().isoformat()
    return value.isoformat(" ", "seconds" if value.second else "minutes")


def _duration(value: timedelta) -> str:
    minutes, seconds = divmod(round(abs(value.total_seconds())), 60)
    sign = "-" if value < timedelta() else ""
    return f"{sign}{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")


def _number(value: float, number_format: str) -> str:
    rule = _rule(number_format)
    if rule is None or not abs(value) < 10**_MOST_DIGITS:
        return f"{value:.{_MOST_DIGITS}g}" if isinstance(value, float) else str(value)
    number = abs(value) * (100 if rule.percent else 1)
    digits = f"{number:{',' if rule.grouped else ''}.{rule.most}f}"
    if rule.most > rule.least:
        optional = len(digits) - (rule.most - rule.least)
        digits = (digits[:optional] + digits[optional:].rstrip("0")).rstrip(".")
    sign = "-" if value < 0 and digits.strip("0.,") else ""
    return f"{sign}{rule.before}{digits}{rule.after}".strip()


@lru_cache(maxsize=1_000)
def _rule(number_format: str) -> _Shown | None:
    """How a format shows a positive number; None where it is not one of those that are followed."""
    written = _SYMBOL.sub(lambda symbol: f'"{symbol[1]}"', number_format[:200])
    pattern, literals = "", []
    for part in _PART.finditer(written):
        quoted, escaped, plain = part.groups()
        if plain == ";":
            break
        if plain is not None and (plain in _PLACES or plain.isalpha()):
            pattern += plain
        elif literal := quoted or escaped or plain:
            pattern += _LETTER
            literals.append(literal)
    number = _NUMBER.search(pattern)
    if number is None:
        return None
    before, after = pattern[: number.start()], pattern[number.end() :]
    if (before + after).strip(_LETTER):
        return None  # letters and further places: exponents, fractions, thousands left out
    texts = "".join(literals[: len(before)]), "".join(literals[len(before) :])
    decimals = number["decimals"] or ""
    return _Shown(
        *texts, decimals.count("0"), len(decimals), grouped="," in number["whole"], percent="%" in "".join(texts)
    )
