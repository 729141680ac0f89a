"""Which characters do the bytes of a text file stand for? An answer where that is certain enough, else a reason.

UTF-8, and UTF-16 or UTF-32 with their mark. Windows-1252 is believed only of bytes that look like it, as every byte
string decodes as some 8-bit encoding, and text in the wrong one would be wrong in silence.
"""

from __future__ import annotations

import codecs
import re

from deformer_qa.indexer.formats.parsed import NotReadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark starts with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_MOST_HIGH_BYTES = 0.3  # of all that is no space; West European prose has 0.02 to 0.15, Cyrillic or Greek above 0.7


def decode(raw: bytes) -> str:
    """The characters of a text file, without a leading mark; lone surrogates as U+FFFD.

    :raises NotReadable: for binary content, and for text in an encoding that is not known.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _decode_marked(raw, mark, encoding)
    if b"\0" in raw:
        raise NotReadable("binary content (NUL bytes)")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return _decode_windows(raw, error)


def storable(text: str) -> str:
    """The text with every lone surrogate, which UTF-8 cannot say, and every NUL as U+FFFD; as long as before."""
    return _NOT_STORABLE.sub("\ufffd", text)


def _decode_marked(raw: bytes, mark: bytes, encoding: str) -> str:
    try:
        if encoding == "utf-8":
            return _without_nul(raw[len(mark) :].decode("utf-8"))
        return storable(_without_nul(raw.decode(encoding, "surrogatepass")))
    except UnicodeDecodeError as error:
        at = error.start + len(raw) - len(error.object)
        raise NotReadable(f"marked as {encoding.upper()}, but byte {at:,} is not") from None


def _decode_windows(raw: bytes, error: UnicodeDecodeError) -> str:
    lenient = raw.decode("utf-8", "replace")
    n_bad = lenient.count("\ufffd") - raw.count("\ufffd".encode())
    n_good = sum(character > "\x7f" for character in lenient) - n_bad
    if n_good >= n_bad:
        raise NotReadable(f"damaged UTF-8 (byte {error.start:,})")
    n_high = sum(byte > 0x7F for byte in raw)
    n_visible = sum(byte > 0x20 for byte in raw)
    if _CONTROL.search(raw) or n_high > _MOST_HIGH_BYTES * n_visible:
        raise NotReadable(f"neither UTF-8 (byte {error.start:,}) nor Windows-1252 text")
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError as undefined:
        found = f"neither UTF-8 (byte {error.start:,}) nor Windows-1252 (byte {undefined.start:,}) text"
        raise NotReadable(found) from None


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise NotReadable("binary content (NUL characters)")
    return text
