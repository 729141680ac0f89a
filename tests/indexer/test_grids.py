"""Tables inside documents: headers, merged cells, names at the head of rows, each row one line."""

from __future__ import annotations

import io

import docx
import pptx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts.parsed_bytes import parse

from deformer_qa.indexer.formats.tables import Cell, lines

_HEAD = "<tr><th>Product<th>Price<th>Stock</tr>"


def text_of(table: str) -> str:
    return parse("a.html", f"<table>{table}</table>".encode()).documents[0].text


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (f"{_HEAD}<tr><td>Marvex<td>12.50<td></tr>", ["| Product | Price | Stock |", "Product: Marvex, Price: 12.50."]),
        (
            "<tr><td>Town<td>People</tr><tr><td>Ulm<td>126,000</tr>",
            ["| Town | People |", "Town: Ulm, People: 126,000."],
        ),
        ("<tr><td>a<td>b<td>1</tr><tr><td>c<td>d<td>2</tr>", ["| a | b | 1 |", "| c | d | 2 |"]),
        (
            "<tr><th>Born<td>12 May 1950</tr><tr><th>Post:<td>Chief cook.</tr>",
            ["Born: 12 May 1950.", "Post: Chief cook."],
        ),
        (
            "<tr><td>Author<td>Ann Orl</tr><tr><td>Year<td>1950</tr><tr><td>Press<td>Kestrel</tr>",
            ["Author: Ann Orl.", "Year: 1950.", "Press: Kestrel."],
        ),
        ("<tr><th colspan=2>Life</tr><tr><th>Born<td>1950</tr>", ["Life", "Born: 1950."]),
        ("<tr><td><th>2020<th>2021</tr><tr><th>Lamps<td>3<td>4</tr>", ["| 2020 | 2021 |", "Lamps, 2020: 3, 2021: 4."]),
        ("<tr><td><td>2020<td>2021</tr><tr><td>Lamps<td>3<td>4</tr>", ["| 2020 | 2021 |", "Lamps, 2020: 3, 2021: 4."]),
        (
            "<tr><th rowspan=2>Item<th colspan=2>Sales</tr><tr><th>2020<th>2021</tr><tr><td>Lamp<td>3<td>4</tr>",
            ["| Item | Sales |", "| Item | 2020 | 2021 |", "Item: Lamp, Sales 2020: 3, Sales 2021: 4."],
        ),
        (
            "<tr><th>Land<th>Town</tr><tr><td rowspan=2>Ost<td>Ulm</tr><tr><td>Ems</tr><tr><td>West<td>Aar</tr>",
            ["| Land | Town |", "Land: Ost, Town: Ulm.", "Land: Ost, Town: Ems.", "Land: West, Town: Aar."],
        ),
        (
            "<tr><th>Day<th>Morning<th>Evening</tr><tr><td>Mon<td colspan=2>closed</tr><tr><td colspan=2>All<td>3</tr>",
            ["| Day | Morning | Evening |", "Day: Mon, Morning: closed, Evening: closed.", "Day: All, Evening: 3."],
        ),
        (
            f"{_HEAD}<tr><td colspan=3>Lamps</tr><tr><td>A<td>1<td>2</tr>",
            ["| Product | Price | Stock |", "Lamps", "Product: A, Price: 1, Stock: 2."],
        ),
        (
            f"{_HEAD}<tr hidden><td>no</tr><tr><td>A<td style='display:none'>7<td>2</tr>",
            ["| Product | Price | Stock |", "Product: A, Stock: 2."],
        ),
        ("<tr><th>Heirs<td><ul><li>Ann<li>Tom</ul></tr><tr><th>Age<td>7</tr>", ["Heirs: Ann, Tom.", "Age: 7."]),
        ("<thead><tr><td>Town<td>Sea</thead><tr><td>Ulm<td>none</tr>", ["| Town | Sea |", "Town: Ulm, Sea: none."]),
        (
            "<tr><td><td colspan=2>2023<td colspan=2>2024</tr><tr><td>Crop<td>Area<td>Yield<td>Area<td>Yield</tr>"
            "<tr><td>Rye<td>4<td>5<td>6<td>7</tr><tr><td>Oats<td>8<td><td colspan=2>fallow</tr>",
            [
                "| 2023 | 2024 |",
                "| Crop | Area | Yield | Area | Yield |",
                "Crop: Rye, 2023 Area: 4, 2023 Yield: 5, 2024 Area: 6, 2024 Yield: 7.",
                "Crop: Oats, 2023 Area: 8, 2024 Area: fallow, 2024 Yield: fallow.",
            ],
        ),
        ("<tr><th>Day<th>Open</tr><tr><td>Mon<td colspan=3>no</tr>", ["| Day | Open |", "Day: Mon, Open: no."]),
        (
            "<tr><th>A<th>B</tr><tr><td>1<td>2</tr><tr><th>C<th>D</tr><tr><td>3<td>4</tr>",
            ["| A | B |", "A: 1, B: 2.", "| C | D |", "C: 3, D: 4."],
        ),
    ],
)
def test_rows_of_a_page_are_lines_that_name_their_columns(table: str, expected: list[str]) -> None:
    assert text_of(table).split("\n") == expected


def test_a_table_of_one_column_is_text() -> None:
    assert text_of("<tr><td><p>One.</p><p>Two.</p></tr><tr><td>Three.</tr>") == "One.\n\nTwo.\n\nThree."


def test_a_table_without_texts_side_by_side_arranges_a_page() -> None:
    note = "<tr><td rowspan=2><img alt='[Note]'></td><th>Note</th></tr><tr><td><p>One.</p><ul><li>Two</ul></td></tr>"
    assert text_of(note) == "Note\n\nOne.\n\n- Two"


def test_named_columns_hold_data_whatever_tables_stand_in_cells() -> None:
    inner = "<table><tr><td>wet<td>oats</tr></table>"
    rows = f"<tr><th>Gate<th>Meaning</tr><tr><td>%N<td>north</tr><tr><td>%S<td>south:{inner}</tr>"
    assert text_of(rows) == "| Gate | Meaning |\nGate: %N, Meaning: north.\nGate: %S, Meaning: south: | wet | oats |."
    unnamed = f"<tr><td>Menu<td>News</tr><tr><td>Home<td>{inner}</tr>"
    assert text_of(unnamed) == "Menu\n\nNews\n\nHome\n\n| wet | oats |"


def test_links_of_a_book_to_its_next_page_are_no_text() -> None:
    page = "<div class=navheader><table><tr><td>Prev<td>Next</tr></table></div><p>Text.</p>"
    assert parse("a.html", page.encode()).documents[0].text == "Text."
    assert parse("a.html", page[:-12].encode()).documents[0].text == "| Prev | Next |"


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ("<dt>-a<dd>All of it.<dt>-b<dd>Best.", "-a: All of it.\n-b: Best."),
        ("<dt>-a<br></dt><dt>--all</dt><dd><p>All.</p><p>Even more.</p></dd><dt>-b</dt><dd>Best.</dd>",
         "-a, --all: All.\n\nEven more.\n\n-b: Best."),
        ("<dt>-a<br>--all</dt>\n<dd>All.</dd>", "-a, --all: All."),
        ("<dt>Why?<dd>Because.<dt>Name:<dd>Ann.", "Why? Because.\nName: Ann."),
        ("<dt>Colours<dd><ul><li>red<li>blue</ul><dt>Code<dd><pre>a\nb</pre>",
         "Colours\n\n- red\n- blue\n\nCode\n\na\nb"),
        ("<dt>1. One<dt>2. Two<dd><dl><dt>2.1 Three</dl>", "1. One\n2. Two\n\n2.1 Three"),
        ("<dt><h3>Part</h3></dt><dd>Text.<dt></dt><dd>More.<dt>End<dd>", "Part\n\nText.\nMore.\nEnd"),
    ],
)  # fmt: skip
def test_a_term_and_its_definition_are_one_line(terms: str, expected: str) -> None:
    page = parse("a.html", f"<dl>{terms}</dl><p>After.</p>".encode()).documents[0]
    assert page.text == f"{expected}\n\nAfter."
    assert all(page.text[offset:].startswith(heading) for offset, heading in page.outline)


def test_merged_cells_of_word_and_powerpoint_are_followed() -> None:
    expected = [
        "| Land | Town | Sea |",
        "Land: Ost, Town: Ulm.",
        "Land: Ost, Town: Ems, Sea: Grey.",
        "Land: West, Town: Aar.",
    ]
    rows = [("Land", "Town", "Sea"), ("Ost", "Ulm", ""), ("", "Ems", "Grey"), ("West", "Aar", "")]
    document, deck = docx.Document(), pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    for table in (document.add_table(4, 3), slide.shapes.add_table(4, 3, 0, 0, 99, 99).table):
        for at, row in enumerate(rows):
            for column, text in enumerate(row):
                table.cell(at, column).text = text
        table.cell(1, 0).merge(table.cell(2, 0))
    for name, file in (("a.docx", document), ("a.pptx", deck)):
        saved = io.BytesIO()
        file.save(saved)
        assert parse(name, saved.getvalue()).documents[0].text.split("\n")[-4:] == expected


@given(
    st.lists(
        st.lists(
            st.builds(
                Cell, st.sampled_from(["", "a", "7", "b c"]), st.booleans(), st.integers(1, 3), st.integers(0, 3)
            ),
            max_size=4,
        ),
        max_size=6,
    )
)
def test_every_row_of_any_table_is_one_line_with_all_its_cells(rows: list[list[Cell]]) -> None:
    found = lines(rows)
    assert len(found) == len(rows)
    for row, line in zip(rows, found, strict=True):
        assert "\n" not in line
        assert all(cell.text in line for cell in row)
