"""Count the questions about a table that are answered, by the form in which its rows are written, for decision 16.

``python benchmarks/table_lines.py [NUMBER ...]`` prints a line for each form, or for the forms with these numbers; each
takes about a minute. The last forms are HTML pages, whose text comes from the HTML parser.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from deformer_qa.index import Index

_SYLLABLES = (
    "mar", "vex", "tol", "ina", "bru", "sk", "ael", "dor", "fen", "gil", "hul", "ost", "pra", "quin", "ras", "sel",
    "tam", "urd", "vel", "wim", "yor", "zan", "lo", "ki", "ne",
)  # fmt: skip
_POSTS = ("surveyor", "welder", "archivist", "cook", "pilot", "botanist", "radio operator")
_STORES = ("Osterholm", "Brindle", "Kestrel Bay", "Tarnow")

Line = Callable[[Sequence[str], Sequence[Any]], str]


def _bars(_: Sequence[str], row: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, row))} |"


def _named(between: str, sign: str = ": ", before: str = "", after: str = "") -> Line:
    def line(header: Sequence[str], row: Sequence[Any]) -> str:
        pairs = (f"{name}{sign}{cell}" for name, cell in zip(header, row, strict=True))
        return before + between.join(pairs) + after

    return line


def _keyed(between: str, sign: str, before: str, after: str, *, again: bool = False) -> Line:
    def line(header: Sequence[str], row: Sequence[Any]) -> str:
        key = f"{row[0]} " if again else ""
        pairs = (f"{key}{name}{sign}{cell}" for name, cell in zip(header[1:], row[1:], strict=True))
        return ("" if again else f"{row[0]}{before}") + between.join(pairs) + after

    return line


FORMS: dict[str, Line] = {
    "| Marvex | 12.50 | 140 |": _bars,
    "Product: Marvex | Price: 12.50": _named(" | "),
    "| Product: Marvex | Price: 12.50 |": _named(" | ", before="| ", after=" |"),
    "Marvex, 12.50, 140.": lambda _, row: f"{', '.join(map(str, row))}.",
    "Product: Marvex, Price: 12.50": _named(", "),
    "Product: Marvex, Price: 12.50.": _named(", ", after="."),
    "Product: Marvex; Price: 12.50.": _named("; ", after="."),
    "Product: Marvex. Price: 12.50.": _named(". ", after="."),
    "Product = Marvex, Price = 12.50.": _named(", ", " = ", after="."),
    "Product Marvex, Price 12.50.": _named(", ", " ", after="."),
    "Marvex: Price 12.50, Stock 140.": _keyed(", ", " ", ": ", "."),
    "Marvex (Price: 12.50; Stock: 140)": _keyed("; ", ": ", " (", ")"),
    "Marvex Price: 12.50. Marvex Stock: 140.": _keyed(" ", ": ", "", "", again=True),
}

_PAGES = {"<table> with <th>": "th", "<table> of <td>": "td"}


def main(numbers: Sequence[int]) -> None:
    """Print for each form how many answers are right."""
    tables, questions = _made(random.Random(3))
    for number, (form, line) in enumerate((FORMS | _PAGES).items()):
        if numbers and number not in numbers:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            for name, (header, rows) in tables.items():
                if isinstance(line, str):
                    file, source = f"{name}.html", _page(name.capitalize(), line, header, rows)
                else:
                    lines = [name.capitalize(), "", _bars((), header), *(line(header, row) for row in rows)]
                    file, source = f"{name}.txt", "\n".join(lines) + "\n"
                (Path(scratch) / file).write_text(source, encoding="utf-8")
            index = Index(Path(scratch) / "store")
            index.index(*Path(scratch).glob("*.[th]*"))
            first = among = unsure = 0
            for question, answer in questions:
                found = index.ask(question)
                texts = [one.place.text.strip(" .|") for one in found.answers]
                first += texts[:1] == [answer]
                among += answer in texts
                unsure += texts[:1] == [answer] and not found.sure
            print(f"{number:2}  {form:40} {first:3} {among:3} {unsure:3}  of {len(questions)}", flush=True)


def _page(title: str, tag: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    parts = [(tag, header), *(("td", row) for row in rows)]
    lines = ("".join(f"<{of}>{escape(str(cell))}</{of}>" for cell in row) for of, row in parts)
    return f"<h1>{title}</h1><table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


Table = tuple[list[str], list[list[Any]]]


def _made(luck: random.Random) -> tuple[dict[str, Table], list[tuple[str, str]]]:
    def name() -> str:
        return "".join(luck.choice(_SYLLABLES) for _ in range(3)).capitalize()

    def day(years: Sequence[int]) -> str:
        return f"{luck.choice(years)}-0{luck.randint(1, 9)}-{luck.randint(10, 28)}"

    def price() -> str:
        return f"{luck.randint(2, 90)}.{luck.randint(10, 99)}"

    products = [
        [name(), price(), luck.randint(3, 400), luck.choice(_STORES), day(range(2021, 2026))] for _ in range(30)
    ]
    staff = [
        [f"{name()} {name()}", luck.choice(_POSTS), f"Room {luck.randint(100, 480)}", day(range(1955, 2000)), name()]
        for _ in range(40)
    ]
    rivers = [
        [name(), luck.randint(40, 900), f"{name()} Hills", f"{name()} Sea", luck.randint(5, 300)] for _ in range(60)
    ]
    asked = (
        (products, (0, 7, 14, 22, 29), (
            "What is the price of the {}?", "How many {} are in stock?", "In which warehouse is the {} kept?",
            "When was {} last ordered?",
        )),
        (staff, (1, 12, 20, 33, 39), (
            "What is the position of {}?", "In which office is {}?", "When was {} born?", "Which is the village of {}?",
        )),
        (rivers, (2, 15, 31, 44, 59), (
            "How long is the river {}?", "Where does the {} rise?", "Into which sea does the {} flow?",
            "What is the discharge of the {}?",
        )),
    )  # fmt: skip
    tables = {
        "products": (["Product", "Price", "Stock", "Warehouse", "Last order"], products),
        "staff": (["Name", "Position", "Office", "Date of birth", "Village"], staff),
        "rivers": (["River", "Length (km)", "Source", "Mouth", "Discharge (m3/s)"], rivers),
    }
    questions = [
        (question.format(rows[at][0]), str(rows[at][column]))
        for rows, places, texts in asked
        for at in places
        for column, question in enumerate(texts, 1)
    ]
    return tables, questions


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]])
