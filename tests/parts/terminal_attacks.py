"""Texts that try to drive a terminal, each between marks of its own, and what may and may not come out."""

from __future__ import annotations

import re
import unicodedata

_CSI = (
    *("0m", "38;5;213m", "8;5m", "2J", "3J", "H", "1;1H", "10A", "99B", "80C", "80D", "5E", "5F", "40G", "K", "1K"),
    *("10L", "10M", "10P", "3X", "5S", "5T", "3@", "1;5r", "?1049h", "?1049l", "?25l", "?1000h", "?1003h", "?1006h"),
    *("?2004h", "?2004l", "?5h", "?7l", "20h", "4h", "c", ">c", "=c", "5n", "6n", "?6n", "0x", "21t", "20t", "8;9;9t"),
    *("18t", "!p", "1$r", ">4;2m", "3g", "s", "u", "200~", "201~", "1;2;3"),
)
_OSC = (
    *(
        "0;title",
        "1;icon",
        "2;title",
        "4;1;?",
        "4;1;rgb:ff/00/00",
        "7;file:///etc",
        "8;;http://evil.example/",
        "9;note",
    ),
    *(
        "10;?",
        "11;#000000",
        "12;?",
        "50;?",
        "52;c;ZXZpbA==",
        "52;c;?",
        "104",
        "112",
        "133;A",
        "633;E;ls",
        "777;notify;a",
    ),
    *("1337;File=inline=1:QUJD", "1337;SetMark", "5522;x", "9;4;1;50", "L", "l"),
)
_STRINGS = (
    *(
        'P$q"p',
        "P+q544e",
        "P1000p%begin",
        "Pq#0;2;0;0;0",
        "_Gf=24,s=1,v=1;AAAA",
        "_tmux;x",
        "^private",
        "X sos",
        "kname",
    ),
    *("P1;1|17/41", "P=1s"),
)
_SHORT = (
    "c",
    "7",
    "8",
    "=",
    ">",
    "D",
    "E",
    "H",
    "M",
    "N",
    "O",
    "OA",
    "OP",
    "Z",
    "n",
    "o",
    "|",
    "}",
    "~",
    "#8",
    "(0",
    ")B",
)
_SHORT_MORE = ("%G", "%@", " F", "*B", "+0", "V", "W", "\\", "[", "]", "P", "\x1b[0m", "\x1b\x1b")
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f"
_OTHER = (
    *("\u2028", "\u2029", "\r", "\r\n", "\n", "\n\nqa: an error that is none", "\t\t", "\rqa: healthy", "abc\b\b\bxyz"),
    *(
        "\b" * 80,
        "\a" * 9,
        "\x7f" * 5,
        "\v\v",
        "\f",
        "\x85",
        "\x9b31m",
        "\x9d0;t\x9c",
        "\x90q\x9c",
        "\x9fx\x9c",
        "\x98x",
    ),
    *("\u200d" * 900, "\u200c\u200d" * 400, "e" + "\u0301" * 900, "e" + "\u0489" * 500, "\ufe0f" * 600),
    *("\U000e0100" * 300, "a" + "\u0300\u200d" * 300, "\ufff9\ufffa\ufffb", "\ufeff" * 9, "\u00ad\u200b\u2060"),
    *("\ufffe\uffff", "\U0010ffff", "\ue000", "\U000f0000", "\U0010fffd", "\u0378", "\U0001d173\U0001d17a"),
    *("[link=http://evil.example]x[/link]", "[bold red]x[/]", "%s%n%d", "\\x1b[31m", "\\033[2J", "^[[31m"),
    *("\u180e", "\U00013430", "\u2061\u2064", "\x00", "a\x00\x1b[2Jb", "\x1e\x1f\x1c\x1d"),
    *("".join(chr(0xE0000 + ord(one)) for one in "tags"), "\U000e0001", "\U000e007f", "\U0001f3f4\U000e0067\U000e007f"),
    *("\ud800", "\udfff", "\ud83d", "\udc9b31m", "\udc9d0;t\udc9c", "\udc1b", "\udcff\udcfe", "\udce2\udc80\udcae"),
)


def _attacks() -> list[str]:
    found = ["\x1b[" + rest for rest in _CSI] + ["\x9b" + rest for rest in _CSI[::4]]
    ends = ("\a", "\x1b\\", "")
    found += ["\x1b]" + rest + ends[number % 3] for number, rest in enumerate(_OSC)]
    found += ["\x9d" + rest + "\x9c" for rest in _OSC[::4]]
    found += ["\x1b" + rest + "\x1b\\" for rest in _STRINGS]
    found += ["\x1b" + rest for rest in (*_SHORT, *_SHORT_MORE)]
    found += [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
    found += [chr(0xDC00 + code) for code in range(0x80, 0xA0)]  # bytes of C1, as names and arguments have them
    found += list(_BIDI) + list(_OTHER)
    return list(dict.fromkeys(found))


def marked(number: int, attack: str) -> str:
    """The attack between two words, by which it is found again."""
    return f"Mark{number:03d}{attack}{number:03d}End"


ATTACKS = _attacks()
PAYLOADS = [marked(number, attack) for number, attack in enumerate(ATTACKS)]

_OURS = re.compile(  # what rich draws with: styles, a cursor that moves up or is hidden, a line that is erased
    r"\x1b\[(?:(?:[0-9]{1,3};)*[0-9]{0,3}m|1A|2K|\?25[lh])"
)


def is_forbidden(character: str) -> bool:
    """Written down a second time on purpose, by ranges where the code under test goes by categories."""
    code = ord(character)
    controls = code < 0x20 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029)
    bidi = code in (0x61C, 0x200E, 0x200F) or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x206F
    strange = 0xFFF9 <= code <= 0xFFFB or 0xE0000 <= code <= 0xE007F or 0xD800 <= code <= 0xDFFF
    return (controls and character not in "\n\t") or bidi or strange


def found_in(output: bytes, *, terminal: bool = False) -> list[str]:
    """What in an output must not be there, each with some text around; on a terminal rich may style and draw."""
    text = output.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    found = []
    if terminal:
        ends = [f"{attack}{number:03d}End" for number, attack in enumerate(ATTACKS) if any(map(is_forbidden, attack))]
        found = [text[max(0, text.index(end) - 20) :][:60] for end in ends if end in text and "\n" not in end]
        text = _OURS.sub("", text).replace("\r", "")
    strange = [match for match in re.finditer(r"[^\x20-\x7e\n\t]", text) if is_forbidden(match.group())]
    return found + [text[max(0, match.start() - 20) : match.end() + 20] for match in strange]


def longest_run_of_marks(output: bytes) -> int:
    """Of characters without a width."""
    longest = run = 0
    for character in output.decode("utf-8", "replace"):
        run = run + 1 if unicodedata.category(character) in ("Mn", "Me") or character in "\u200c\u200d" else 0
        longest = max(longest, run)
    return longest
