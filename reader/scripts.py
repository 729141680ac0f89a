"""Finds ends of sentences and clauses in scripts other than Latin, Greek and Cyrillic, and places not to cut.

Characters are given as ranges for a regular expression, and by Unicode's categories: see Unicode Standard Annexes 14
(line breaking) and 29 (text segmentation), whose rules for these scripts need dictionaries to follow in full.
"""

from __future__ import annotations

import re
import unicodedata

SENTENCE_ENDS = (
    r"\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e"  # Armenian, Arabic, Syriac, NKo, Samaritan
    r"\u0964\u0965\u0e5a\u0e5b\u0f0d-\u0f12\u0f14\u104b\u1362\u1367\u1368"  # dandas, Thai, Tibetan, Burmese, Ethiopic
    r"\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945"  # Syllabics, Philippine, Khmer, Mongolian, Limbu
    r"\u1aa8-\u1aab\u1b4e\u1b4f\u1b5a\u1b5b\u1b5e\u1b5f\u1b7d-\u1b7f\u1c3b\u1c3c\u1c7e\u1c7f"  # Tai Tham to Ol Chiki
    r"\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb"
    r"\ufe12\ufe15\ufe16\ufe56\ufe57\uff61"  # vertical, small and halfwidth forms
    r"\U00010a56\U00010a57\U00010f55-\U00010f59\U00010f86-\U00010f89\U00011047\U00011048\U000110be-\U000110c1"
    r"\U00011141-\U00011143\U000111c5\U000111c6\U000111cd\U000111de\U000111df\U00011238\U00011239\U0001123b\U0001123c"
    r"\U000112a9\U000113d4\U000113d5\U0001144b\U0001144c\U000115c2\U000115c3\U000115c9-\U000115d7\U00011641\U00011642"
    r"\U0001173c-\U0001173e\U00011944\U00011946\U00011a42\U00011a43\U00011a9b\U00011a9c\U00011c41\U00011c42"
    r"\U00011ef7\U00011ef8\U00011f43\U00011f44\U00016a6e\U00016a6f\U00016af5\U00016b37\U00016b38\U00016b44"
    r"\U00016d6e\U00016d6f\U00016e98\U0001bc9f"
)
"""Unicode's property Sentence_Terminal without ``! . ?`` and ``。！？`` (version 1 of the borders has its own rules for
those), the fullwidth point, the Burmese comma and marks of Latin text; plus shads and Thai's end of a chapter."""

_THAI_AND_LAO = r"\u0e01-\u0e2e\u0e30-\u0e3a\u0e40-\u0e45\u0e47-\u0e4e\u0e81-\u0ec5\u0ec8-\u0ecd\u0edc-\u0edf"
SENTENCE_END = (
    rf"[{SENTENCE_ENDS}](?: ?[{SENTENCE_ENDS}])*+[\"'”’»›」』）)\]】》〉]*\s*"
    r"|(?<![．﹒])[．﹒]++(?![0-9A-Za-z０-９Ａ-Ｚａ-ｚ])[」』”’）]*\s*"  # not within a number
    rf"|(?<=[{_THAI_AND_LAO}])[ \u00a0\u3000]++(?=[{_THAI_AND_LAO}])"  # no marks: blanks separate their clauses
)
"""A pattern for sentence ends, with the blanks after them, that version 1 of the borders did not know."""

_WITHOUT_BLANKS = re.compile(
    r"[\u0e01-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1100-\u11ff\u1780-\u17dd\u1950-\u19df\u1a20-\u1aad\u1b00-\u1b4f"
    r"\u3005-\u3007\u3041-\u318e\u31a0-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua9ff\uaa60-\uaadf\uac00-\ud7fb"
    r"\uf900-\ufaff\uff66-\uffdc\U00016fe0-\U00018cff\U0001aff0-\U0001b16f\U00020000-\U0003fffd]"
)
"""Letters and marks of scripts without blanks between words, and of Korean, whose words may be very long."""

_CLAUSE_ENDS = frozenset("，、；：､﹐﹑﹔﹕၊፡፣፤፥៖་༌\u200b")
_STAYS_WITH_THE_LETTER_BEFORE = frozenset("ะาำๅๆฯະາຳໆー々ゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ")
_STAYS_WITH_THE_LETTER_AFTER = frozenset("เแโใไເແໂໃໄ\u200c\u200d")
_GENERAL_MARKS = re.compile(
    r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u2de0-\u2dff\ufe00-\ufe2f]"
)
_VIRAMA = 9  # the combining class of signs that join a consonant to the next


def is_without_blanks(text: str) -> bool:
    """Whether a text holds letters of a script without blanks between words."""
    return _WITHOUT_BLANKS.search(text) is not None


def ends_clause(text: str, at: int) -> bool:
    """Whether ``text[:at]`` ends with a clause or word of a script without blanks."""
    return text[at - 1] in _CLAUSE_ENDS and not _parts_a_syllable(text, at)


def is_mark(character: str) -> bool:
    """Whether a character is written on, under or around the letter before it."""
    return unicodedata.category(character).startswith("M")


def is_mark_of_a_script(character: str) -> bool:
    """Whether a character is a mark of its own script, not one that Latin, Greek, Cyrillic or symbols can carry."""
    return is_mark(character) and not _GENERAL_MARKS.match(character)


def divides(text: str, at: int) -> bool:
    """Whether a cut before ``text[at]`` falls between two letters, or a letter and a sign, of a script without blanks.

    False if it falls into a syllable, or separates a bracket or stop from its text.
    """
    return _is_beside_letters(text, at) and not _parts_a_syllable(text, at)


def parts_letters(text: str, at: int) -> bool:
    """Whether a cut before ``text[at]`` splits a syllable of such a script, or separates a mark from its letter."""
    return is_mark_of_a_script(text[at]) or (_is_beside_letters(text, at) and _parts_a_syllable(text, at))


def _is_beside_letters(text: str, at: int) -> bool:
    return at > 0 and _WITHOUT_BLANKS.search(text, at - 1, at + 1) is not None


def _parts_a_syllable(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    return (
        is_mark(after)
        or after in _STAYS_WITH_THE_LETTER_BEFORE
        or before in _STAYS_WITH_THE_LETTER_AFTER
        or unicodedata.combining(before) == _VIRAMA
        or unicodedata.category(after) in ("Pe", "Pf", "Po")
        or unicodedata.category(before) in ("Ps", "Pi")
    )
