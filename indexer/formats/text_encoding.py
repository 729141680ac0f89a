"""Decodes text files: finds the encoding if it is certain enough, else gives a reason.

First come encodings that the form of the bytes proves (``decode``): a byte order mark, UTF-16 or UTF-32, UTF-8, and in
ASCII the escape sequences of ISO-2022 and HZ. Then come those that only the language suggests (``decode_legacy``).

UTF-16 and UTF-32 are recognised by NUL or control bytes, which no other text has. Their byte order is the one that
gives spaces, line ends or ideographic stops. ISO-2022 and HZ are recognised by escape sequences, all of them complete.

For legacy encodings, chardet's language models rank the candidates. Those near the top that give no plausible text are
dropped: 'Größe' becomes 'GrцЯe', 'Gr÷▀e' or 'GrˆﬂE', with two alphabets, a sign or a capital inside a word. This test
knows no language, so it treats all alike. The remaining candidates must agree on every character, because nobody would
notice text decoded wrongly.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Collection
from functools import cache

import chardet

from deformer_qa.indexer.formats.parsed import NotReadable

_BEYOND = re.compile(r"[^\x00-\x7f]")
_NEVER = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff]")
_ALPHABETS = frozenset({"LATIN", "GREEK", "CYRILLIC", "HEBREW", "ARABIC"})  # others may touch Latin words
_ACCENTED_WORD = re.compile(r"[À-ÖØ-öø-ɏ]{5,}|(?<![^\W\d_])[À-ÖØ-öø-ɏ]{3,4}(?![^\W\d_]|[\u0300-\u036f])")
_IN_WORDS = frozenset("’·‐‑–—־׳״")
_LINES = frozenset("─═│║░▒▓█▄▀■")
_FRACTIONS = frozenset("¼½¾")
_BESIDE_LETTERS = frozenset("©®™°№")
_LAST_IN_WORD = frozenset("ςךםןףץةى")
_MOST_LETTERS_LOOKED_AT = 4_096  # characters
_LONGEST_PATTERN = 24  # characters beyond ASCII
_FEWEST_DIFFERENT = 5  # different characters, in a text mostly beyond ASCII
_MOST_ODD = 0.02  # of the characters beyond ASCII; real texts have product names and formulas too
_SIGNS = re.compile("[“”„‘’‚–—…]")
_CLEAR_SIGNS = re.compile(  # pairs, English endings, dashes with spaces: letters of other encodings do not look so
    r"(?<![^\W\d_])“[^“”„–—]{1,400}”(?![^\W\d_])|(?<![^\W\d_])„[^“”„–—]{1,400}[“”](?![^\W\d_])"
    r"|(?<=[a-z])’(?=(?:s|t|re|ll|ve|d|m)\b)|(?<= )[–—](?= )"
)
_SPACED_DASH = re.compile("(?<= )[–—](?= )")
_OTHER_SIGNS = re.compile(
    r"(?<![^\W\d_])[“„‘‚’](?=\w)|(?<=[^\s])[”“’‘](?![^\W\d_])|(?<=\w)’(?=\w)|(?<=\w)[–—](?=\w)|…|^[–—](?=\s)",
    re.MULTILINE,
)


def has_controls(text: str) -> bool:
    """Whether a text has control characters other than white space, or code points that are not characters."""
    return _NEVER.search(text) is not None


def odd_places(text: str) -> int | None:
    """The number of characters beyond ASCII in implausible places; None if there are too many for a text.

    Only the first 4,096 characters beyond ASCII are examined.
    """
    if has_controls(text) or _is_a_pattern(text):
        return None
    n_seen = 0
    n_odd = sum(len(run[0]) for run in _ACCENTED_WORD.finditer(text))
    for found in _BEYOND.finditer(text):
        at = found.start()
        n_seen += 1
        n_odd += _is_odd(text[at - 1 : at] if at else "", text[at], text[at + 1 : at + 2])
        if n_seen == _MOST_LETTERS_LOOKED_AT:
            break
    return n_odd if n_odd <= _MOST_ODD * n_seen else None


def is_written(text: str) -> bool:
    """Whether a text has only characters used in writing: assigned, not private, no controls but white space.

    It examines 4,096 characters each of the beginning, middle and end, and looks for controls everywhere.
    """
    if has_controls(text):
        return False
    middle = len(text) // 2
    for part in (
        text[:_MOST_LETTERS_LOOKED_AT],
        text[middle : middle + _MOST_LETTERS_LOOKED_AT],
        text[-_MOST_LETTERS_LOOKED_AT:],
    ):
        if any(unicodedata.category(character) in ("Cn", "Co", "Cs") for character in set(part)):
            return False
    return True


def has_windows_signs(text: str) -> bool:
    """Whether a text read as Windows-1252 has quotes or dashes, in plausible places.

    Their bytes are the same in all Windows code pages, but are letters in the encodings of DOS and the Macintosh.
    """
    clear = _CLEAR_SIGNS.findall(text)
    n_clear = sum(len(_SIGNS.findall(sign)) for sign in clear)
    rest, n_other = _OTHER_SIGNS.subn("", text)
    return n_clear > 0 and n_other <= 2 * n_clear and not _SIGNS.search(_SPACED_DASH.sub("", rest))


def _is_a_pattern(text: str) -> bool:
    """Whether a text is only a few characters repeated: padding, not text."""
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
    """The alphabet of a letter, such as 'LATIN', if it does not mix with others within a word; else ''."""
    script = unicodedata.name(letter, "").partition(" ")[0] if letter.isalpha() else ""
    return script if script in _ALPHABETS else ""


_WIDE_CONTROL = re.compile(rb"[\x00-\x08]")
_SEPARATORS = " \n、。，・"
_FEWEST_SEPARATORS = 0.005  # of all characters
_LEAST_GAP = 40  # characters that may lack a separator in a short text
_MOST_LOOKED_AT = 4_096  # characters
_SHORTEST = 8
_SHIFT_JAPANESE = re.compile(rb"\x1b\$[@B]|\x1b\$\([DOPQ]|\x1b\(I")
_SHIFT_KOREAN = re.compile(rb"\x1b\$\)C")
_HZ = re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}")
_HZ_COMMON = re.compile(rb"[\x21-\x23\x30-\x57]")  # rows of punctuation, digits, letters and the first 3,755 characters
_HZ_TILDE = re.compile(rb"~[{}~\n]|~\r\n")
_FEWEST_HZ = 4  # characters
_COMMON_HZ = 0.9  # share of common ones among them
_HZ_LOOKED_AT = 65_536  # bytes


def decode_wide(raw: bytes) -> str | None:
    """Decode bytes with NUL or control bytes as UTF-16 or UTF-32; None if that is not certain."""
    if len(raw) % 2 or not _WIDE_CONTROL.search(raw):
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
    """Whether a text is in a script that is written without spaces."""
    start = text[:_MOST_LOOKED_AT]
    n_unspaced = sum("\u0e00" <= c <= "\u109f" or "\u1780" <= c <= "\u17ff" for c in start)  # Thai to Burmese, Khmer
    return len(start) >= _SHORTEST and n_unspaced >= 0.8 * len(start)


def decode_seven_bit(raw: bytes) -> str | None:
    """Decode ASCII bytes that are ISO-2022-JP, ISO-2022-KR or HZ; None if they are not.

    :raises NotReadable: if escape sequences of ISO-2022 surround bytes that it does not define
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
    raise NotReadable("damaged text: it has the escape sequences of ISO-2022, but parts of it are not ISO-2022")


def _is_hz(raw: bytes) -> bool:
    """Whether the tildes at the beginning are those of HZ, around characters that are common in Chinese."""
    start = raw[:_HZ_LOOKED_AT]
    start = start[: start.rfind(b"\n") + 1 or None] if len(raw) > _HZ_LOOKED_AT else start
    leads = b"".join(found[0][2:-2:2] for found in _HZ.finditer(start))
    n_common = len(_HZ_COMMON.findall(leads))
    rest = _HZ_TILDE.sub(b"", _HZ.sub(b"", start))
    return len(leads) >= _FEWEST_HZ and n_common >= _COMMON_HZ * len(leads) and b"~" not in rest


# fmt: off
CANDIDATES = (
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874",
    "iso8859-1", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8",
    "iso8859-9", "iso8859-10", "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16", "tis-620",
    "koi8-r", "koi8-u", "mac-roman", "mac-latin2", "mac-cyrillic", "mac-greek", "mac-turkish", "mac-iceland",
    "cp437", "cp720", "cp737", "cp775", "cp850", "cp852", "cp855", "cp857", "cp860", "cp861", "cp862", "cp863",
    "cp865", "cp866", "cp869", "cp1125",
    "shift_jis_2004", "cp932", "euc_jis_2004", "cp949", "euc_kr", "johab", "gb18030", "big5hkscs",
)
_USUAL = {  # the variant that most such files are written in; it is tried first
    "shift_jis_2004": "cp932", "euc_jis_2004": "euc_jp", "euc_kr": "cp949", "tis-620": "cp874", "big5hkscs": "cp950",
}
_RARE = frozenset({
    "iso8859-3", "iso8859-10", "iso8859-14", "iso8859-16", "mac-iceland", "mac-latin2",
    "cp860", "cp861", "cp863", "cp865",
})
# fmt: on
_OLD = frozenset(name for name in CANDIDATES if name.startswith(("mac-", "cp4", "cp7", "cp8"))) - {"cp866", "cp874"}
_LEAST_SCORE = 0.05  # 20 bytes of noise score less, nearly all texts of 50 bytes score more
_RARE_WEIGHT = 0.92  # factor on the score of rarely used encodings
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_HIGH = re.compile(rb"[\x80-\xff]")
_BORDER = re.compile(rb"[\n ]")  # in no encoding part of another character
_STATEMENT = re.compile(rb"charset|coding", re.IGNORECASE)  # a text may mention an encoding that it is not in
_SAMPLE = 16_384  # bytes; chardet's models look at no more
_PIECE = 5_000  # bytes, from larger files: at the beginning, in the middle and near the end
_WORDS_AROUND = 2
_NEAR = 2.0  # a rival counts if its score is below the best by up to NEAR / n of it, for n characters beyond ASCII,
_NEAREST = 0.01  # at least,
_FARTHEST = 0.5  # at most
_MOST_WESTERN = 0.02  # share of bytes beyond ASCII; English with foreign words has fewer, other languages have more
_OLD_DISTANCE = 0.3  # factor on that for encodings of DOS and the Macintosh, which are rare today


class UncertainEncoding(NotReadable):
    """No encoding fits a text, or two fit about equally and read it differently."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "encoding")


def western_text(raw: bytes) -> str | None:
    """Decode as Windows-1252 if few characters are beyond ASCII, all in plausible places; else None."""
    n_high = sum(map(len, _HIGH.findall(raw)))
    if n_high > _MOST_WESTERN * len(raw):
        return None
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return text if odd_places(text) == 0 else None


def decode_legacy(raw: bytes) -> str:
    """Decode bytes that are not UTF-8.

    :raises NotReadable: if no encoding gives a plausible text, or two give different ones
    """
    body = raw.rstrip(b"\x1a")  # DOS programs end a text with this byte
    if _CONTROL.search(body):
        raise NotReadable("neither UTF-8 nor text of a known encoding (control bytes)", "binary")
    sample = _sample(body)
    encoding = _encoding_of(sample)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        reason = f"damaged text: it looks like {_shown(encoding)}, but byte {error.start:,} is invalid"
        raise NotReadable(reason, "encoding") from None
    if has_controls(text.rstrip("\x1a")):
        raise NotReadable(f"damaged text: it looks like {_shown(encoding)}, but parts of it are not", "encoding")
    return text


def _encoding_of(sample: bytes) -> str:
    signs = has_windows_signs(sample.decode("cp1252", "replace"))
    candidates = [name for name in CANDIDATES if name.startswith("cp125")] if signs else CANDIDATES
    sample = _foreign(sample)
    best = text_of_best = ""
    score_of_best = distance = 0.0
    n_odd_best = 0
    for encoding, score in _ranked(sample, candidates):
        if best and score < score_of_best * (1 - distance * (_OLD_DISTANCE if encoding in _OLD else 1.0)):
            continue
        name, text, n_odd = _reading(sample, encoding)
        if score < _LEAST_SCORE or not name or (best and n_odd > n_odd_best + 1):
            continue
        if not best:
            best, text_of_best, score_of_best, n_odd_best = name, text, score, n_odd
            n_beyond = sum(character > "\x7f" for character in text)
            distance = min(_FARTHEST, max(_NEAREST, _NEAR / n_beyond))
        elif text != text_of_best:
            raise UncertainEncoding(f"encoding not certain ({_shown(best)} or {_shown(name)}): save it as UTF-8")
    if not best:
        raise UncertainEncoding("neither UTF-8 nor text of a known encoding: save it as UTF-8")
    return best


def _ranked(sample: bytes, candidates: Collection[str]) -> list[tuple[str, float]]:
    """Encodings and their scores, the best first."""
    blanked = _STATEMENT.sub(lambda word: b" " * len(word[0]), sample)
    guesses = chardet.detect_all(
        blanked,
        ignore_threshold=True,
        compat_names=False,
        prefer_superset=False,
        include_encodings=candidates,
        no_match_encoding="cp1252",
    )
    ranked = [(guess["encoding"], guess["confidence"]) for guess in guesses if guess["encoding"]]
    weighted = [(name, score * (_RARE_WEIGHT if name in _RARE else 1.0)) for name, score in ranked]
    return sorted(weighted, key=lambda pair: -pair[1])


def _reading(sample: bytes, encoding: str) -> tuple[str, str, int]:
    """The encoding of this family to use, the text it gives, and its odd places; '' if it gives no text."""
    for name in (_USUAL.get(encoding, encoding), encoding):
        text = _decoded(sample, name)
        n_odd = None if text is None else odd_places(text)
        if text is not None and n_odd is not None:
            return name, text, n_odd
    return "", "", 0


def _foreign(sample: bytes) -> bytes:
    """The words beyond ASCII and two on each side: surrounding English would hide their language."""
    words = sample.split()
    kept: set[int] = set()
    for number, word in enumerate(words):
        if not word.isascii():
            kept.update(range(max(0, number - _WORDS_AROUND), number + _WORDS_AROUND + 1))
    return b" ".join(word for number, word in enumerate(words) if number in kept)


def _decoded(sample: bytes, encoding: str) -> str | None:
    try:  # a sample may end inside a character
        return codecs.getincrementaldecoder(encoding)().decode(sample, len(sample) < _SAMPLE)
    except UnicodeDecodeError:
        return None


def _sample(raw: bytes) -> bytes:
    """A sample of a large file: lines, or at least words, with bytes beyond ASCII, from three places; or its start."""
    if len(raw) <= _SAMPLE:
        return raw
    pieces = []
    end = 0
    for third in range(3):
        high = _HIGH.search(raw, max(end, third * len(raw) // 3))
        if not high:
            break
        border = _BORDER.search(raw, max(end, high.start() - _PIECE // 5), high.start())
        start = border.end() if border else high.start()
        stop = max(raw.rfind(b"\n", start, start + _PIECE), raw.rfind(b" ", start, start + _PIECE))
        if third == 0 and stop < 0:  # the first such byte of a file always begins a character
            return raw[start : start + _SAMPLE]
        if stop >= 0 and (border or third == 0):
            pieces.append(raw[start:stop])
            end = stop
    return b"\n".join(pieces)


def _shown(encoding: str) -> str:
    name = encoding.upper().replace("_", "-").replace("ISO8859", "ISO-8859")
    return name.replace("CP125", "Windows-125") if name.startswith("CP125") else name


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark starts with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


def decode(raw: bytes, notes: list[str] | None = None) -> str:
    """Decode a text file, without its byte order mark; lone surrogates become U+FFFD.

    :param notes: if given, an uncertain text that is almost entirely ASCII is read as Windows-1252, the encoding of
        most such files, and a note says so. If None, such a file is refused.
    :raises NotReadable: for binary content, and if the encoding cannot be determined.
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
    """Replace every lone surrogate, which UTF-8 cannot encode, and every NUL by U+FFFD; the length stays."""
    return _NOT_STORABLE.sub("\ufffd", text)


def _decode_marked(raw: bytes, mark: bytes, encoding: str) -> str:
    try:
        if encoding == "utf-8":
            return _without_nul(raw[len(mark) :].decode("utf-8"))
        return storable(_without_nul(raw.decode(encoding, "surrogatepass")))
    except UnicodeDecodeError as error:
        at = error.start + len(raw) - len(error.object)
        raise NotReadable(f"marked as {encoding.upper()}, but byte {at:,} is invalid", "encoding") from None


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
