"""What bad files of PDF, EPUB, mail, reStructuredText, notebooks, code and JSON cost: a reason, never more."""

from __future__ import annotations

import json
import random
import time
import zlib

import pytest
from parts import SAMPLES
from parts.paper_files import ENTITIES, book, named, page_of, pdf_of, printed, stream, zipped

from deformer_qa.indexer import FileLimits
from deformer_qa.indexer.formats import NotReadable
from deformer_qa.indexer.formats.registry import BY_NAME, format_of
from deformer_qa.indexer.sandbox.parent import FileParser

DEEP = 100_000
CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"
FORMATS = ("pdf", "epub", "eml", "rst", "ipynb", "code", "json")


def result(format_name: str, raw: bytes | str) -> str:
    """The text, or the reason that there is none; anything else than these is a failure."""
    try:
        parsed = named(format_name, raw)
    except NotReadable as reason:
        if "failed on it" in str(reason):
            raise
        return f"{reason.kind}: {reason}"
    return "\n".join([*(one.text for one in parsed.documents), *parsed.notes])


SAMPLE_NAMES = sorted(
    path.name for path in SAMPLES.iterdir() if path.suffix in (".pdf", ".epub", ".eml", ".rst", ".ipynb", ".json")
)


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_a_truncated_or_damaged_file_gives_a_text_or_a_reason(name: str) -> None:
    raw, chance = (SAMPLES / name).read_bytes(), random.Random(name)
    format_name = format_of(name, raw).name
    for tenth in range(10):
        assert result(format_name, raw[: len(raw) * tenth // 10 + 1])
        damaged = bytearray(raw)
        for _ in range(20):
            damaged[chance.randrange(len(raw))] = chance.randrange(256)
        assert result(format_name, bytes(damaged))


def test_foreign_bytes_give_a_text_or_a_reason() -> None:
    noise = random.Random(1).randbytes(5_000)
    for format_name in FORMATS:
        for raw in (
            noise,
            b"\0" * 1_000,
            b"%PDF-1.7\n" + noise,
            b"PK\x03\x04" + noise,
            b"\xff\xfe" + noise,
            b"[" + noise,
            b"\n",
        ):
            assert result(format_name, raw)


@pytest.mark.parametrize(
    ("format_name", "raw", "expected"),
    [
        ("json", "[" * DEEP, "limit: JSON nested too deeply"),
        ("json", "[" * DEEP + "]" * DEEP, "limit: JSON nested too deeply"),
        ("json", '{"a":' * DEEP, "limit: JSON nested too deeply"),
        ("ipynb", '{"cells":' + "[" * DEEP, "limit: JSON nested too deeply"),
        ("ipynb", "[]", "damaged: damaged notebook: it has no cells"),
        ("ipynb", '{"cells": 7}', "damaged: damaged notebook: it has no cells"),
        ("ipynb", '{"cells": [1, null, {"source": {}}, {"source": [2, "a"], "outputs": [3]}], "metadata": []}', "a"),
        ("json", "{'a': 1}", "damaged: not JSON (Expecting property name enclosed in double quotes, line 1, column 2)"),
        ("eml", b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(3_000)),
         "limit: nested too deeply"),
        ("eml", b"Content-Type: message/rfc822\n\n" * 3_000, "limit: nested too deeply"),
        ("eml", b"no header", "damaged: damaged mail: it has no header"),
        ("eml", b"", "damaged: damaged mail: it has no header"),
        ("epub", b"PK\x05\x06" + b"\0" * 18, "damaged: damaged: the package file (.opf) is missing"),
        ("epub", zipped({"a.opf": "<a>" * DEEP}), "damaged: damaged: the package file names no chapters"),
        ("epub", zipped({"a.opf": "no xml"}), "damaged: damaged: a.opf is not XML"),
        ("epub", book("<div>" * DEEP), "limit: elements nested more than 5,000 deep"),
        ("epub", book("<p>a", more={"in/toc.ncx": f"{ENTITIES}<ncx><navPoint><text>&j;</text></navPoint></ncx>"}), "a"),
        ("epub", book("<p>a", more={"META-INF/container.xml": '<r><rootfile full-path="../../../etc/passwd"/></r>'}),
         "damaged: damaged: ../../../etc/passwd is missing"),
        ("pdf", b"%PDF-1.7 nothing", "damaged: damaged PDF: its pages cannot be found"),
        ("pdf", pdf_of(CATALOGUE, b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),
         "damaged: damaged: none of its pages can be read"),
        ("pdf", pdf_of(CATALOGUE, b"<< /Type /Pages /Kids [3 0 R] /Count 1000000000 >>", b"<< /Type /Page >>"),
         "no text: no text in it; it may be a scan, which needs OCR"),
        ("pdf", pdf_of(CATALOGUE, *(b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % n for n in range(3, 20_000))),
         "damaged: damaged: none of its pages can be read"),
        ("pdf", pdf_of(CATALOGUE, b"<< /Type /Pages /Count 1 /Kids " + b"[" * DEEP + b"]" * DEEP + b" >>"),
         "damaged: damaged: none of its pages can be read"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "",
)  # fmt: skip
def test_nesting_loops_and_bombs_have_a_reason(format_name: str, raw: bytes | str, expected: str) -> None:
    start = time.monotonic()
    found = result(format_name, raw)
    assert found == expected
    assert time.monotonic() - start < 20


def test_bookmarks_that_go_round_in_a_circle_end() -> None:
    raw = printed(page_of("Text."), fields=b"/Outlines 6 0 R")
    objects = [raw.split(b" 0 obj\n")[n + 1].split(b"\nendobj")[0] for n in range(5)]
    circle = b"<< /Title (Text.) /Parent 6 0 R /Next 7 0 R /First 7 0 R /Dest [4 0 R /Fit] >>"
    assert result("pdf", pdf_of(*objects, b"<< /Type /Outlines /First 7 0 R /Last 7 0 R >>", circle)) == "Text."


def test_lines_of_a_million_characters_are_read_in_a_moment() -> None:
    start = time.monotonic()
    for format_name, raw in (
        ("rst", "`a" * 500_000 + "\n" + "=" * 1_000_000 + "\n" + "*" * 1_000_000),
        ("rst", ("`a" * 140 + "\n" + "=" * 300 + "\n\n") * 500),
        ("code", ("int a" + "(" * 280 + "{\n") * 2_000 + ("a<" * 140 + "{\n") * 2_000 + "public " * 100_000),
        ("json", json.dumps({"k" * 1_000_000: ["v" * 1_000_000]})),
        ("eml", "Subject: " + "=?utf-8?q?a?= " * 100_000 + "\nTo: " + "(<" * 500_000 + "\n\ntext"),
        ("eml", 'Content-Disposition: attachment; filename="' + "a" * 1_000_000 + '"\n\ntext'),
    ):
        assert result(format_name, raw)
    assert time.monotonic() - start < 30


def test_what_takes_all_memory_or_time_is_stopped_and_the_next_file_is_read() -> None:
    spaces = zlib.compress(zlib.compress(b" " * 500_000_000, 1), 9)
    bomb = printed(page_of("Text.")).replace(b"/Contents 5 0 R", b"/Contents 6 0 R")
    objects = [bomb.split(b" 0 obj\n")[n + 1].split(b"\nendobj")[0] for n in range(5)]
    bomb = pdf_of(*objects, stream(spaces, b"/Filter [/FlateDecode /FlateDecode]"))
    slow = "[" * 900 + "1," * 300_000 + '"a"' + "]" * 900
    with FileParser(FileLimits(seconds=3, memory_bytes=600 * 2**20)) as parser:
        for format_name, raw in (("pdf", bomb), ("json", slow.encode())):
            with pytest.raises(NotReadable, match=r"ended|crashed on it|more than"):
                parser.parse(BY_NAME[format_name], f"bad.{format_name}", raw)
            (document,) = parser.parse(BY_NAME["pdf"], "good.pdf", printed(page_of("Good text."))).documents
            assert document.text == "Good text."
