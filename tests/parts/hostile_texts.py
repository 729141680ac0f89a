"""Questions and filters of somebody who wants to see a command fall, each with the exit codes defined for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1 << 20
LONGEST = 10_000
# fmt: off


@dataclass(frozen=True)
class Case:
    """A hostile text.

    :ivar codes: the exit codes that are defined for it; 0 and 1 where it is a question like others, answered or not
    :ivar says: what the one line on stderr says where it is refused
    """

    text: str
    codes: tuple[int, ...]
    says: str = ""


ANSWERED = (0, 1)
EMPTY, TOO_LONG, TOO_MANY_PIECES = "question is empty", f"at most {LONGEST:,} are taken", "tokens, at most 254"
NO_TEXT = "not Unicode text"


def questions() -> Iterator[Case]:
    """What somebody may ask who wants to see the command fall."""
    for blank in ("", " ", "\t\r\n", "\u3000\u2003", "\x1c\x1d\x1e\x1f", "\x85\u2028\u2029", " " * MIB, "\n" * LONGEST):
        yield Case(blank, (2,), EMPTY)
    for unit in (
        "a", "why ", "\u0301", "e\u0301", "🦊", "漢", "\0", "?", '"', "(", "\\", "\u202e", "[MASK]", "a\n",
        "\x1b[31m",
    ):
        yield Case(unit * (MIB // len(unit)), (2,), TOO_LONG)
        yield Case((unit * LONGEST)[:LONGEST] + "x", (2,), TOO_LONG)
    yield Case("x" * LONGEST, ANSWERED)
    yield Case("e" + "\u0301" * (LONGEST - 1), ANSWERED)
    yield Case("\u0301" * LONGEST, ANSWERED)
    yield Case("\0" * LONGEST, ANSWERED)
    yield Case("\u200b\u200d" * (LONGEST // 2), ANSWERED)
    yield Case("  who\n" + "\t" * LONGEST, ANSWERED)
    for unit in ("why ", "漢", "? ", "( ", "[MASK] ", "a-", "\\ "):
        yield Case((unit * LONGEST)[:LONGEST], (2,), TOO_MANY_PIECES)
    for lone in ("\ud800", "\udfff who", "who \udce9?", "\ud83d\udca9"[:1] + "a", "x" * 100 + "\udcff"):
        yield Case(lone, (2,), NO_TEXT)
    for few in (
        "\0", "who\0was\0Magellan?", "\0\0?", "\x01\x02\x7f\x9b", "\x1b]0;t\x07who", "\x1b[2J", "\ufeffwho",
        "\ufffe\uffff", "?", "...", "''", '"', " -", "--", "-- ", "*", "\\", "/", "%", "$", "#", "\u202ewho\u202c",
        "\U000e0041\U000e007f",
        "AND", "OR NOT", "NEAR(a b, 3)", '"unclosed', "title : river", "river*", "^river", "{title heading}: x",
        "-river",
        "a AND b OR", 'NEAR("a" "b"', "rank MATCH 'x'", "* *", "()", "body:", "col1 : col2 : x", '""""', "NOT",
        "a + b",
        "'; DROP TABLE documents; --", "1 OR 1=1", "' UNION SELECT * FROM texts --", "x') ; ATTACH 'a' AS b; --",
        "?1 :a @b $c",
        "%s%s%n%x", "{0.__class__}", "{k}{n}{where}", "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "$(touch x)",
        "`touch x`",
        "${jndi:ldap://x/a}", "<script>alert(1)</script>", "[red]x[/red]", "[link=file:///]", "../../etc/passwd",
        "file:///etc/passwd",
        "[CLS]", "[SEP] yes [SEP]", "[PAD][UNK]", "##ing", "[unused1]", "<s></s>", "<|endoftext|>", "is it [SEP] or",
        "[MASK]?",
        "Is", "Is it?", "Is it or?", "was was was", "Can't Won't", "is \u0301", "\u2019\u2019", "do you \0",
        "NaN", "inf", "1e999", "-0", "9" * 400, "0x10", "null", "None", "true", "[]", "{}", "undefined",
        "لا إله", "\u200fالسؤال", "คำถาม", "प्रश्न क्या है", "質問は何ですか", "ﷺ" * 100, "ẞßſ", "İıi̇", "Å\u212bA\u030a",
        "ﬃ",
        "👨‍👩‍👧‍👦" * 20, "🏳️‍🌈", "Z" + "\u0335\u0321" * 200, "\u1160" * 50, "\U0010ffff", "\ue000", "¼½¾", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    ):
        yield Case(few, ANSWERED)


def filters() -> Iterator[Case]:
    """Filters of the same kind; those that are well formed match documents or none."""
    for text, found in (
        ("", "nothing"), (" \n\t", "nothing"), ("a" * MIB, "1,048,576 characters"),
        ("(" * MIB, "1,048,576 characters"), ("\u0301" * MIB, "1,048,576 characters"),
        ('"' * LONGEST, 'the text ""'), ("\0", "'\\x00'"), ("a\0 == 1", "'\\x00'"), ("\ud800 == 1", "not UTF-8"),
        ('a == "\udcff"', "not UTF-8"), ("(" * LONGEST, "found ("), ("not " * 2500, "the word not"),
        ("[" * LONGEST, "found ["), ("a." * 5000, "the end"), ("a == 1 and " * 900, "the name a"),
        ("a == 1 or " * 150 + "b == 2", "at most 100 comparisons"), ("a in [" + "1," * 4990, "the end"),
        ("a == " + "9" * 9000, "9,000 digits"), ("a == 1e" + "9" * 298, "the number 1e999"),
        ("a == 1e999", "1e999"), ("a == NaN", "the name NaN"), ("a == -inf", "found -"),
        ("\u0301" * 9000 + " == 1", "found"), ("a\u0301" * 4000 + " = 1", "found ="),
        ("'; DROP TABLE documents; --", "without its closing"), ("1 OR 1=1", "the word OR"), ("1 = 1", "found ="),
        ("a == 1; DROP TABLE documents", "found ;"), ("a == 1 -- x", "found -"),
        ("a == 1 UNION SELECT * FROM texts", "the name UNION"), ("a LIKE '%'", "the name LIKE"),
        ("a IS NULL", "the name IS"), ("a == b", "the name b"), ("a == ?", "found ?"),
        ("meta MATCH 'x'", "the name MATCH"), ("NEAR(a b, 3)", "found ("), ("{{7*7}}", "found {"),
        ("${7*7}", "found $"), ("$(touch x)", "found $"), ("`touch x`", "the end"),
        ("`a == 1", "without its closing"), ("__import__('os').system('id')", "found ("),
        ("a.__class__", "the end"), ("lambda: 0", "found :"), ("%s%n", "found %"), ("a == '\\x41'", "\\x"),
        ("a == '\\u0041'", "\\u"), ("a == '\\", "without its closing"), ('{"field": "a"}', "found {"),
        ("[]", "found ["), ("null", "the end"), ("null < a", "found <"), ("a < null", "the word null"),
        ("a << 1", "found <"), ("a === 1", "found ="), ("a == == 1", "found =="), ("not", "the end"),
        ("and or not in", "the word and"), ("a in []]", "found ]"), ("a in [[1]]", "found ["),
        ("a in {1}", "found {"), ("\x1b[31ma == 1", "'\\x1b'"), ("a == 1 \u202e", "'\\u202e'"),
        ("\U000e0041 == 1", "'\\U000e0041'"), ("🦊 == 1", "found 🦊"), ("a == ‘x’", "found ‘"), ("a ≥ 1", "found ≥"),
    ):
        yield Case(text, (2,), found)
    for text in (
        "year == 1e308", "year == -0", "year == 9007199254740993", "year < -" + "9" * 299, "year == 0.1e-400",
        'lang == "\0"', 'lang < "\0"', '"\0" in tags', 'lang contains "\0"', "`\0` == 1", "`\n` == 1",
        'lang == "\\n\\t\\\\"',
        'lang == "\'; DROP TABLE documents; --"', "lang == '\" OR 1=1 --'", "`') --` == 1", '`"` == 1', "`$` == null",
        "`[0]` == 1",
        '`a"."b` == 1', "`$.year` == 2020", "`'` == 1", "`%s{0}` == 1", 'lang == "{{7*7}}"', 'title contains "%"',
        "`*` == 1",
        "tags.`0` == 'a'", "year.year == 1", "lang.x.y.z == null", "__class__ == 1", "meta == 1", "id == 1",
        "rowid == 1", "text == 1",
        'lang == "' + "x" * 9000 + '"', "`" + "k" * 9000 + "` == 1", "lang contains '" + "\u0301" * 9000 + "'",
        "a." * 4000 + "b == 1",
        "(" * 50 + "year == 1" + ")" * 50, "not " * 50 + "year == 1", " or ".join(["year == 1"] * 100),
        "year in [" + "1," * 4000 + "2]",
        "lang in [" + "'x'," * 2000 + "'y']", "lang in [" + "null,true," * 900 + "1]", "y\u0301ear == 1", "年 == 2020",
        "ﬁeld == 1", 'lang > "\U0010ffff"', 'lang < ""', '"" in tags', 'lang contains ""', "year in []",
        "title >= 'a' or root contains '/'",
    ):
        yield Case(text, ANSWERED)
