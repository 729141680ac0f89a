"""Bytes to characters: right, or refused with a reason; never wrong in silence."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import parse

from deformer_qa.indexer.formats import NotReadable, ParsedDocument

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
    assert refusal(codecs.BOM_UTF16_LE + b"a\0b") == "marked as UTF-16, but byte 4 is not"
    assert refusal(codecs.BOM_UTF8 + b"a\xff") == "marked as UTF-8, but byte 4 is not"


def test_west_european_text_is_read_as_windows_1252() -> None:
    assert text_of(FRENCH.encode("cp1252")) == FRENCH


def test_damaged_utf8_is_not_taken_for_another_encoding() -> None:
    raw = FRENCH.encode()
    assert refusal(raw[:9] + b"\xff" + raw[9:]) == "damaged UTF-8 (byte 9)"
    cut = raw[: raw.index("ç".encode()) + 1]
    assert refusal(cut) == f"damaged UTF-8 (byte {len(cut) - 1})"


@pytest.mark.parametrize("encoding", ["koi8-r", "cp1251", "iso8859-5"])
def test_text_in_another_eight_bit_encoding_is_refused(encoding: str) -> None:
    assert refusal(RUSSIAN.encode(encoding)).startswith("neither UTF-8 (byte 0) nor Windows-1252")


@pytest.mark.parametrize("encoding", ["shift_jis", "gb18030", "euc-kr"])
def test_text_in_an_east_asian_encoding_is_refused(encoding: str) -> None:
    text = "東京大学" * 10 if encoding != "euc-kr" else "서울대학교" * 10
    assert "UTF-8" in refusal(text.encode(encoding))


def test_a_byte_that_windows_1252_does_not_know_is_refused() -> None:
    assert refusal(b"caf\xe9 and tea \x81 here") == "neither UTF-8 (byte 3) nor Windows-1252 (byte 13) text"


@pytest.mark.parametrize("raw", [b"abc\0def", codecs.BOM_UTF8 + b"a\0b", codecs.BOM_UTF16_LE + b"a\0\0\0"])
def test_a_binary_under_a_text_name_is_refused(raw: bytes) -> None:
    assert refusal(raw).startswith("binary content (NUL")


def test_control_bytes_beside_high_bytes_are_refused() -> None:
    assert refusal(b"caf\xe9 \x01 and much more text") == "neither UTF-8 (byte 3) nor Windows-1252 text"


@pytest.mark.parametrize("raw", [b" \n\t\n", codecs.BOM_UTF8])
def test_a_file_without_text_is_refused(raw: bytes) -> None:
    assert refusal(raw) == "no text in it"


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_refused(raw: bytes) -> None:
    for path in ("a.txt", "a.md", "a.html", "a.jsonl"):
        for document in documents_or_refusal(path, raw):
            document.text.encode()
            document.title.encode()
            assert "\0" not in document.text
