"""What is read of spreadsheets and of tables as text: a line a row, its number, its columns' names, values as shown."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import SAMPLES
from parts.office_files import changed

from deformer_qa.indexer import FileLimits
from deformer_qa.indexer.formats import NotReadable, ParsedDocument, format_of, parse
from deformer_qa.indexer.formats.xlsx import shown
from deformer_qa.store.locations import LOCATIONS, kept_locations, location_at


def read(name: str, raw: str | bytes, limits: FileLimits | None = None) -> ParsedDocument:
    raw = raw.encode() if isinstance(raw, str) else raw
    (document,) = parse(format_of(name, raw), Path(name).stem, raw, limits or FileLimits()).documents
    return document


def rows(document: ParsedDocument) -> list[tuple[int | str, str]]:
    """The row and the text of each line."""
    found, at = [], 0
    meta = {LOCATIONS: kept_locations(document.locations, document.text)}
    for line in document.text.split("\n"):
        if line:
            found.append((location_at(meta, document.text, at)["row"], line))
        at += len(line) + 1
    return found


def book(*sheets: tuple[str, list[list[Any]]]) -> openpyxl.Workbook:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for title, lines in sheets:
        sheet = made.create_sheet(title)
        for line in lines:
            sheet.append(line)
    return made


def saved(made: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


# Tables


def test_rows_name_their_columns_and_keep_their_numbers() -> None:
    lines = [["Town", "People"], ["Ulm", 126000], [], [None, 7], ["Ems", None]]
    found = read("a.xlsx", saved(book(("Towns", [[], *lines]))))
    assert rows(found) == [
        (2, "Towns"),
        (2, "| Town | People |"),
        (3, "Town: Ulm, People: 126000."),
        (5, "People: 7."),
        (6, "Town: Ems."),
    ]
    assert found.outline == ((0, "Towns"),)


def test_a_title_above_a_table_and_a_second_table_below_it_have_lines_of_their_own() -> None:
    found = read(
        "a.csv",
        "Report 2023,,\n\nLamp,Price\nAda,12\nBo,9\n\nNorth,\nClerk,Room\nEva,214\nTom,7\n\nNotes,as written,here\n",
    )
    assert rows(found) == [
        (1, "Report 2023"),
        (3, "| Lamp | Price |"),
        (4, "Lamp: Ada, Price: 12."),
        (5, "Lamp: Bo, Price: 9."),
        (7, "North"),
        (8, "| Clerk | Room |"),
        (9, "Clerk: Eva, Room: 214."),
        (10, "Clerk: Tom, Room: 7."),
        (12, "| Notes | as written | here |"),
    ]


def test_a_table_of_texts_below_an_empty_row_goes_on_with_the_header_above() -> None:
    found = read("a.csv", "Name,Town\nEva,Ulm\n\nTom,Ems\nIda,Bonn\n")
    assert rows(found)[2:] == [(4, "Name: Tom, Town: Ems."), (5, "Name: Ida, Town: Bonn.")]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("Name,Town\nEva,Ulm\nTom,Ems\n", True),
        ("Town,2021,2022\nUlm,3,4\n", True),
        ("1,2\n3,4\n", False),
        ("Ulm,12\nEms,13\n", False),
        ("Eva,Ulm\nTom,Ulm\n", False),  # what stands in the column again is no name of it
        ("Name,Name\na,b\n", False),
        (f"{'long ' * 20},b\nc,d\n", False),
        ("Name,Town\n", False),
    ],
)
def test_a_header_is_told_from_data(text: str, header: bool) -> None:
    assert (": " in read("a.csv", text).text) == header


def test_a_filled_form_has_no_header_and_a_corner_may_be_empty() -> None:
    form = "Applicant,Leona Marsh\nBorn,1988-04-17\nPost,Warehouse clerk\nSalary,2900\n\nName,Price,Room\nLamp,12,4\n"
    assert [line for _, line in rows(read("a.csv", form))][:6] == [
        "Applicant: Leona Marsh.",
        "Born: 1988-04-17.",
        "Post: Warehouse clerk.",
        "Salary: 2900.",
        "| Name | Price | Room |",
        "Name: Lamp, Price: 12, Room: 4.",
    ]
    corner = rows(read("a.csv", ",2021,2022\nLamps,3,4\n"))
    assert [line for _, line in corner] == ["| 2021 | 2022 |", "Lamps, 2021: 3, 2022: 4."]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            ",2023,,2024,\nCrop,Area,Yield,Area,Yield\nRye,4,5,6,7\n",
            "Crop: Rye, 2023 Area: 4, 2023 Yield: 5, 2024 Area: 6, 2024 Yield: 7.",
        ),
        (
            "Crop,2023,,2024,\n,Area,Yield,Area,Yield\nRye,4,,6,7\n",
            "Crop: Rye, 2023 Area: 4, 2024 Area: 6, 2024 Yield: 7.",
        ),
        (
            ",Sales,,EU,\nTown,2023,2024,2023,2024\nUlm,1,2,3,4\n",
            "Town: Ulm, Sales 2023: 1, Sales 2024: 2, EU 2023: 3, EU 2024: 4.",
        ),
        # a title, a date beside it, and an unnamed column are no groups
        ("Report,,\nTown,Lamps,Cups\nUlm,1,2\n", "Town: Ulm, Lamps: 1, Cups: 2."),
        ("Report,,2023\nTown,Lamps,Cups\nUlm,1,2\n", "Town: Ulm, Lamps: 1, Cups: 2."),
        ("Town,Lamps,\nUlm,1,x\nEms,2,y\n", "| Ems | 2 | y |"),
    ],
)
def test_two_rows_are_one_header_where_the_first_has_groups_over_the_second(text: str, line: str) -> None:
    assert rows(read("a.csv", text))[-1] == (text.count("\n"), line)


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\t;|")), min_size=2, max_size=4),
        max_size=30,
    )
)
def test_every_cell_of_any_table_is_found_in_the_line_of_its_row(lines: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    import csv

    csv.writer(file).writerows([["Alpha", "Beta", "Gamma", "Delta"], *lines])
    document = read("a.csv", file.getvalue().encode())
    by_row = dict(rows(document))
    for number, line in enumerate(lines, 2):
        for cell in line:
            assert " ".join(cell.split()) in by_row.get(number, "")


# Spreadsheets


def test_sheets_stand_under_their_names_and_hidden_ones_too() -> None:
    made = book(("One", [["a"]]), ("Empty", []), ("Two", [["b"]]), ("Deep", [["c"]]))
    made["Two"].sheet_state = "hidden"
    made["Deep"].sheet_state = "veryHidden"
    made["One"].row_dimensions[1].hidden = True
    found = read("a.xlsx", saved(made))
    assert found.text == "One\n\na\n\nTwo\n\nb\n\nDeep\n\nc"
    assert [name for _, name in found.locations["sheet"]] == ["One", "Two", "Deep"]
    assert rows(found) == [(1, line) for line in ("One", "a", "Two", "b", "Deep", "c")]


def test_more_sheets_than_allowed_are_refused() -> None:
    raw = saved(book(("One", [["a"]]), ("Two", [["b"]])))
    with pytest.raises(NotReadable, match=r"2 sheets, at most 1 are read \(--max-pages\)"):
        read("a.xlsx", raw, FileLimits(pages=1))


def test_a_formula_shows_its_last_value() -> None:
    expedition = SAMPLES / "expedition.xlsx"  # LibreOffice calculated it
    assert "Item: Sum, Total: 19200." in read("a.xlsx", expedition.read_bytes()).text


def test_a_cell_in_the_last_corner_costs_nothing() -> None:
    made = book(("One", [["first"]]))
    made["One"]["XFD1048576"] = "last"
    assert rows(read("a.xlsx", saved(made))) == [(1, "One"), (1, "first"), (1_048_576, "last")]


def test_a_merged_cell_belongs_to_each_of_its_rows_and_columns() -> None:
    made = book(("One", [
        ["Depots in spring"],
        ["Region", "2023", None, "2024", None],
        [None, "Area", "Yield", "Area", "Yield"],
        ["North", 1, 2, 3, 4],
        [None, 5, None, 6, 7],
        ["South", 8, "closed", None, 9],
        ["Total", None, 10, 11, 12],
        [None] * 5,
        ["As counted in May"],
    ]))  # fmt: skip
    for merged in ("A1:E1", "A2:A3", "B2:C2", "D2:E2", "A4:A5", "C6:D6", "A7:B7", "A8:B8", "A9:E9"):
        made["One"].merge_cells(merged)
    assert [line for _, line in rows(read("a.xlsx", saved(made)))][1:] == [
        "Depots in spring",
        "| Region | 2023 | 2024 |",
        "| Region | Area | Yield | Area | Yield |",
        "Region: North, 2023 Area: 1, 2023 Yield: 2, 2024 Area: 3, 2024 Yield: 4.",
        "Region: North, 2023 Area: 5, 2024 Area: 6, 2024 Yield: 7.",
        "Region: South, 2023 Area: 8, 2023 Yield: closed, 2024 Area: closed, 2024 Yield: 9.",
        "Region: Total, 2023 Yield: 10, 2024 Area: 11, 2024 Yield: 12.",
        "As counted in May",
    ]


def test_merged_cells_of_any_size_cost_nothing_and_repeat_no_long_text() -> None:
    long = "long " * 30 + "word"
    raw = saved(book(("One", [["a", "b"], [long, "c"], [None, "d"]])))
    merged = b"</sheetData><mergeCells>" + b"".join(
        b'<mergeCell ref="%b"/>' % ref for ref in (b"A2:A1048576", b"B1:XFD1", b"B3:XFD9", b"A1:ZZZ1")
    )
    raw = changed(
        raw, {"xl/worksheets/sheet1.xml": lambda old: old.replace(b"</sheetData>", merged + b"</mergeCells>")}
    )
    assert rows(read("a.xlsx", raw))[1:] == [(1, "| a | b |"), (2, f"a: {long}, b: c."), (3, "b: d.")]


def test_what_a_sheet_says_of_its_size_is_not_believed() -> None:
    raw = saved(book(("One", [["first", "second"]])))
    for size in (b"A1", b"A1:XFD1048576"):
        edit = {"xl/worksheets/sheet1.xml": lambda old, size=size: old.replace(b'ref="A1:B1"', b'ref="' + size + b'"')}
        assert read("a.xlsx", changed(raw, edit)).text == "One\n\n| first | second |"


@pytest.mark.parametrize(
    ("value", "number_format", "seen"),
    [
        (12.5, '#,##0.00 "€"', "12.50 €"),
        (1234567.891, "[$$-409]#,##0.00;[Red]-[$$-409]#,##0.00", "$1,234,567.89"),
        (1180, "#,##0.00\\ [$€-407]", "1,180.00 €"),
        (0.125, "0.0%", "12.5%"),
        (7, '0 "km"', "7 km"),
        (-5.5, "0.00;(0.00)", "-5.50"),
        (-0.001, "0.00", "0.00"),
        (1.0, "0.##", "1"),
        (5, "_-* #,##0_-", "5"),
        (0.1 + 0.2, "General", "0.3"),
        (3.0, "General", "3"),
        (12345678, "0.00E+00", "12345678"),
        (1.5, "# ?/?", "1.5"),
        (1e22, "0", "1e+22"),
        (float("nan"), "0.0", "nan"),
        (True, "General", "TRUE"),
        ("two\nlines", "@", "two lines"),
        (datetime(2024, 5, 17), "dd/mm/yyyy", "2024-05-17"),
        (datetime(2024, 5, 17, 9, 30), "General", "2024-05-17 09:30"),
        (date(2024, 5, 17), "General", "2024-05-17"),
        (time(9, 30), "General", "09:30:00"),
        (timedelta(hours=30, seconds=5), "[h]:mm", "30:00:05"),
    ],
)
def test_values_are_shown_as_a_person_sees_them(value: object, number_format: str, seen: str) -> None:
    assert shown(value, number_format) == seen


@given(st.floats(), st.text(st.sampled_from('0#,.%;"\\[$€-409]_*? Ee/@')))
def test_any_number_is_shown_in_any_format(value: float, number_format: str) -> None:
    assert "\n" not in shown(value, number_format)


# Tables as text


@pytest.mark.parametrize(
    "text",
    [
        "Name,Price\nLamp,12\nBowl,3\n",
        "Name;Price\nLamp;12\nBowl;3\n",
        "Name\tPrice\r\nLamp\t12\r\nBowl\t3\r\n",
        "Name|Price\nLamp|12\nBowl|3",
        '"Name","Price"\r"Lamp","12"\r"Bowl","3"\r',
        "sep=;\nName;Price\nLamp;12\nBowl;3\n",
        "\ufeffName,Price\nLamp,12\nBowl,3\n",
    ],
)
def test_the_delimiter_is_found(text: str) -> None:
    wanted = [(1, "| Name | Price |"), (2, "Name: Lamp, Price: 12."), (3, "Name: Bowl, Price: 3.")]
    assert rows(read("a.csv", text)) == wanted


def test_commas_in_numbers_and_prose_part_no_cells() -> None:
    found = read("a.csv", "Name;Price;Remark\nLamp;12,50;red, tall, new\nBowl;3,20;old, green, flat\n")
    assert rows(found)[1] == (2, "Name: Lamp, Price: 12,50, Remark: red, tall, new.")
    assert rows(read("b.csv", "One sentence\nAnother one\n")) == [(1, "One sentence"), (2, "Another one")]


def test_a_cell_of_several_lines_is_one_row_and_ragged_rows_lose_nothing() -> None:
    found = read("a.csv", 'Name,Price\n"Lamp\nfrom\u2028Ulm",12\nBowl\nCup,3,4,5\n\nJug,6\n')
    assert rows(found) == [
        (1, "| Name | Price |"),
        (2, "Name: Lamp from Ulm, Price: 12."),
        (3, "Name: Bowl."),
        (4, "| Cup | 3 | 4 | 5 |"),
        (6, "Name: Jug, Price: 6."),
    ]


def test_a_quote_that_is_never_closed_costs_no_row() -> None:
    found = read("a.csv", 'Pipe,Price\n"5 inch,12\n6" wide,13\n"7 inch,14\nother,15\n')
    text = found.text
    assert [row for row, _ in rows(found)][-1] == 5 or '"7 inch' in text
    assert rows(read("b.csv", 'Pipe,Price\nPlain,11\n"5 inch,12\nother,15\n')) == [
        (1, "| Pipe | Price |"),
        (2, "Pipe: Plain, Price: 11."),
        (3, 'Pipe: "5 inch, Price: 12.'),
        (4, "Pipe: other, Price: 15."),
    ]


def test_a_long_cell_is_read_and_a_longer_text_is_refused() -> None:
    raw = "Name,Text\nLamp," + "word " * 40_000
    assert len(read("a.csv", raw).text) > 200_000
    with pytest.raises(NotReadable, match="--max-text"):
        read("a.csv", raw, FileLimits(text_characters=100_000))


def test_a_sheet_that_is_named_but_not_there_is_noted() -> None:
    raw = changed(saved(book(("One", [["a"]]), ("Two", [["b"]]))), {"xl/worksheets/sheet2.xml": None})
    assert parse(format_of("a.xlsx", raw), "a", raw, FileLimits()).notes == ("1 sheet is missing",)
