"""Office files made to harm, or broken: each is refused with a reason or read, and nothing worse happens."""

from __future__ import annotations

import io
import random
import resource
import time
import zipfile
from pathlib import Path

import pytest
from parts import SAMPLES
from parts.office_files import W, changed, p, word

from deformer_qa.indexer import FileLimits
from deformer_qa.indexer.formats import NotReadable, format_of, parse
from deformer_qa.indexer.formats.registry import BY_NAME
from deformer_qa.indexer.sandbox.parent import FileParser

PACKAGES = ("harbour.docx", "ferry.pptx", "warehouse.xlsx", "orchard.odp")
MAIN = {
    "harbour.docx": "word/document.xml",
    "ferry.pptx": "ppt/slides/slide2.xml",
    "warehouse.xlsx": "xl/worksheets/sheet1.xml",
    "orchard.odp": "content.xml",
}
OTHER = ("lighthouse.odt", "bakery.rtf", "quarry.doc", "wells.ods", "choir.xls")


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def outcome(name: str, raw: bytes, limits: FileLimits | None = None, as_format: str = "") -> NotReadable | str:
    """The reason why it is not read, or its text. Anything else is raised."""
    try:
        format_ = BY_NAME[as_format] if as_format else format_of(name, raw)
        (document,) = parse(format_, Path(name).stem, raw, limits or FileLimits()).documents
    except NotReadable as reason:
        return reason
    return document.text


@pytest.mark.parametrize("name", [*PACKAGES, *OTHER, "members.csv"])
def test_a_file_cut_or_damaged_anywhere_is_refused_or_read(name: str) -> None:
    if name in OTHER:
        pytest.importorskip("kreuzberg", reason="the extra all-formats is not installed")
    raw, luck = sample(name), random.Random(7)
    format_ = format_of(name, raw).name
    outcomes = [outcome(name, raw[: len(raw) * tenth // 10], as_format=format_) for tenth in range(1, 10)]
    if name in PACKAGES:
        assert all(isinstance(one, NotReadable) for one in outcomes)
    for _ in range(30):
        damaged = bytearray(raw)
        for _ in range(8):
            damaged[luck.randrange(len(raw))] = luck.randrange(256)
        outcome(name, bytes(damaged), as_format=format_)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_without_any_one_of_its_parts_is_refused_or_read(name: str) -> None:
    raw = sample(name)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = archive.namelist()
    for one in members[:: max(1, len(members) // 12)]:  # a dozen of them, and below those that matter most
        outcome(name, changed(raw, {one: None}), as_format=format_of(name, raw).name)
        outcome(name, changed(raw, {one: lambda old: b""}), as_format=format_of(name, raw).name)
        outcome(name, changed(raw, {one: lambda old: old[: len(old) // 2]}), as_format=format_of(name, raw).name)
    for one in {"[Content_Types].xml", "_rels/.rels", "word/document.xml", "xl/workbook.xml", "content.xml"} & set(
        members
    ):
        refused = outcome(name, changed(raw, {one: None}), as_format=format_of(name, raw).name)
        assert isinstance(refused, NotReadable), one
        assert refused.kind == "damaged"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_another_kind_of_package_is_refused(name: str) -> None:
    for other in {"docx", "pptx", "xlsx", "odp"} - {Path(name).suffix[1:]}:
        refused = outcome(name, sample(name), as_format=other)
        assert isinstance(refused, NotReadable), other
        assert refused.kind == "damaged"


def test_a_renamed_package_is_read_as_what_it_is() -> None:
    assert outcome("report.docx", sample("warehouse.xlsx")) == outcome("stock.xlsx", sample("warehouse.xlsx"))


def test_a_package_in_a_package_does_not_make_it_another_one() -> None:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as new,
        zipfile.ZipFile(io.BytesIO(sample("ferry.pptx"))) as old,
    ):
        new.writestr("ppt/embeddings/report.docx", sample("observatory.docx"))
        for one in old.namelist():
            new.writestr(one, old.read(one))
    assert format_of("a.pptx", file.getvalue()).name == "pptx"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_bomb_in_a_package_is_refused_unopened(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    more = {"media/zeros.bin": bytes(30 * 2**20)}
    refused = outcome(name, changed(sample(name), {}, more), FileLimits(ratio=100))
    assert isinstance(refused, NotReadable)
    assert "compressed to less than 1/100 of its size" in str(refused)
    refused = outcome(name, changed(sample(name), {}, more), FileLimits(unpacked_bytes=10**7))
    assert isinstance(refused, NotReadable)
    assert "--max-unpacked" in str(refused)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("padding", [b"", b"<!--" + b"x" * 10_000 + b"-->"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_never_unfolded(name: str, padding: bytes, encoding: str) -> None:
    def bomb(old: bytes) -> bytes:
        head, _, rest = old.decode().rpartition("?>")
        start = rest.lstrip()[1:].replace(">", " ").split()[0]
        levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
        declared = f'<!DOCTYPE {start} [<!ENTITY e0 "lol"><!ENTITY file SYSTEM "file:///etc/passwd">{levels}]>'
        body = rest.replace("</w:t>", "&e11;&file;</w:t>").replace("</a:t>", "&e11;&file;</a:t>")
        body = body.replace("</v>", "&e11;&file;</v>").replace("</text:p>", "&e11;&file;</text:p>")
        head = f'<?xml version="1.0" encoding="{encoding}"?>'
        return (head + padding.decode() + declared + body).encode(encoding)

    began = time.monotonic()
    found = outcome(name, changed(sample(name), {MAIN[name]: bomb}))
    assert isinstance(found, NotReadable) or ("lollol" not in found and "root:" not in found)
    if encoding == "utf-8" and not padding:
        assert "declares entities" in str(found)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", PACKAGES)
def test_elements_in_each_other_without_end_are_refused_or_read(name: str) -> None:
    tags = {"harbour.docx": "w:ins", "ferry.pptx": "p:grpSp", "warehouse.xlsx": "row", "orchard.odp": "text:span"}
    tag, n = tags[name].encode(), 100_000

    def nested(old: bytes) -> bytes:
        end = {"harbour.docx": b"</w:body>", "ferry.pptx": b"</p:spTree>", "warehouse.xlsx": b"</sheetData>"}
        at = end.get(name, b"</text:p>")
        return old.replace(at, (b"<" + tag + b">") * n + (b"</" + tag + b">") * n + at, 1)

    found = outcome(name, changed(sample(name), {MAIN[name]: nested}), FileLimits(ratio=100_000))
    assert isinstance(found, str) if name == "warehouse.xlsx" else "nested too deeply" in str(found)


def test_a_million_empty_rows_and_cells_cost_little() -> None:
    began = time.monotonic()
    limits = FileLimits(ratio=100_000)
    rows = b'<row r="9">' + b'<c t="inlineStr"/>' * 100_000 + b"</row>" + b"<row/>" * 200_000
    many = changed(
        sample("warehouse.xlsx"),
        {MAIN["warehouse.xlsx"]: lambda old: old.replace(b"</sheetData>", rows + b"</sheetData>")},
    )
    assert "Marvex" in str(outcome("a.xlsx", many, limits))
    assert "| Name | Born |" in str(outcome("a.csv", sample("members.csv") + b",,,,\n" * 200_000))
    assert "no text" in str(outcome("a.csv", b",,,,\n" * 100_000))
    assert time.monotonic() - began < 60


def test_quotes_that_are_never_closed_do_not_cost_the_square_of_a_file() -> None:
    began = time.monotonic()
    assert isinstance(outcome("a.csv", b"a,b\n" + b'"x,"y\n' * 50_001), str)
    assert isinstance(outcome("a.csv", b'"' * 100_001), str)
    assert isinstance(outcome("a.csv", b'a,"b\n' * 50_001), str)
    assert time.monotonic() - began < 60


def test_a_file_that_takes_too_long_or_too_much_costs_itself_only() -> None:
    wide = b"".join(b'<row r="%d"><c r="XFD%d"><v>1</v></c></row>' % (n, n) for n in range(20, 40_000))
    slow = changed(
        sample("warehouse.xlsx"),
        {MAIN["warehouse.xlsx"]: lambda old: old.replace(b"</sheetData>", wide + b"</sheetData>")},
    )
    large = word(*[p("word " * 1_000)] * 20)
    with FileParser(FileLimits(seconds=2)) as parser:
        with pytest.raises(NotReadable, match=r"more than 2 seconds \(--max-seconds\)"):
            parser.parse(format_of("slow.xlsx", slow), "slow.xlsx", slow)
        assert "Solveig" in parser.parse(BY_NAME["pptx"], "ferry.pptx", sample("ferry.pptx")).documents[0].text
    raw = changed(
        large,
        {
            "word/document.xml": lambda old: old.replace(
                b"</w:body>", (b"<w:p><w:r><w:t>a</w:t></w:r></w:p>") * 200_000 + b"</w:body>"
            )
        },
    )
    with FileParser(FileLimits(memory_bytes=120 * 2**20, ratio=100_000)) as parser:
        with pytest.raises(NotReadable, match=r"more than 120 MiB of memory"):
            parser.parse(BY_NAME["docx"], "large.docx", raw)
        assert "Solveig" in parser.parse(BY_NAME["pptx"], "ferry.pptx", sample("ferry.pptx")).documents[0].text


def test_strict_packages_are_refused_with_what_to_do() -> None:
    strict = changed(
        word(f"<w:p {W}/>"),
        {
            "_rels/.rels": lambda old: old.replace(
                b"http://schemas.openxmlformats.org/officeDocument/2006", b"http://purl.oclc.org/ooxml/officeDocument"
            )
        },
    )
    refused = outcome("a.docx", strict)
    assert isinstance(refused, NotReadable)
    assert "Strict Open XML" in str(refused)
    assert refused.kind == "no reader"
