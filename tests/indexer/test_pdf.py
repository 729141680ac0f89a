"""What the reader of PDF makes of pages: paragraphs, headings, page numbers left out, words put together again."""

from __future__ import annotations

import pytest
from parts.paper_files import headings, only, page_of, pdf_of, printed, read, sample, stream

from deformer_qa.indexer import FileLimits
from deformer_qa.indexer.formats import NotReadable, parse
from deformer_qa.indexer.formats.registry import BY_NAME

LONG = "which is a line of text that reaches the right edge"


def test_a_printed_page_of_a_browser_reads_as_it_was_written() -> None:
    (document,) = sample("skerrow-lighthouse.pdf").documents
    assert headings(document) == ["The Skerrow Lighthouse", "The keepers", "The end of the light"]
    paragraphs = document.text.split("\n\n")
    assert (
        "The first official plan of the tower was drawn by Matilda Brock, an engineer of the harbour" in paragraphs[2]
    )
    assert "watches over nine towers. She can turn each lamp on and off, and hears an alarm" in document.text
    assert "The tower is 41 metres high.\nIt has 204 steps." in paragraphs
    assert "keepers lived on dried peas and the fish they could catch from the steps." in document.text
    assert "single officer watches" in document.text
    assert "kilograms" in document.text


def test_running_headers_are_read_once_and_page_numbers_never() -> None:
    (document,) = sample("orlan-plateau.pdf").documents
    assert document.text.count("Annals of the Wexcombe Society") == 1
    assert "Page" not in document.text
    assert document.meta["author"] == "Philippa Drummond"
    assert document.meta["keywords"] == "plateau, mules"
    assert document.meta["created"].startswith("20")
    assert document.title == "Across the Orlan Plateau"


def test_lines_that_are_alike_on_pages_but_not_in_their_margins_stay() -> None:
    pages = [[(50, 780, 9, "Header"), (50, 400, 12, "Total 7"), (300, 20, 9, f"{n} of 9")] for n in range(1, 5)]
    assert only("a.pdf", printed(*pages)).text == "Header" + 4 * "\n\nTotal 7"


def test_what_stands_in_the_margin_of_two_pages_only_stays() -> None:
    pages = [[(50, 780, 9, "Report"), (50, 400, 12, f"Text {n}.")] for n in "ab"]
    assert only("a.pdf", printed(*pages)).text == "Report\n\nText a.\n\nReport\n\nText b."


def test_lines_are_joined_to_paragraphs_and_words_to_words() -> None:
    lines = page_of("It is well-known that a lighthouse keeper, an engi-", f"neer and a well-known cook, {LONG[:24]}",
                    "well-", "known, went to sea.",
                    f"A new paragraph, {LONG}, begins after", "a short line.")  # fmt: skip
    apart = [(50, 560, 12, "Another one.")]
    assert only("a.pdf", printed(lines + apart)).text == (
        "It is well-known that a lighthouse keeper, an engineer and a well-known cook, which is a line of text\n"
        f"well-known, went to sea.\nA new paragraph, {LONG}, begins after a short line.\n\nAnother one."
    )


def grid(top: int, *rows: tuple[str, ...], left: int = 50, leading: int = 14) -> list[tuple[int, int, int, str]]:
    """Cells 110 points apart, empty ones left out."""
    return [
        (left + 110 * column, top - leading * number, 12, cell)
        for number, row in enumerate(rows)
        for column, cell in enumerate(row)
        if cell
    ]


def test_rows_of_a_table_name_their_columns_and_an_empty_cell_moves_no_other() -> None:
    rows = [("Product", "Price", "Made in", "Stock"), ("Wall lamp", "85.00", "", "24"), ("Desk lamp", "", "Ulm", "6")]
    first = [*page_of(LONG, top=672), *grid(658, *rows), *page_of(LONG, top=616)]
    document = only("a.pdf", printed(first, grid(700, *rows[::2], ("Bowl", "3.20", "Ems", ""))))
    table = "| Product | Price | Made in | Stock |\n"
    assert document.text == (
        f"{LONG}\n\n{table}Product: Wall lamp, Price: 85.00, Stock: 24.\n"
        f"Product: Desk lamp, Made in: Ulm, Stock: 6.\n\n{LONG}\n\n"
        f"{table}Product: Desk lamp, Made in: Ulm, Stock: 6.\nProduct: Bowl, Price: 3.20, Made in: Ems."
    )
    assert document.locations["page"] == ((0, 1), (document.text.rindex("| Product"), 2))


def test_lines_that_stand_nearer_than_rows_go_on_with_the_header_or_the_row_above() -> None:
    cells = [
        *grid(700, ("Product", "Price", "Stock")),
        *grid(688, ("", "in euros", "in May")),
        *grid(660, ("Wall lamp", "85.00", "24")),
        *grid(648, ("of brass",)),
        *grid(620, ("For the garden",), ("Lantern", "49.50", "6"), ("", "51.00", "8"), leading=28),
        *grid(536, ("Prices of May",)),
    ]
    assert only("a.pdf", printed(cells)).text == (
        "| Product | Price in euros | Stock in May |\n"
        "Product: Wall lamp of brass, Price in euros: 85.00, Stock in May: 24.\n"
        "For the garden\n"
        "Product: Lantern, Price in euros: 49.50, Stock in May: 6.\n"
        "Price in euros: 51.00, Stock in May: 8.\n\n"
        "Prices of May"
    )


@pytest.mark.parametrize("is_named", [True, False])
def test_a_group_of_columns_is_part_of_their_names(is_named: bool) -> None:
    groups = [(220, 714, 12, "2023"), (440, 714, 12, "2024"), *([(50, 714, 12, "Crop")] if not is_named else [])]
    header = ("Crop" if is_named else "", "Area", "Yield", "Area", "Yield")
    cells = grid(700, header, ("Rye", "45", "4.2", "30", "4.9"), ("Oats", "60", "", "75", "5.3"))
    assert only("a.pdf", printed(groups + cells)).text.split("\n")[2:] == [
        "Crop: Rye, 2023 Area: 45, 2023 Yield: 4.2, 2024 Area: 30, 2024 Yield: 4.9.",
        "Crop: Oats, 2023 Area: 60, 2024 Area: 75, 2024 Yield: 5.3.",
    ]


@pytest.mark.parametrize(
    "rows",
    [
        (("It was built in", "The tower of 1903"), ("1871 and has 41", "was lit by 20"), ("lamps of brass", "men.")),
        (("Name", "Town"), ("Eva", "Ulm"), ("Tom", "Ems")),  # nothing says which line is the header
        (("1901", "The first"), ("1902", "The second"), ("1903", "The third")),
        (("Town", "People"), ("Ulm", "126,000")),  # too few rows to tell
    ],
)
def test_texts_beside_each_other_are_no_table_unless_names_stand_over_values(rows: tuple[tuple[str, str], ...]) -> None:
    text = only("a.pdf", printed(grid(700, *rows))).text
    assert ": " not in text
    assert " ".join(text.split()) == " ".join(cell for row in rows for cell in row)


def test_rows_with_gaps_in_them_are_lines_of_their_own() -> None:
    cells = grid(644, ("Product", "Maker", "Town"), ("Wall lamp", "Brock", "Ulm"), ("Desk lamp", "Orl", "Ems"))
    text = only("a.pdf", printed([*page_of(LONG, LONG, LONG), *cells, *page_of(LONG, LONG, top=588)])).text
    assert text == (
        f"{LONG} {LONG} {LONG}\n\nProduct Maker Town\nWall lamp Brock Ulm\nDesk lamp Orl Ems\n\n{LONG} {LONG}"
    )


def test_a_small_first_letter_makes_no_small_line() -> None:
    lines = [*page_of(LONG, LONG), (50, 672, 6, "x"), (56, 672, 12, LONG), *page_of(LONG, top=658)]
    assert only("a.pdf", printed(lines)).text == f"{LONG} {LONG} x {LONG} {LONG}"


def test_an_indent_begins_a_paragraph() -> None:
    lines = [*page_of(LONG, LONG, f"{LONG[:-1]}."), (70, 658, 12, f"New {LONG[:44]}"), *page_of(LONG, LONG, top=644)]
    assert only("a.pdf", printed(lines)).text == f"{LONG} {LONG} {LONG[:-1]}.\n\nNew {LONG[:44]} {LONG} {LONG}"


def test_a_sentence_goes_on_across_columns_and_pages() -> None:
    left, right = page_of(LONG, LONG), page_of("in a second column,", left=350)
    document = only("a.pdf", printed(left + right, page_of("and on another page.")))
    assert document.text == f"{LONG} {LONG} in a second column, and on another page."
    assert document.locations == {"page": ((0, 1), (document.text.index("and on"), 2))}


def test_items_of_a_list_have_their_marks() -> None:
    lines = page_of(f"\u2022 one, {LONG}", "\u2022 two", "\u2022 three")
    assert only("a.pdf", printed(lines)).text == f"- one, {LONG}\n- two\n- three"


def test_large_print_is_a_heading_where_a_file_has_no_bookmarks() -> None:
    lines = [(50, 760, 20, "The great"), (50, 735, 20, "survey"), *page_of(LONG, LONG), (50, 600, 16, "Methods")]
    document = only("a.pdf", printed([*lines, *page_of("Short text.", top=570), (50, 300, 30, "7")]))
    assert headings(document) == ["The great survey", "Methods"]
    assert document.text == f"The great survey\n\n{LONG} {LONG}\n\nMethods\n\nShort text.\n\n7"


def test_bookmarks_are_headings_where_their_titles_stand_on_the_page() -> None:
    mark = b"<< /Title (%b) /Parent 6 0 R /Dest [4 0 R /Fit] %b >>"
    raw = printed(
        [(50, 700, 12, "1.2 The  Plan"), (50, 650, 12, "Text."), (50, 600, 30, "LARGE")], fields=b"/Outlines 6 0 R"
    )
    objects = [raw.split(b" 0 obj\n")[n + 1].split(b"\nendobj")[0] for n in range(5)]
    marks = (
        b"<< /Type /Outlines /First 7 0 R /Last 8 0 R >>",
        mark % (b"The plan", b"/Next 8 0 R"),
        mark % (b"Nowhere", b""),
    )
    assert headings(only("a.pdf", pdf_of(*objects, *marks))) == ["1.2 The Plan"]


def test_what_was_filled_into_a_form_stands_beside_its_label() -> None:
    raw = printed([(50, 700, 12, "Applicant:"), (50, 600, 12, "Place:")], annotations=b"/Annots [6 0 R]")
    objects = [raw.split(b" 0 obj\n")[n + 1].split(b"\nendobj")[0] for n in range(5)]
    shown = stream(
        b"BT /F 12 Tf 0 0 Td (Eudora Pell) Tj ET",
        b"/Type /XObject /Subtype /Form /BBox [0 0 200 20] /Resources << /Font << /F 3 0 R >> >>",
    )
    field = b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (n) /F 4 /Rect [150 700 350 720] /AP << /N 7 0 R >> >>"
    assert only("a.pdf", pdf_of(*objects, field, shown)).text == "Applicant: Eudora Pell\n\nPlace:"


def test_pages_without_text_are_said_to_be_there() -> None:
    parsed = read("scan.pdf", printed(page_of("Text."), [], []))
    assert parsed.documents[0].text == "Text."
    assert parsed.notes == ("2 of 3 pages have no text; they may be scans",)
    with pytest.raises(NotReadable, match=r"^no text in it; it may be a scan, which needs OCR$") as caught:
        read("scan.pdf", printed([], []))
    assert caught.value.kind == "no text"


def test_a_pdf_that_asks_for_a_password_is_encrypted_and_one_that_only_restricts_is_read() -> None:
    with pytest.raises(NotReadable, match=r"^encrypted: it opens with a password only$") as caught:
        sample("locked.pdf")
    assert caught.value.kind == "encrypted"
    assert "Hildegard Mott" in sample("restricted.pdf").documents[0].text


def test_a_pdf_of_too_many_pages_is_refused_as_a_whole() -> None:
    raw = printed([], [], page_of("Text."))
    with pytest.raises(NotReadable, match=r"^3 pages, at most 2 are read \(--max-pages\)$") as caught:
        parse(BY_NAME["pdf"], "a", raw, FileLimits(pages=2))
    assert caught.value.kind == "limit"


@pytest.mark.parametrize(
    ("stated", "title"),
    [("The Plan", "The Plan"), ("Microsoft Word - plan.doc", "a"), ("untitled", "a"), ("plan.docx", "a"), ("", "a")],
)
def test_a_title_that_a_program_made_up_is_none(stated: str, title: str) -> None:
    info = b"<< /Title (%b) /CreationDate (D:20240131120000+01'30') >>" % stated.encode()
    raw = printed(page_of("Text."))
    objects = [raw.split(b" 0 obj\n")[n + 1].split(b"\nendobj")[0] for n in range(5)]
    document = only("a.pdf", pdf_of(*objects, info).replace(b"trailer\n<<", b"trailer\n<< /Info 6 0 R"))
    assert document.title == title
    assert document.meta == {"created": "2024-01-31T12:00:00+01:30"}
