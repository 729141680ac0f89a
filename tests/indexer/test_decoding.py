"""Bytes to characters: right, or refused with a reason; never wrong in silence."""

from __future__ import annotations

import bz2
import codecs
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.encoded_texts import ENCODINGS, PARAGRAPHS, UNMARKED, in_english, sample, written
from parts.parsed_bytes import parse

from deformer_qa.indexer.formats import NotReadable, ParsedDocument
from deformer_qa.indexer.formats.text_encoding import decode

FRENCH = "Ils ont dîné à l’hôtel, puis sont allés voir la forêt près de Besançon. Ça leur a coûté 30 €."
RUSSIAN = "Мы пошли в лес и нашли там много грибов."


def text_of(raw: bytes) -> str:
    (document,) = parse("a.txt", raw).documents
    return document.text


def documents_or_refusal(path: str, raw: bytes) -> tuple[ParsedDocument, ...]:
    try:
        return parse(path, raw).documents
    except NotReadable as reason:
        if "failed" in str(reason):  # a parser's own error
            raise
        return ()


def refusal(raw: bytes) -> str:
    with pytest.raises(NotReadable) as error:
        parse("a.txt", raw)
    return str(error.value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(str.strip))
def test_utf8_text_is_kept_verbatim(text: str) -> None:
    assert text_of(codecs.BOM_UTF8 + text.encode()) == text
    if not text.startswith("\ufeff"):
        assert text_of(text.encode()) == text


def test_line_endings_stay_as_they_are() -> None:
    assert text_of(b"a\r\nb\rc\n\x0c") == "a\r\nb\rc\n\x0c"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_names_the_encoding_and_is_no_part_of_the_text(encoding: str) -> None:
    assert text_of(RUSSIAN.encode(encoding)) == RUSSIAN


def test_big_endian_text_is_read_by_its_mark() -> None:
    assert text_of(codecs.BOM_UTF16_BE + RUSSIAN.encode("utf-16-be")) == RUSSIAN


def test_a_lone_surrogate_in_utf16_becomes_the_replacement_character() -> None:
    assert text_of(codecs.BOM_UTF16_LE + "a\ud800b".encode("utf-16-le", "surrogatepass")) == "a\ufffdb"


def test_utf16_that_breaks_off_is_refused() -> None:
    assert refusal(codecs.BOM_UTF16_LE + b"a\0b") == "marked as UTF-16, but byte 4 is invalid"
    assert refusal(codecs.BOM_UTF8 + b"a\xff") == "marked as UTF-8, but byte 4 is invalid"


def test_west_european_text_is_read_as_windows_1252() -> None:
    assert text_of(FRENCH.encode("cp1252")) == FRENCH


def test_damaged_utf8_is_not_taken_for_another_encoding() -> None:
    raw = FRENCH.encode()
    assert refusal(raw[:9] + b"\xff" + raw[9:]) == "damaged UTF-8 (byte 9)"
    cut = raw[: raw.index("ç".encode()) + 1]
    assert refusal(cut) == f"damaged UTF-8 (byte {len(cut) - 1})"


def outcomes(texts: list[tuple[str, str, str]]) -> tuple[set[str], list[str], int]:
    """The encodings that were read right, the texts that were read wrong, and how many were refused."""
    right, wrong, n_refused = set(), [], 0
    for language, encoding, text in texts:
        try:
            found = decode(text.encode(encoding))
        except NotReadable:
            n_refused += 1
        else:
            right.add(encoding) if found == text else wrong.append(f"{language} {encoding}")
    return right, wrong, n_refused


def test_a_paragraph_in_any_encoding_is_read_or_refused_and_never_something_else() -> None:
    chance = random.Random(0)
    texts = []
    for language, encodings in ENCODINGS.items():
        for encoding in encodings + UNMARKED:
            if text := written(PARAGRAPHS[language], encoding):
                texts.append((language, encoding, sample(text, encoding, 400, chance)))
    right, wrong, n_refused = outcomes(texts)
    assert set(wrong) <= {"romanian iso8859-16"}  # ş for ș: its letters have the bytes of Windows-1250's
    assert n_refused <= 0.06 * len(texts)
    assert len(right) >= 55


def test_a_few_foreign_words_in_an_english_page_are_rarely_enough_and_hardly_ever_wrong() -> None:
    texts = list(in_english("1 sentence", 1, random.Random(0)))
    _, wrong, n_refused = outcomes(texts)
    assert len(wrong) <= 0.01 * len(texts)
    assert n_refused <= 0.4 * len(texts)


def test_quotes_and_dashes_of_windows_are_told_from_letters_of_dos() -> None:
    text = "“It’s late,” she said – and so it was. They don’t know…\r\n" * 3
    assert text_of(text.encode("cp1252")) == text
    assert text_of("She said “yes” and left.".encode("cp1252")) == "She said “yes” and left."
    dos = PARAGRAPHS["swedish"].replace("”", '"').encode("cp850")
    assert text_of(dos).encode("cp850") == dos


def test_what_a_text_says_of_encodings_is_not_believed() -> None:
    text = '<html><meta charset="windows-1252">\n' + PARAGRAPHS["hungarian"]
    assert text_of(text.encode("cp1250")) == text


def test_the_mark_at_the_end_of_a_dos_text_is_kept() -> None:
    raw = RUSSIAN.encode("cp866") * 3 + b"\x1a"
    assert text_of(raw) == RUSSIAN * 3 + "\x1a"


@pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "euc_kr", "johab", "gb18030", "big5", "iso2022_jp"])
def test_a_text_that_ends_inside_a_character_is_refused(encoding: str) -> None:
    language = {"euc_kr": "korean", "johab": "korean", "gb18030": "chinese_simplified", "big5": "chinese_traditional"}
    text = PARAGRAPHS[language.get(encoding, "japanese")].rstrip(".。").replace("—", "")
    assert "UTF-8" in (reason := refusal(text.encode(encoding)[:-1])) or "damaged" in reason


def test_thai_without_a_space_is_read_as_utf16_in_its_order_of_bytes() -> None:
    word = PARAGRAPHS["thai"].split()[0]
    assert [text_of(word.encode(encoding)) for encoding in ("utf-16-le", "utf-16-be")] == [word, word]


def test_ascii_stays_ascii_where_it_looks_like_escapes_a_little() -> None:
    for text in (r"\cite[p.~{12}]{a}~{b}", "a ~{ b ~} c", "set ~{x~}", "~{0A1B2C3D~} and ~x", "+AGE-"):
        assert text_of(text.encode()) == text


def test_a_large_file_is_decoded_whole_and_one_that_is_damaged_far_inside_is_refused() -> None:
    russian, japanese = PARAGRAPHS["russian"] + "\n", PARAGRAPHS["japanese"] + "\n"
    assert text_of(russian.encode("cp1251") * 300) == russian * 300
    assert text_of(b"All is well.\n" * 20_000 + japanese.encode("cp932")).endswith("。\n")
    one_line = "".join(japanese.split()) * 100
    for encoding in ("cp932", "euc_jp", "gb18030"):
        assert text_of(one_line.encode(encoding)) == one_line
    assert refusal(japanese.encode("cp932") * 300 + b"\x81") == (
        f"damaged text: it looks like CP932, but byte {len(japanese.encode('cp932')) * 300:,} is invalid"
    )
    assert refusal(PARAGRAPHS["french"].encode("cp1252") * 100 + b"\x81").startswith("damaged text: it looks like")


def test_binary_content_is_refused_whatever_it_could_be_read_as() -> None:
    chance = random.Random(0)
    noise = [chance.randbytes(n) for n in (3, 20, 200, 3_000)]
    printable = [bytes(byte for byte in raw if byte > 0x1F and byte != 0x7F) for raw in noise[1:]]
    image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + zlib.compress(noise[3])
    sound = b"".join(struct.pack("<h", int(chance.gauss(0, 900))) for _ in range(4_000))
    table = b"".join(struct.pack("<i", number) for number in range(0, 60_000, 7))
    executable = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0" + noise[3] + b"This program cannot be run\r\r\n$\0\0"
    packed = [zlib.compress(noise[3]), bz2.compress(noise[3]), b"\x1f\x8b\x08\x08" + noise[2], b"PK\x03\x04" + noise[3]]
    filling = [b"\xff" * 5_000, b"\x80" * 300, b"\xe9 " * 300]
    for raw in [*noise[1:], *printable, image, sound, table, executable, *packed, *filling]:
        assert refusal(raw)


@pytest.mark.parametrize("raw", [b"abc\0def", codecs.BOM_UTF8 + b"a\0b", codecs.BOM_UTF16_LE + b"a\0\0\0"])
def test_a_binary_under_a_text_name_is_refused(raw: bytes) -> None:
    assert refusal(raw).startswith("binary content (NUL")


def test_control_bytes_beside_high_bytes_are_refused() -> None:
    assert "control bytes" in refusal(b"caf\xe9 \x01 and much more text")


@pytest.mark.parametrize("raw", [b" \n\t\n", codecs.BOM_UTF8])
def test_a_file_without_text_is_refused(raw: bytes) -> None:
    assert refusal(raw) == "no text in it"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_refused(raw: bytes) -> None:
    for path in ("a.txt", "a.md", "a.html", "a.jsonl"):
        for document in documents_or_refusal(path, raw):
            document.text.encode()
            document.title.encode()
            assert "\0" not in document.text


@given(
    st.text(),
    st.sampled_from(["cp1252", "cp1251", "cp932", "gb18030", "koi8-r", "utf-16-le", "utf-32-be", "iso2022_jp"]),
)
def test_any_text_in_any_encoding_is_text_or_refused(text: str, encoding: str) -> None:
    documents_or_refusal("a.txt", text.encode(encoding, "ignore"))


def test_a_jsonl_file_has_one_encoding_and_else_its_lines_have_utf8() -> None:
    lines = [f'{{"text": "{PARAGRAPHS["polish"]}"}}', '{"text": "zażółć gęślą jaźń"}']
    in_windows = parse("a.jsonl", "\n".join(lines).encode("cp1250")).documents
    assert [document.text for document in in_windows] == [PARAGRAPHS["polish"], "zażółć gęślą jaźń"]
    mixed = parse("a.jsonl", lines[0].encode() + b"\n" + lines[1].encode("cp1250"))
    assert [document.text for document in mixed.documents] == [PARAGRAPHS["polish"]]
    assert [bad.reason for bad in mixed.bad_records] == ["not UTF-8 (byte 12 of the line)"]
