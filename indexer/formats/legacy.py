"""Which of the encodings from before UTF-8 is a text in? The one that explains it, where no other does nearly as well.

chardet's models of languages rank the encodings. Of those near the top, the ones that give no plausible text are struck
out; what is left has to agree on every character, as text in the wrong encoding would be wrong in silence.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection

import chardet

from deformer_qa.indexer.formats.parsed import NotReadable
from deformer_qa.indexer.formats.plausible import has_controls, has_windows_signs, odd_places

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
_USUAL = {  # what writes such files today, or wrote most of them: it is tried first
    "shift_jis_2004": "cp932", "euc_jis_2004": "euc_jp", "euc_kr": "cp949", "tis-620": "cp874", "big5hkscs": "cp950",
}
_RARE = frozenset({
    "iso8859-3", "iso8859-10", "iso8859-14", "iso8859-16", "mac-iceland", "mac-latin2",
    "cp860", "cp861", "cp863", "cp865",
})
# fmt: on
_OLD = frozenset(name for name in CANDIDATES if name.startswith(("mac-", "cp4", "cp7", "cp8"))) - {"cp866", "cp874"}
_LEAST_SCORE = 0.05  # noise of 20 bytes has less, nearly all texts of 50 have more
_RARE_WEIGHT = 0.92  # of the score of an encoding that hardly a file is in
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_HIGH = re.compile(rb"[\x80-\xff]")
_BORDER = re.compile(rb"[\n ]")  # in no encoding a part of another character
_STATEMENT = re.compile(rb"charset|coding", re.IGNORECASE)  # a text may well speak of an encoding that it is not in
_SAMPLE = 16_384  # bytes; chardet's models look at no more
_PIECE = 5_000  # bytes, of larger files: at the beginning, in the middle and near the end
_WORDS_AROUND = 2
_NEAR = 2.0  # a rival counts whose score is short of the best by NEAR / n of it, with n characters beyond ASCII,
_NEAREST = 0.01  # at least,
_FARTHEST = 0.5  # at most
_MOST_WESTERN = 0.02  # bytes beyond ASCII of all; English with foreign words has fewer, other languages have more
_OLD_DISTANCE = 0.3  # of that, for encodings of DOS and the Macintosh: hardly a file of today is in them


class UncertainEncoding(NotReadable):
    """No encoding explains a text, or two do about as well and read it differently."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "encoding")


def western_text(raw: bytes) -> str | None:
    """The characters as Windows-1252 has them, where few of them are beyond ASCII and all stand as in writing."""
    n_high = sum(map(len, _HIGH.findall(raw)))
    if n_high > _MOST_WESTERN * len(raw):
        return None
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return text if odd_places(text) == 0 else None


def decode_legacy(raw: bytes) -> str:
    """The characters of bytes that are no UTF-8.

    :raises NotReadable: where no encoding gives a plausible text, or two give different ones
    """
    body = raw.rstrip(b"\x1a")  # DOS programs end a text with this byte
    if _CONTROL.search(body):
        raise NotReadable("neither UTF-8 nor text of a known encoding (control bytes)", "binary")
    sample = _sample(body)
    encoding = _encoding_of(sample)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        reason = f"damaged text: it looks like {_shown(encoding)}, but byte {error.start:,} is not"
        raise NotReadable(reason, "encoding") from None
    if has_controls(text.rstrip("\x1a")):
        raise NotReadable(f"damaged text: it looks like {_shown(encoding)}, but not everywhere", "encoding")
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
    """The encoding of this family to read with, what it reads, its odd places; '' where that is no text."""
    for name in (_USUAL.get(encoding, encoding), encoding):
        text = _decoded(sample, name)
        n_odd = None if text is None else odd_places(text)
        if text is not None and n_odd is not None:
            return name, text, n_odd
    return "", "", 0


def _foreign(sample: bytes) -> bytes:
    """The words beyond ASCII and two on each side: a page of English around them says nothing of their language."""
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
    """Whole lines, or at least words, with bytes beyond ASCII, from three places of a large file; or its start."""
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
        if third == 0 and stop < 0:  # the first such byte of a file begins a character, wherever it stands
            return raw[start : start + _SAMPLE]
        if stop >= 0 and (border or third == 0):
            pieces.append(raw[start:stop])
            end = stop
    return b"\n".join(pieces)


def _shown(encoding: str) -> str:
    name = encoding.upper().replace("_", "-").replace("ISO8859", "ISO-8859")
    return name.replace("CP125", "Windows-125") if name.startswith("CP125") else name
