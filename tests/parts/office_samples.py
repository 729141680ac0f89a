"""How were the office files in ``samples/`` made? Run it, with LibreOffice there, to make them again.

``cd tests && python -m parts.office_samples [FOLDER]`` writes them anew; dates inside them change, facts do not. What
python-docx, python-pptx, openpyxl and csv write is theirs; the others are such files as LibreOffice saves them. The
questions about them stand in ``samples/questions_office.json``.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

from parts import SAMPLES


def main(folder: Path) -> None:
    """Make them all."""
    folder.mkdir(exist_ok=True)
    harbour(folder / "harbour.docx")
    ferry(folder / "ferry.pptx")
    warehouse(folder / "warehouse.xlsx")
    members(folder / "members.csv")
    with tempfile.TemporaryDirectory() as scratch:
        there = Path(scratch)
        for make, begun, *steps in (
            (observatory, "observatory.docx", "odt", "docx"),  # twice through LibreOffice, so that nothing is as it was
            (lighthouse, "lighthouse.docx", "odt"),
            (bakery, "bakery.docx", "rtf"),
            (quarry, "quarry.docx", "doc"),
            (museum, "museum.pptx", "odp", "pptx"),
            (orchard, "orchard.pptx", "odp"),
            (expedition, "expedition.xlsx", "ods", "xlsx"),
            (wells, "wells.xlsx", "ods"),
            (choir, "choir.xlsx", "xls"),
            (bridges, "bridges.xlsx", "csv:Text - txt - csv (StarCalc):59,34,76"),
        ):
            assert callable(make)
            convert(make, there / str(begun), [str(step) for step in steps], folder)
    locked(folder / "observatory.docx", folder / "locked.docx")


def convert(make: Callable[[Path], None], begun: Path, steps: list[str], folder: Path) -> None:
    """Make a file and have LibreOffice save it in one format after the other."""
    make(begun)
    file = begun
    for number, step in enumerate(steps):
        target = folder if number == len(steps) - 1 else begun.parent / str(number)
        profile = f"-env:UserInstallation={(begun.parent / 'profile').as_uri()}"
        command = ["soffice", profile, "--headless", "--convert-to", step, "--outdir", str(target), str(file)]
        subprocess.run(command, check=True, capture_output=True)
        file = target / f"{begun.stem}.{step.partition(':')[0]}"
    assert file.exists(), file


# Texts


def harbour(path: Path) -> None:
    """Headings, a list, a table, a footnote-free report of three pages; the page marks are those that Word writes."""
    import docx
    from docx.enum.text import WD_BREAK
    from docx.oxml import OxmlElement

    document = docx.Document()
    properties = document.core_properties
    properties.title, properties.author = "Harbour report of Port Elmsworth", "Tilda Varnhagen"
    properties.subject, properties.keywords, properties.language = "Dredging", "harbour, dredging", "en-GB"
    properties.created = datetime(2024, 3, 18, 9, 30)
    document.add_heading("Harbour report", 0)
    document.add_heading("The new breakwater", 1)
    document.add_paragraph(
        "The northern breakwater of Port Elmsworth was finished on 14 February 2023. It is 612 metres long and was "
        "built by the firm Ostrander and Lowe."
    )
    document.add_heading("Dredging", 1)
    paragraph = document.add_paragraph()
    run = paragraph.add_run()
    run.add_break(WD_BREAK.PAGE)
    run = paragraph.add_run()
    run._r.append(OxmlElement("w:lastRenderedPageBreak"))
    run.add_text("The dredger Pelikaan deepened the eastern channel to 9.4 metres in the summer of 2023.")
    document.add_paragraph("Three tasks remain:", style=None)
    for task in ("marking the channel with buoys", "removing the wreck of the Sandpiper", "new charts"):
        document.add_paragraph(task, style="List Bullet")
    document.add_heading("Traffic", 1)
    paragraph = document.add_paragraph()
    run = paragraph.add_run()
    run._r.append(OxmlElement("w:lastRenderedPageBreak"))
    run.add_text("The table shows the arrivals of each year.")
    table = document.add_table(rows=0, cols=3)
    for row in (("Year", "Ships", "Largest ship"), ("2022", "418", "Corvanna"), ("2023", "467", "Halden Star")):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_paragraph("The harbour master, Ingeborg Falk, expects 500 ships in 2024.")
    document.save(path)


def letter(path: Path, title: str, *parts: tuple[str, str]) -> None:
    """A plain text with a heading over each paragraph."""
    import docx

    document = docx.Document()
    document.core_properties.title = title
    document.core_properties.author = "Tilda Varnhagen"
    document.add_heading(title, 0)
    for heading, text in parts:
        document.add_heading(heading, 1)
        document.add_paragraph(text)
    document.save(path)


def observatory(path: Path) -> None:
    letter(
        path,
        "The observatory on Mount Kellin",
        ("History", "The observatory was founded in 1887 by the astronomer Aurelia Brandvold."),
        ("Instruments", "Its main telescope, the Morrow refractor, has a lens of 71 centimetres."),
        ("Visitors", "The dome is open to visitors on Thursdays; a ticket costs 6 crowns."),
    )


def lighthouse(path: Path) -> None:
    letter(
        path,
        "The lighthouse of Skarnholm",
        ("The tower", "The lighthouse of Skarnholm is 43 metres tall and was lit for the first time in 1871."),
        ("The keepers", "Its last keeper was Matthias Ekelund, who left the island in 1984."),
    )


def bakery(path: Path) -> None:
    letter(
        path,
        "Rules of the Dunmore bakery",
        ("The oven", "The stone oven is heated to 270 degrees with beech wood."),
        ("The dough", "The rye dough of the Dunmore bakery rests for nineteen hours in the cellar."),
    )


def quarry(path: Path) -> None:
    letter(
        path,
        "The Tolvaren quarry",
        ("Stone", "The Tolvaren quarry yields a green marble that is called verdanite."),
        ("Closure", "It was closed in 1962 after a flood, and its pumps were sold to the town of Reddick."),
    )


# Slides


def ferry(path: Path) -> None:
    """Titles, a list, a table, a group, speaker notes."""
    import pptx
    from pptx.util import Inches

    deck = pptx.Presentation()
    deck.core_properties.title, deck.core_properties.author = "The Lundvik ferry", "Tilda Varnhagen"
    slide = deck.slides.add_slide(deck.slide_layouts[0])
    slide.shapes.title.text = "The Lundvik ferry"
    slide.placeholders[1].text = "A talk for the town council"
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "The ship"
    frame = slide.placeholders[1].text_frame
    frame.text = "The ferry Solveig carries 48 cars."
    frame.add_paragraph().text = "It was built by the Arnheim yard in 2016."
    slide.notes_slide.notes_text_frame.text = "The captain of the Solveig is Runa Tveit."
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Timetable"
    table = slide.shapes.add_table(3, 3, Inches(1), Inches(2), Inches(8), Inches(2)).table
    rows = (("Crossing", "Departure", "Duration"), ("Morning", "06:45", "35 minutes"), ("Night", "23:10", "50 minutes"))
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            table.cell(number, column).text = text
    group = slide.shapes.add_group_shape()
    box = group.shapes.add_textbox(Inches(1), Inches(5), Inches(6), Inches(1))
    box.text_frame.text = "Bicycles travel free of charge from May to September."
    deck.save(path)


def talk(path: Path, title: str, *slides: tuple[str, str]) -> None:
    """A slide for each title and text."""
    import pptx

    deck = pptx.Presentation()
    deck.core_properties.title = title
    for heading, text in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = heading
        slide.placeholders[1].text_frame.text = text
    deck.save(path)


def museum(path: Path) -> None:
    talk(
        path,
        "The clock museum of Varrick",
        ("The clock museum", "The clock museum of Varrick keeps 1,140 clocks."),
        ("The oldest piece", "Its oldest clock was made by Jorund Pask in 1588."),
        ("Opening hours", "The museum is closed on Tuesdays."),
    )


def orchard(path: Path) -> None:
    talk(
        path,
        "The Pellworth orchard",
        ("Trees", "The Pellworth orchard has 2,300 apple trees."),
        ("Harvest", "The harvest of the variety Amberlane begins on 3 September."),
    )


def locked(source: Path, path: Path) -> None:
    """The same text behind a password; msoffcrypto-tool encrypts as Word does."""
    from msoffcrypto.format.ooxml import OOXMLFile

    with source.open("rb") as plain, path.open("wb") as encrypted:
        OOXMLFile(plain).encrypt("secret", encrypted)


# Tables


def warehouse(path: Path) -> None:
    """Two sheets and a hidden one; the first has a title above its table, and empty rows and columns."""
    import openpyxl

    book = openpyxl.Workbook()
    book.properties.title, book.properties.creator = "Stock of the Osterholm warehouse", "Tilda Varnhagen"
    sheet = book.active
    sheet.title = "Stock"
    sheet["B2"] = "Stock on the last day of the year"
    sheet.append([])
    sheet.append([None, "Product", "Price", "In stock", "Last order", "Share"])
    for row in (
        ("Marvex pump", 12.5, 140, date(2024, 5, 17), 0.125),
        ("Tolina valve", 1180, 36, date(2024, 2, 3), 0.5),
        ("Quinsel hose", 7.25, 905, date(2023, 11, 29), 0.375),
    ):
        sheet.append([None, *row])
        sheet.cell(sheet.max_row, 3).number_format = '#,##0.00 "€"'
        sheet.cell(sheet.max_row, 6).number_format = "0.0%"
    other = book.create_sheet("Suppliers")
    for supplier in (
        ("Supplier", "Town", "Contact"),
        ("Hendrik Faber", "Kestrel Bay", "Anneke Roos"),
        ("Brindle Works", "Tarnow", "Pavel Zeman"),
    ):
        other.append(supplier)
    hidden = book.create_sheet("Codes")
    hidden.append(["The safe of the warehouse was made by Ludgate and Sons."])
    hidden.sheet_state = "hidden"
    book.save(path)


def table(path: Path, name: str, *rows: tuple[Any, ...]) -> None:
    """One sheet."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = name
    for row in rows:
        book.active.append(row)
    book.save(path)


def expedition(path: Path) -> None:
    """With formulas, whose values LibreOffice puts in."""
    table(
        path,
        "Costs",
        ("Item", "Days", "Daily rate", "Total"),
        ("Sled dogs", 42, 310, "=B2*C2"),
        ("Interpreter Nuka Petersen", 12, 95, "=B3*C3"),
        ("Radio operator Sven Aldous", 42, 120, "=B4*C4"),
        ("Sum", None, None, "=SUM(D2:D4)"),
    )


def wells(path: Path) -> None:
    table(
        path,
        "Wells",
        ("Well", "Depth (m)", "Owner"),
        ("Ashcombe", 37, "Rosalind Tarr"),
        ("Nether Pole", 52, "the parish of Wexcombe"),
    )


def choir(path: Path) -> None:
    table(
        path,
        "Singers",
        ("Singer", "Voice", "Member since"),
        ("Odile Marchetti", "alto", date(1998, 10, 1)),
        ("Bram Oosterling", "bass", date(2011, 4, 12)),
    )


def bridges(path: Path) -> None:
    """Saved with semicolons, as spreadsheets do in most of Europe."""
    table(
        path,
        "Bridges",
        ("Bridge", "River", "Length (m)", "Opened"),
        ("Karlsbrook bridge", "Wend", 214.5, 1907),
        ("Iron bridge of Molde", "Sarre", 88, 1869),
        ("Anselm viaduct", "Upper Wend", 451, 1931),
    )


def members(path: Path) -> None:
    """As Python's csv writes it, with a cell of two lines and one with commas and quotes."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Name", "Born", "Town", "Instrument", "Remark"])
        writer.writerow(["Leontine Abara", "1984-06-02", "Göttlin", "viola", "plays in\nthe town quartet"])
        writer.writerow(["Casimir Dunn", "1971-12-19", "Port Elm", "bassoon", 'says "never again", every year'])
        writer.writerow(["Yusra Haldane", "1990-03-08", "Marrowby", "harp", ""])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES)
