"""Could this be a text that somebody wrote? What a wrong encoding does to a text is seen at its letters' neighbours.

'Größe' becomes 'GrцЯe', 'Gr÷▀e' or 'GrˆﬂE': two alphabets in a word, a sign or a capital inside one. No language is
known here, so that a text of any is judged alike.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_BEYOND = re.compile(r"[^\x00-\x7f]")
_NEVER = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff]")
_ALPHABETS = frozenset({"LATIN", "GREEK", "CYRILLIC", "HEBREW", "ARABIC"})  # others stand beside Latin words unspaced
_ACCENTED_WORD = re.compile(r"[À-ÖØ-öø-ɏ]{5,}|(?<![^\W\d_])[À-ÖØ-öø-ɏ]{3,4}(?![^\W\d_]|[\u0300-\u036f])")
_IN_WORDS = frozenset("’·‐‑–—־׳״")
_LINES = frozenset("─═│║░▒▓█▄▀■")
_FRACTIONS = frozenset("¼½¾")
_BESIDE_LETTERS = frozenset("©®™°№")
_LAST_IN_WORD = frozenset("ςךםןףץةى")
_MOST_LOOKED_AT = 4_096  # characters
_LONGEST_PATTERN = 24  # characters beyond ASCII
_FEWEST_DIFFERENT = 5  # of them, in a text that has mostly such
_MOST_ODD = 0.02  # of the characters beyond ASCII; names of products and formulas are in real texts too
_SIGNS = re.compile("[“”„‘’‚–—…]")
_CLEAR_SIGNS = re.compile(  # pairs, English endings, dashes with spaces: letters of another encoding do not fall so
    r"(?<![^\W\d_])“[^“”„–—]{1,400}”(?![^\W\d_])|(?<![^\W\d_])„[^“”„–—]{1,400}[“”](?![^\W\d_])"
    r"|(?<=[a-z])’(?=(?:s|t|re|ll|ve|d|m)\b)|(?<= )[–—](?= )"
)
_SPACED_DASH = re.compile("(?<= )[–—](?= )")
_OTHER_SIGNS = re.compile(
    r"(?<![^\W\d_])[“„‘‚’](?=\w)|(?<=[^\s])[”“’‘](?![^\W\d_])|(?<=\w)’(?=\w)|(?<=\w)[–—](?=\w)|…|^[–—](?=\s)",
    re.MULTILINE,
)


def has_controls(text: str) -> bool:
    """Whether there are control characters other than white space, or code points that are no characters."""
    return _NEVER.search(text) is not None


def odd_places(text: str) -> int | None:
    """How many characters beyond ASCII stand where none stands in writing; None where these are too many for a text.

    Only the first 4,096 of them are looked at.
    """
    if has_controls(text) or _is_a_pattern(text):
        return None
    n_seen = 0
    n_odd = sum(len(run[0]) for run in _ACCENTED_WORD.finditer(text))
    for found in _BEYOND.finditer(text):
        at = found.start()
        n_seen += 1
        n_odd += _is_odd(text[at - 1 : at] if at else "", text[at], text[at + 1 : at + 2])
        if n_seen == _MOST_LOOKED_AT:
            break
    return n_odd if n_odd <= _MOST_ODD * n_seen else None


def is_written(text: str) -> bool:
    """Whether there are only characters that are written down: assigned, not private, no controls but white space.

    Looked at: 4,096 each of the beginning, the middle and the end, and controls everywhere.
    """
    if has_controls(text):
        return False
    middle = len(text) // 2
    for part in (text[:_MOST_LOOKED_AT], text[middle : middle + _MOST_LOOKED_AT], text[-_MOST_LOOKED_AT:]):
        if any(unicodedata.category(character) in ("Cn", "Co", "Cs") for character in set(part)):
            return False
    return True


def has_windows_signs(text: str) -> bool:
    """Whether the quotes and dashes of a text read as Windows-1252 stand where such signs stand, and there are some.

    They have the same bytes in all Windows code pages, and in the encodings of DOS and the Macintosh are letters.
    """
    clear = _CLEAR_SIGNS.findall(text)
    n_clear = sum(len(_SIGNS.findall(sign)) for sign in clear)
    rest, n_other = _OTHER_SIGNS.subn("", text)
    return n_clear > 0 and n_other <= 2 * n_clear and not _SIGNS.search(_SPACED_DASH.sub("", rest))


def _is_a_pattern(text: str) -> bool:
    """Whether a few characters, repeated, are all there is: filling, no text."""
    visible = "".join(text.split())
    beyond = _BEYOND.findall(visible)
    return len(beyond) >= _LONGEST_PATTERN and 2 * len(beyond) >= len(visible) and len(set(beyond)) < _FEWEST_DIFFERENT


def _is_odd(before: str, character: str, after: str) -> bool:
    category = unicodedata.category(character)
    if category in ("Cn", "Co", "Cs"):
        return True
    if category in ("Mn", "Mc"):
        return not (before and unicodedata.category(before)[0] in "LM")
    if category[0] == "L":
        return _is_odd_letter(before, character, after)
    is_sign = category[0] == "S"
    if is_sign and before > "\x7f" and before != character and unicodedata.category(before)[0] == "S":
        return before not in _LINES and character not in _LINES
    if character in _FRACTIONS or (is_sign and character not in _BESIDE_LETTERS):
        return _alphabet(before) != "" or _alphabet(after) != ""
    return character not in _IN_WORDS and _alphabet(before) != "" != _alphabet(after)


def _is_odd_letter(before: str, letter: str, after: str) -> bool:
    own = _alphabet(letter)
    if not own:
        return False
    for neighbour in (before, after):
        if neighbour.isalpha() and _alphabet(neighbour) not in ("", own):
            return True
    if letter in _LAST_IN_WORD and after.isalpha():
        return True
    if (before.islower() and letter.isupper()) or (letter.islower() and after.isupper()):
        return True
    cased = letter.isupper() or letter.islower()
    return cased and (before.isdigit() or after.isdigit())


@cache
def _alphabet(letter: str) -> str:
    """'LATIN' or another alphabet whose words are its own, else ''; of '' too."""
    script = unicodedata.name(letter, "").partition(" ")[0] if letter.isalpha() else ""
    return script if script in _ALPHABETS else ""
