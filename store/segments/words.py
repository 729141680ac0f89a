"""How a text is spelled to be split into words: only texts of some scripts change.

Scripts without blanks between words, and Korean, whose words carry their particles, are spelled as letters and
overlapping pairs of letters. A vowel sign becomes a private-use character, which FTS5 counts as part of a word. Other
texts stay unchanged, so their words are the same as before this rule.
docs/reference/format.md defines it, under "Spelling".
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

_IN_PAIRS = (
    r"\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"  # Han
    r"\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Kana
    r"\u3105-\u312f\u31a0-\u31bf\ua000-\ua48c"  # Bopomofo, Yi
    r"\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb\uffa0-\uffdc"  # Hangul
    r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf"  # Thai, Lao
    r"\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a-\uaa7f"  # Burmese
    r"\u1780-\u17d3\u17d7\u17dc\u17dd\u1950-\u1974\u1980-\u19c9\u1a20-\u1a7c\uaa80-\uaadd"  # Khmer, Tai
    r"\u1b00-\u1b4c\ua980-\ua9c0"  # Balinese, Javanese
)
_OTHER_FORMS = r"\u0900-\u0dff\u0f00-\u0fff\ufb1d-\ufdff\ufe70-\ufefc\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"
_POINTS = (
    r"\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06ed"
)
_MARKS = {
    code: 0xF0000 + code
    for code in (*range(0x0700, 0x1AB0), *range(0x1B00, 0x1D00), *range(0xA800, 0xAC00))
    if unicodedata.category(chr(code)).startswith("M")
}

_SPELLED_OTHERWISE = re.compile(f"[{_IN_PAIRS}{_OTHER_FORMS}{_POINTS}\u0700-\u1aaf\u1b00-\u1cff\ua800-\uabff]")
_FORMS = re.compile(f"[{_IN_PAIRS}{_OTHER_FORMS}][{_IN_PAIRS}{_OTHER_FORMS}\u200b-\u200d\u2060]*")
_INVISIBLE = str.maketrans("", "", "\u200b\u200c\u200d\u2060")
_OPTIONAL = re.compile(f"[{_POINTS}]+")
_RUN = re.compile(f"[{_IN_PAIRS}]+")
_LETTER = re.compile(f".[{''.join(map(chr, _MARKS))}]*", re.DOTALL)


def spelled(text: str) -> str:
    """The text as FTS5 must split it into words; unchanged if it has none of the scripts above."""
    if text.isascii() or not _SPELLED_OTHERWISE.search(text):
        return text
    text = _FORMS.sub(lambda run: unicodedata.normalize("NFKC", run.group().translate(_INVISIBLE)), text)
    text = _OPTIONAL.sub("", text)
    return _RUN.sub(_in_pairs, text).translate(_MARKS)


def _in_pairs(run: re.Match[str]) -> str:
    """Each letter alone and with the next one, between blanks; a letter includes its signs."""
    letters = _LETTER.findall(run.group())
    return " ".join(["", *letters, *map("".join, pairwise(letters)), ""])
