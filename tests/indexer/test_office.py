"""What is read of Word files, presentations and what kreuzberg reads: text, headings, pages and slides, properties."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import docx
import pptx
import pytest
from docx.oxml import parse_xml
from parts import SAMPLES
from parts.office_files import W, changed, p, saved, word
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from deformer_qa.indexer import FileLimits
from deformer_qa.indexer.formats import NotReadable, ParsedDocument, format_of, parse, registry
from deformer_qa.store.locations import LOCATIONS, kept_locations, location_at

QUESTIONS = json.loads((SAMPLES / "questions_office.json").read_text(encoding="utf-8"))
OTHER = frozenset({".odt", ".ods", ".rtf", ".doc", ".xls"})


def read(name: str, raw: bytes, limits: FileLimits | None = None) -> ParsedDocument:
    (document,) = parse(format_of(name, raw), Path(name).stem, raw, limits or FileLimits()).documents
    for offset, heading in document.outline:
        assert document.text[offset:].startswith(heading)
    return document


def where(document: ParsedDocument, found: str) -> dict[str, int | str]:
    """Where a text of the document stands, as an answer would say it."""
    meta = {LOCATIONS: kept_locations(document.locations, document.text)}
    return location_at(meta, document.text, document.text.index(found))


# The samples


@pytest.mark.parametrize("name", sorted({question["file"] for question in QUESTIONS}))
def test_the_answers_about_a_sample_stand_where_they_should(name: str) -> None:
    if Path(name).suffix in OTHER:
        pytest.importorskip("kreuzberg", reason="the extra all-formats is not installed")
    document = read(name, (SAMPLES / name).read_bytes())
    for question in (one for one in QUESTIONS if one["file"] == name):
        answer = question["answer"]
        assert document.text.count(answer) >= 1, (answer, document.text)
        place: dict[str, Any] = {kind: question[kind] for kind in ("page", "slide", "sheet", "row") if kind in question}
        places = [at for at in range(len(document.text)) if document.text.startswith(answer, at)]
        meta = {LOCATIONS: kept_locations(document.locations, document.text)}
        at = next(at for at in places if location_at(meta, document.text, at) == place)
        headings = [heading for offset, heading in document.outline if offset <= at]
        assert headings[-1:] == ([question["heading"]] if "heading" in question else [])


def test_each_sample_is_small_and_has_its_questions() -> None:
    asked = {question["file"] for question in QUESTIONS}
    there = [path for path in SAMPLES.iterdir() if path.suffix in OTHER | {".docx", ".pptx", ".xlsx", ".csv", ".odp"}]
    assert asked <= {path.name for path in there}
    assert all(path.stat().st_size < 40_000 for path in there)


def test_what_a_document_says_of_itself_is_kept() -> None:
    report = read("a.docx", (SAMPLES / "harbour.docx").read_bytes())
    assert report.title == "Harbour report of Port Elmsworth"
    assert report.meta["author"] == "Tilda Varnhagen"
    assert report.meta["created"] == "2024-03-18T09:30:00Z"
    assert (report.meta["subject"], report.meta["keywords"]) == ("Dredging", "harbour, dredging")
    assert read("a.pptx", (SAMPLES / "museum.pptx").read_bytes()).title == "The clock museum of Varrick"
    assert read("a.xlsx", (SAMPLES / "warehouse.xlsx").read_bytes()).title == "Stock of the Osterholm warehouse"


def test_a_title_that_only_the_program_gave_is_none() -> None:
    document = docx.Document()
    document.core_properties.title = "Word Document"
    document.add_paragraph("words")
    assert read("plans.docx", saved(document)).title == "plans"
    deck = pptx.Presentation()
    deck.core_properties.title = "PowerPoint-Präsentation"
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Our plans"
    assert read("a.pptx", saved(deck)).title == "Our plans"


def test_an_encrypted_file_is_named_as_such() -> None:
    for name in ("locked.docx", "locked.xlsx"):
        with pytest.raises(NotReadable, match="password") as refused:
            format_of(name, (SAMPLES / "locked.docx").read_bytes())
        assert refused.value.kind == "encrypted"


# Word


def test_inserted_and_moved_text_is_read_and_deleted_text_is_not() -> None:
    raw = word(
        "<w:p><w:r><w:t>The crew has </w:t></w:r><w:del><w:r><w:delText>nine</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>eleven</w:t></w:r></w:ins><w:r><w:t> members</w:t></w:r>"
        "<w:moveFrom><w:r><w:t> gone</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t> here</w:t></w:r></w:moveTo></w:p>",
        "<w:ins><w:p><w:r><w:t>A new one.</w:t></w:r></w:p></w:ins>",
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p/></w:tc></w:tr>"
        "<w:tr><w:trPr><w:del/></w:trPr><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc><w:tc><w:p/></w:tc></w:tr></w:tbl>",
    )
    assert read("a.docx", raw).text == "The crew has eleven members here\n\nA new one.\n\na"


def test_content_controls_links_and_fields_are_read_and_field_codes_are_not() -> None:
    raw = word(
        f"<w:sdt><w:sdtPr/><w:sdtContent>{p('in a control')}</w:sdtContent></w:sdt>",
        '<w:p><w:hyperlink w:anchor="x"><w:r><w:t>a link</w:t></w:r></w:hyperlink>'
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> DATE </w:instrText></w:r>'
        '<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t xml:space="preserve"> of May</w:t></w:r></w:p>',
    )
    assert read("a.docx", raw).text == "in a control\n\na link of May"


def test_headings_are_known_by_name_and_by_outline_level() -> None:
    raw = word(
        p("Eins", '<w:pStyle w:val="berschrift1"/>'),
        p("words", '<w:pStyle w:val="Eigene"/>'),
        p("Zwei", '<w:outlineLvl w:val="1"/>'),
        p("Drei", '<w:pStyle w:val="Enkel"/>'),
        p("no more", '<w:pStyle w:val="Enkel"/><w:outlineLvl w:val="9"/>'),
        styles='<w:style w:type="paragraph" w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>',
    )
    document = docx.Document(io.BytesIO(raw))
    for style in (
        '<w:style w:type="paragraph" w:styleId="Opa"><w:name w:val="Opa"/><w:basedOn w:val="Enkel"/>'
        '<w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style>',
        '<w:style w:type="paragraph" w:styleId="Enkel"><w:name w:val="Enkel"/><w:basedOn w:val="Opa"/></w:style>',
        '<w:style w:type="paragraph" w:styleId="Eigene"><w:name w:val="Eigen"/><w:basedOn w:val="Nirgend"/></w:style>',
    ):
        document.styles.element.append(parse_xml(style.replace(">", f" {W}>", 1)))
    found = read("a.docx", saved(document))
    assert [heading for _, heading in found.outline] == ["Eins", "Zwei", "Drei"]
    assert found.text == "Eins\n\nwords\n\nZwei\n\nDrei\n\nno more"


def test_a_table_of_contents_is_left_out() -> None:
    styles = '<w:style w:type="paragraph" w:styleId="Verzeichnis1"><w:name w:val="toc 1"/></w:style>'
    raw = word(p("The end ..... 7", '<w:pStyle w:val="Verzeichnis1"/>'), p("Words."), styles=styles)
    assert read("a.docx", raw).text == "Words."


def test_a_text_box_is_read_once_and_after_its_paragraph() -> None:
    box = f"<w:txbxContent>{p('In the box.')}</w:txbxContent>"
    raw = word(
        '<w:p xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><w:r><w:t>Around </w:t></w:r><w:r>'
        f"<mc:AlternateContent><mc:Choice Requires='wps'>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
        "</mc:AlternateContent></w:r><w:r><w:t>it.</w:t></w:r></w:p>",
        p("Then."),
    )
    assert read("a.docx", raw).text == "Around it.\n\nIn the box.\n\nThen."


def test_a_footnote_follows_its_paragraph() -> None:
    raw = word('<w:p><w:r><w:t>The bell cracked.</w:t><w:footnoteReference w:id="2"/></w:r></w:p>', p("Then."))
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    media = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    raw = changed(
        raw,
        {
            "word/_rels/document.xml.rels": lambda old: old.replace(
                b"</Relationships>",
                f'<Relationship Id="rIdN" Type="{kind}" Target="footnotes.xml"/></Relationships>'.encode(),
            ),
            "[Content_Types].xml": lambda old: old.replace(
                b"</Types>", f'<Override PartName="/word/footnotes.xml" ContentType="{media}"/></Types>'.encode()
            ),
        },
        {
            "word/footnotes.xml": f'<w:footnotes {W}><w:footnote w:type="separator" w:id="0"/>'
            f'<w:footnote w:id="2">{p("It was cast in 1752.")}</w:footnote></w:footnotes>'.encode()
        },
    )
    assert read("a.docx", raw).text == "The bell cracked.\n\nIt was cast in 1752.\n\nThen."


BREAK = "<w:r><w:lastRenderedPageBreak/></w:r>"


def test_pages_are_counted_where_the_program_marked_them() -> None:
    cell = f"<w:tc><w:p><w:r><w:t>one</w:t></w:r>{BREAK}<w:r><w:t> two</w:t></w:r></w:p></w:tc>"
    on_next = f"<w:tc><w:p>{BREAK}<w:r><w:t>three</w:t></w:r></w:p></w:tc>"
    document = read(
        "a.docx",
        word(
            p("first"),
            f"<w:p><w:r><w:t>second ends </w:t></w:r>{BREAK}<w:r><w:t>here</w:t></w:r></w:p>",
            f"<w:tbl><w:tr>{cell}{cell}</w:tr><w:tr>{on_next}{on_next}</w:tr></w:tbl>",
            f"<w:p>{BREAK}</w:p>",
            p("last"),
        ),
    )
    assert document.text == "first\n\nsecond ends here\n\none two: one two.\nthree: three.\n\nlast"
    begins = ((1, "first"), (2, "here"), (4, "three"), (5, "last"))
    assert document.locations == {"page": tuple((document.text.index(text), page) for page, text in begins)}


def test_a_page_break_that_nobody_saw_on_a_screen_tells_no_page() -> None:
    raw = word(p("first"), '<w:p><w:r><w:br w:type="page"/></w:r><w:r><w:t>second</w:t></w:r></w:p>')
    assert read("a.docx", raw).locations == {}


def test_more_pages_than_allowed_are_refused() -> None:
    raw = word(*[f"<w:p>{BREAK}<w:r><w:t>a</w:t></w:r></w:p>"] * 4)
    assert read("a.docx", raw, FileLimits(pages=5)).text == "a\n\na\n\na\n\na"
    with pytest.raises(NotReadable, match=r"more than 4 pages \(--max-pages\)"):
        read("a.docx", raw, FileLimits(pages=4))


def test_a_table_that_arranges_text_is_read_as_text() -> None:
    inner = f"<w:tbl><w:tr><w:tc>{p('a')}</w:tc><w:tc>{p('b')}</w:tc></w:tr></w:tbl>"
    raw = word(f"<w:tbl><w:tr><w:tc>{p('Left.')}</w:tc><w:tc>{p('Right.')}{inner}</w:tc></w:tr></w:tbl>")
    assert read("a.docx", raw).text == "Left.\n\nRight.\n\n| a | b |"
    assert (
        read("a.docx", word(f"<w:tbl><w:tr><w:tc>{p('One.')}{p('Two.')}</w:tc></w:tr></w:tbl>")).text == "One.\n\nTwo."
    )


def test_documents_with_macros_and_templates_are_read() -> None:
    as_saved = b"openxmlformats-officedocument.wordprocessingml.document.main"
    for kind in (
        b"ms-word.document.macroEnabled.main",
        b"openxmlformats-officedocument.wordprocessingml.template.main",
    ):
        edit = {"[Content_Types].xml": lambda old, kind=kind: old.replace(as_saved, kind)}
        assert read("a.docm", changed(word(p("words")), edit)).text == "words"


# Presentations


def test_slides_are_read_in_order_with_tables_charts_groups_and_notes() -> None:
    deck = pptx.Presentation()
    blank, titled = deck.slide_layouts[6], deck.slide_layouts[1]
    deck.slides.add_slide(blank)  # without text: no slide to be found, but counted
    slide = deck.slides.add_slide(blank)
    slide.element.set("show", "0")
    slide.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "Hidden\vwords"
    slide = deck.slides.add_slide(titled)
    slide.shapes.title.text = "Sales"
    slide.placeholders[1].text_frame.text = "one"
    slide.placeholders[1].text_frame.add_paragraph().text = "two"
    numbers = CategoryChartData()
    numbers.categories = ["2022", "2023"]
    numbers.add_series("Lamps", (12.5, None))
    chart = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(3), Inches(3), numbers).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Sold lamps"
    chart.category_axis.axis_title.text_frame.text = "Year"
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    found = read("talk.pptx", saved(deck))
    assert found.text == (
        "Slide 2\n\nHidden words\n\nSales\n\n- one\n- two\n\nSold lamps\n"
        "| Year | Lamps |\nYear: 2022, Lamps: 12.5.\nYear: 2023.\n\n"
        "Notes: Say it slowly."
    )
    assert where(found, "words") == {"slide": 2}
    assert where(found, "slowly") == {"slide": 3}
    assert found.title == "Sales"


def test_dates_footers_and_slide_numbers_are_left_out() -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Trees"
    for kind in ("dt", "ftr", "sldNum"):
        box = slide.shapes.add_textbox(0, 0, 9, 9)
        box.text_frame.text = "every slide"
        place = box._element.nvSpPr.nvPr
        place.append(parse_xml(f'<p:ph xmlns:p="{place.nsmap["p"]}" type="{kind}" idx="9"/>'))
    assert read("a.pptx", saved(deck)).text == "Trees"


def test_more_slides_than_allowed_are_refused() -> None:
    with pytest.raises(NotReadable, match=r"3 slides, at most 2 are read \(--max-pages\)"):
        read("a.pptx", (SAMPLES / "museum.pptx").read_bytes(), FileLimits(pages=2))
    with pytest.raises(NotReadable, match=r"2 slides, at most 1 are read \(--max-pages\)"):
        read("a.odp", (SAMPLES / "orchard.odp").read_bytes(), FileLimits(pages=1))


def test_slide_shows_and_shapes_for_newer_programs_are_read() -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    box = slide.shapes.add_textbox(0, 0, 9, 9)
    box.text_frame.text = "An equation."
    around = parse_xml(
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        '<mc:Choice Requires="a14"/><mc:Fallback/></mc:AlternateContent>'
    )
    box._element.addprevious(around)
    around[0].append(box._element)
    kind = b"presentationml.presentation.main"
    edit = {"[Content_Types].xml": lambda old: old.replace(kind, b"presentationml.slideshow.main")}
    assert read("a.ppsx", changed(saved(deck), edit)).text == "Slide 1\n\nAn equation."


# What kreuzberg reads


def test_without_the_extra_a_file_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "has_all_formats", lambda: False)
    for name in ("lighthouse.odt", "quarry.doc", "bakery.rtf"):
        with pytest.raises(NotReadable) as refused:
            format_of(name, (SAMPLES / name).read_bytes())
        wanted = f"no reader for {Path(name).suffix}; install deformer-qa[all-formats] for it"
        assert (str(refused.value), refused.value.kind) == (wanted, "no reader")


def test_the_content_tells_the_kind_and_not_the_name() -> None:
    pytest.importorskip("kreuzberg", reason="the extra all-formats is not installed")
    for name in sorted(one.name for one in SAMPLES.iterdir() if one.suffix in OTHER):
        raw = (SAMPLES / name).read_bytes()
        (document,) = parse(registry.BY_NAME["other"], "x", raw, FileLimits()).documents
        assert document.text == read(name, raw).text
    tale = (
        '<?xml version="1.0"?><FictionBook xmlns="http://www.gribuser.ru/xml/fictionbook/2.0"><description><title-info>'
        "<book-title>The Marsh</book-title></title-info></description><body><section><title><p>One</p></title>"
        "<p>The heron Alba nested in 1931.</p></section></body></FictionBook>"
    )
    book = read("tale.fb2", tale.encode())
    assert (book.title, book.text) == ("The Marsh", "One\n\nThe heron Alba nested in 1931.")


def test_encrypted_files_of_other_kinds_are_named_as_such() -> None:
    odp = changed(
        (SAMPLES / "orchard.odp").read_bytes(),
        {
            "META-INF/manifest.xml": lambda old: old.replace(
                b"/>", b"><manifest:encryption-data/></manifest:file-entry>", 1
            )
        },
    )
    with pytest.raises(NotReadable, match="password"):
        read("a.odp", odp)
    pytest.importorskip("kreuzberg", reason="the extra all-formats is not installed")
    word97 = bytearray((SAMPLES / "quarry.doc").read_bytes())
    head = next(at for at in range(512, len(word97), 512) if word97[at : at + 2] == b"\xec\xa5")
    word97[head + 11] |= 1
    with pytest.raises(NotReadable, match="password"):
        read("a.doc", bytes(word97))
