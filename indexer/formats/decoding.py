"""Which characters do the bytes of a text file stand for? An answer where that is certain enough, else a reason.

What the form of the bytes tells comes first: a mark, UTF-16 or UTF-32, UTF-8, and in ASCII the escapes of ISO-2022 and
HZ. Then the encodings that only the language tells (``legacy``). Text in the wrong one would be wrong in silence.
"""

from __future__ import annotations

import codecs
import re

from deformer_qa.indexer.formats.legacy import UncertainEncoding, decode_legacy, western_text
from deformer_qa.indexer.formats.parsed import NotReadable
from deformer_qa.indexer.formats.wide import decode_seven_bit, decode_wide

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark starts with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


def decode(raw: bytes, notes: list[str] | None = None) -> str:
    """The characters of a text file, without a leading mark; lone surrogates as U+FFFD.

    :param notes: where a doubt may be told; a text that is nearly all ASCII is then read as Windows-1252, which most
        such files are in, with a note that says so. Without it such a file is refused.
    :raises NotReadable: for binary content, and for text in an encoding that is not known.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _decode_marked(raw, mark, encoding)
    wide = decode_wide(raw)
    if wide is not None:
        return wide
    if b"\0" in raw:
        raise NotReadable("binary content (NUL bytes)", "binary")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        _check_no_utf8(raw, error)
        try:
            return decode_legacy(raw)
        except UncertainEncoding as doubt:
            western = western_text(raw) if notes is not None else None
            if notes is None or western is None:
                raise
            notes.append(f"read as Windows-1252, as it is nearly all ASCII: {doubt}")
            return western
    shifted = decode_seven_bit(raw) if raw.isascii() else None
    return text if shifted is None else shifted


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
        raise NotReadable(f"marked as {encoding.upper()}, but byte {at:,} is not", "encoding") from None


def _check_no_utf8(raw: bytes, error: UnicodeDecodeError) -> None:
    lenient = raw.decode("utf-8", "replace")
    n_bad = lenient.count("\ufffd") - raw.count("\ufffd".encode())
    n_good = len(lenient) - len(lenient.encode("ascii", "ignore")) - n_bad
    if n_good >= n_bad:
        raise NotReadable(f"damaged UTF-8 (byte {error.start:,})", "encoding")


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise NotReadable("binary content (NUL characters)", "binary")
    return text
