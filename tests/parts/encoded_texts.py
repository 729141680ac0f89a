"""Texts of 31 languages in the encodings they were written in: for tests and for benchmarks/text_encodings.py."""

from __future__ import annotations

import random
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path

PARAGRAPHS: dict[str, str] = tomllib.loads(Path(__file__).with_name("paragraphs.toml").read_text(encoding="utf-8"))

_WEST = ("cp1252", "iso8859-1", "iso8859-15", "mac-roman", "cp850", "cp437")
_CENTRAL = ("cp1250", "iso8859-2", "cp852", "mac-latin2")
_BALTIC = ("cp1257", "iso8859-13", "iso8859-4", "cp775")
ENCODINGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("english", "french", "german", "spanish", "portuguese"), _WEST),
    **dict.fromkeys(("swedish", "danish", "finnish", "icelandic"), _WEST),
    **dict.fromkeys(("polish", "czech", "hungarian", "croatian"), _CENTRAL),
    "romanian": (*_CENTRAL, "iso8859-16"),
    "turkish": ("cp1254", "iso8859-9", "cp857", "mac-turkish"),
    **dict.fromkeys(("estonian", "latvian", "lithuanian"), _BALTIC),
    "russian": ("cp1251", "koi8-r", "iso8859-5", "cp866", "mac-cyrillic"),
    "ukrainian": ("cp1251", "koi8-u", "iso8859-5", "cp1125", "mac-cyrillic"),
    "bulgarian": ("cp1251", "iso8859-5", "cp855", "cp866", "mac-cyrillic"),
    "serbian": ("cp1251", "iso8859-5", "cp855", "mac-cyrillic"),
    "greek": ("cp1253", "iso8859-7", "cp737", "cp869", "mac-greek"),
    "hebrew": ("cp1255", "iso8859-8", "cp862"),
    "arabic": ("cp1256", "iso8859-6", "cp720"),
    "vietnamese": ("cp1258",),
    "thai": ("cp874", "tis-620", "iso8859-11"),
    "japanese": ("shift_jis", "cp932", "euc_jp", "iso2022_jp"),
    "korean": ("euc_kr", "cp949", "johab", "iso2022_kr"),
    "chinese_simplified": ("gb2312", "gbk", "gb18030", "hz"),
    "chinese_traditional": ("big5", "cp950", "big5hkscs", "gb18030"),
}
UNMARKED = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")

_PLAINER = str.maketrans(dict(zip("’‘“”„«»–—șțȘȚ", '\'\'"""""--şţŞŢ', strict=True)) | {"…": "..."})
_TONES = "\u0300\u0301\u0303\u0309\u0323"


def written(text: str, encoding: str) -> str | None:
    """The text as somebody writes it who has only this encoding's signs; None where it lacks letters."""
    if encoding == "cp1258":  # its tones are marks of their own
        text = "".join(map(_with_tone_apart, text))
    for possible in (text, text.translate(_PLAINER)):
        if not (missing := {character for character in possible if not _has(encoding, character)}):
            return possible
    if any(character.isalpha() for character in missing):
        return None
    return "".join(character for character in possible if character not in missing)


def sentences(text: str) -> list[str]:
    """Its sentences, in its order."""
    return [part for part in re.split(r"(?<=[.!?。？！”»“])\s*(?=\S)", text) if part]


def sample(text: str, encoding: str, n_bytes: int, chance: random.Random) -> str:
    """About so many bytes of whole characters, from the start of some sentence; sentences are repeated as needed."""
    parts = sentences(text)
    first = chance.randrange(len(parts))
    parts = parts[first:] + parts[:first]
    space = " " if " " in text else ""
    while len((joined := space.join(parts)).encode(encoding)) < n_bytes:
        again = sentences(text)
        chance.shuffle(again)
        parts += again
    least, most = 0, len(joined)
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if len(joined[:middle].encode(encoding)) <= n_bytes else (least, middle - 1)
    return joined[:least]


def samples(n_bytes: int, n_each: int, chance: random.Random) -> Iterator[tuple[str, str, str]]:
    """(language, encoding, text), for every encoding of every language; none that is plain ASCII."""
    for language, encodings in ENCODINGS.items():
        for encoding in encodings + UNMARKED:
            text = written(PARAGRAPHS[language], encoding)
            for _ in range(n_each if text else 0):
                part = sample(text or "", encoding, n_bytes, chance)
                if encoding in UNMARKED or not part.isascii():
                    yield language, encoding, part


def in_english(kind: str, n_each: int, chance: random.Random) -> Iterator[tuple[str, str, str]]:
    """(language, encoding, text): words ("3 words") or a sentence ("1 sentence") in an English page."""
    english = PARAGRAPHS["english"].translate(_PLAINER).replace("é", "e").replace("ï", "i").replace("£", "GBP ")
    for language, encodings in ENCODINGS.items():
        for encoding in encodings:
            text = written(PARAGRAPHS[language], encoding)
            for _ in range(n_each if text else 0):
                words = [word[:12] for word in re.findall(r"\w+", text or "") if not word.isascii()]
                whole = kind.endswith("sentence")
                foreign = [chance.choice(sentences(text or ""))] if whole else chance.choices(words, k=int(kind[0]))
                page = english.split(" ")
                for part in foreign:
                    page.insert(chance.randrange(1, len(page)), part)
                yield language, encoding, " ".join(page)


def _with_tone_apart(character: str) -> str:
    letter = unicodedata.normalize("NFD", character)
    tones = "".join(mark for mark in letter[1:] if mark in _TONES)
    rest = letter[0] + "".join(mark for mark in letter[1:] if mark not in _TONES)
    return unicodedata.normalize("NFC", rest) + tones


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
