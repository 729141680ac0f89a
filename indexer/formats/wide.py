"""Is this text in UTF-16 or UTF-32 without a mark, or in one of the encodings that write other characters as ASCII?

Bytes that no other text has tell the first: NUL or the controls beside it. The order of bytes is the one in which there
are spaces, line ends or ideographic stops. Escape sequences, all of them whole, tell the second.
"""

from __future__ import annotations

import re

from deformer_qa.indexer.formats.parsed import NotReadable
from deformer_qa.indexer.formats.plausible import is_written

_CONTROL = re.compile(rb"[\x00-\x08]")
_SEPARATORS = " \n、。，・"
_FEWEST_SEPARATORS = 0.005  # of all characters
_LEAST_GAP = 40  # characters that may lack a separator in a short text
_MOST_LOOKED_AT = 4_096  # characters
_SHORTEST = 8
_SHIFT_JAPANESE = re.compile(rb"\x1b\$[@B]|\x1b\$\([DOPQ]|\x1b\(I")
_SHIFT_KOREAN = re.compile(rb"\x1b\$\)C")
_HZ = re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}")
_HZ_COMMON = re.compile(rb"[\x21-\x23\x30-\x57]")  # rows of punctuation, digits, letters and the 3,755 first characters
_HZ_TILDE = re.compile(rb"~[{}~\n]|~\r\n")
_FEWEST_HZ = 4  # characters
_COMMON_HZ = 0.9  # of them
_HZ_LOOKED_AT = 65_536  # bytes


def decode_wide(raw: bytes) -> str | None:
    """The text of bytes with NUL or control bytes, if it is in UTF-16 or UTF-32; None if that is not certain."""
    if len(raw) % 2 or not _CONTROL.search(raw):
        return None
    encodings = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
    for encoding in encodings if len(raw) % 4 == 0 else encodings[2:]:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        n_separators = sum(text.count(separator) for separator in _SEPARATORS)
        enough = max(1, _FEWEST_SEPARATORS * (len(text) - _LEAST_GAP))
        if (n_separators >= enough or _is_unspaced(text)) and is_written(text):
            return text
    return None


def _is_unspaced(text: str) -> bool:
    """Whether a text is in a script in which a page may have no space."""
    start = text[:_MOST_LOOKED_AT]
    n_unspaced = sum("\u0e00" <= c <= "\u109f" or "\u1780" <= c <= "\u17ff" for c in start)  # Thai to Burmese, Khmer
    return len(start) >= _SHORTEST and n_unspaced >= 0.8 * len(start)


def decode_seven_bit(raw: bytes) -> str | None:
    """The text of ASCII bytes that are ISO-2022-JP, ISO-2022-KR or HZ; None if they are not.

    :raises NotReadable: for the escapes of ISO-2022 around what it does not know
    """
    if b"\x1b" in raw and _SHIFT_JAPANESE.search(raw):
        names: tuple[str, ...] = ("iso2022_jp", "iso2022_jp_2", "iso2022_jp_ext", "iso2022_jp_2004")
    elif b"\x1b" in raw and _SHIFT_KOREAN.search(raw):
        names = ("iso2022_kr",)
    elif b"~{" in raw and _is_hz(raw):
        names = ("hz",)
    else:
        return None
    for name in names:
        try:
            text = raw.decode(name)
        except UnicodeDecodeError:
            continue
        if not text.isascii() and is_written(text):
            return text
    if names == ("hz",):
        return None
    raise NotReadable("damaged text: it has the escapes of ISO-2022, but is not in it everywhere")


def _is_hz(raw: bytes) -> bool:
    """Whether the tildes of the beginning are those of HZ, around characters that are common in Chinese."""
    start = raw[:_HZ_LOOKED_AT]
    start = start[: start.rfind(b"\n") + 1 or None] if len(raw) > _HZ_LOOKED_AT else start
    leads = b"".join(found[0][2:-2:2] for found in _HZ.finditer(start))
    n_common = len(_HZ_COMMON.findall(leads))
    rest = _HZ_TILDE.sub(b"", _HZ.sub(b"", start))
    return len(leads) >= _FEWEST_HZ and n_common >= _COMMON_HZ * len(leads) and b"~" not in rest
