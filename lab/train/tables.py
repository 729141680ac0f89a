"""Make tables as the indexer writes them, and questions about their cells: annotated ones, and made-up look-ups."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.parsed import DEFAULT_LIMITS
from deformer_qa.indexer.formats.tables import is_value, lay_out, row
from deformer_qa.lab.data.json_files import is_text, read_json
from deformer_qa.reader.errors import BadTrainingData

_BARS, _COLONS = 0.12, 0.05
"""Shares of the tables written as people do in plain text: with bars around the cells, or with colons between them."""
_EMPTY = 0.03
"""Share of empty cells in made-up tables."""
_LONGEST_TABLE = 60
"""How many rows of a table are used: more rows teach nothing new."""
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class CellQuestion:
    """A question whose answer is a cell of a table, or part of one.

    :ivar row: index of the row; the header is row 0
    """

    question: str
    row: int
    column: int
    answer: str


@dataclass(frozen=True)
class Table:
    """A table with the questions about it.

    :ivar rows: the header first; all rows have its length
    """

    name: str
    title: str
    rows: tuple[tuple[str, ...], ...]
    questions: tuple[CellQuestion, ...] = ()

    def written(self, chance: random.Random | None = None) -> WrittenTable:
        """Write the table as a document's text: as the indexer does, or at random as people do in plain text."""
        form = chance.random() if chance else 1.0
        if form < _BARS:
            lines = [f"| {' | '.join(cells)} |" for cells in self.rows]
        elif form < _BARS + _COLONS:
            lines = [":".join(cells) for cells in self.rows]
        else:
            layout = Layout()
            lay_out(layout, (row(number, cells) for number, cells in enumerate(self.rows)), DEFAULT_LIMITS)
            lines = layout.finish()[0].split("\n")
        return WrittenTable(self, tuple(lines))


@dataclass(frozen=True)
class WrittenTable:
    """A table's text, one line for each row."""

    table: Table
    lines: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        """The whole text."""
        return "\n".join(self.lines)

    def place(self, asked: CellQuestion) -> tuple[int, int] | None:
        """Locate the answer to a question in the text; None if that is not certain."""
        if len(self.lines) != len(self.table.rows):
            return None  # a row without cells has no line
        first = sum(len(line) + 1 for line in self.lines[: asked.row])
        line = self.lines[asked.row]
        cells = self.table.rows[asked.row]
        before = [cell for cell in cells[: asked.column] if cell]
        at = 0
        for cell in before:  # skip the cells before it
            at = line.find(cell, at)
            if at < 0:
                return None
            at += len(cell)
        start = line.find(cells[asked.column], at)
        inside = cells[asked.column].lower().find(asked.answer.lower())
        if start < 0 or inside < 0 or not asked.answer:
            return None
        return first + start + inside, first + start + inside + len(asked.answer)


def read_tables(path: Path, part: str = "train") -> list[Table]:
    """Read the tables of a file, with those of its questions whose answer is in one cell.

    :param part: "train" or "dev"; tables without a question in this part are left out.
    :raises BadTrainingData: if the file is missing or of another kind.
    """
    content = read_json(path)
    try:
        tables = {str(name): _rectangle(rows) for name, rows in dict(content["tables"]).items()}
        asked: dict[str, list[CellQuestion]] = {name: [] for name in tables}
        for entry in content[part]:
            found = _cell_question(entry, tables[entry["table"]])
            if found:
                asked[entry["table"]].append(found)
        used = {entry["table"] for entry in content[part]}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise BadTrainingData(
            f'{path}: not tables and questions ({type(error).__name__}: {error}); expected "tables" (name: rows, the '
            f'header first) and "{part}" (records with "table", "question", "answers", "answer_is").'
        ) from error
    return [
        Table(name, "", rows, tuple(asked[name])) for name, rows in tables.items() if name in used and len(rows) > 1
    ]


def _rectangle(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    width = len(rows[0])
    cleaned = [tuple(_SPACES.sub(" ", str(cell)).strip() for cell in cells) for cells in rows[: _LONGEST_TABLE + 1]]
    return tuple((*cells, *[""] * width)[:width] for cells in cleaned if any(cells))


def _cell_question(entry: dict[str, object], rows: Sequence[Sequence[str]]) -> CellQuestion | None:
    """Make a question with its cell; None if several cells contain the answer, or none does."""
    question, answers = entry["question"], entry["answers"]
    if entry["answer_is"] not in ("cell", "inside") or not isinstance(answers, list) or len(answers) != 1:
        return None
    answer = _SPACES.sub(" ", str(answers[0])).strip()
    if not answer or not is_text(question):
        return None
    cells = [(number, column) for number, cells in enumerate(rows[1:], 1) for column in range(len(cells))]
    whole = [place for place in cells if rows[place[0]][place[1]].lower() == answer.lower()]
    found = whole or [place for place in cells if answer.lower() in rows[place[0]][place[1]].lower()]
    return CellQuestion(str(question), *found[0], answer) if len(found) == 1 else None


# Look-ups

_OF_VALUES = (
    "what is the {column} of {key}?", "what was the {column} of {key}?", "{key} {column}", "{column} of {key}",
    "what {column} does {key} have?", "which {column} has {key}?", "what is the {column} for {key}?",
    "{column} {key}?", "what was {key}'s {column}?", "give the {column} of {key}",
    "what is listed as {column} for {key}?",
)  # fmt: skip
_OF_YEARS = (
    "what was the {column} in {key}?", "{column} in {key}", "{column} {key}",
    "in {key}, what was the {column}?", "what is the {column} of {key}?", "how high was the {column} in {key}?",
    "which {column} is given for {key}?",
)  # fmt: skip
_OF_COUNTS = (
    "how many {column} were there in {key}?", "how many {column} in {key}?", "number of {column} in {key}",
    "{column} in {key}", "how many {column} were counted in {key}?",
    "what was the number of {column} in {key}?",
)  # fmt: skip
_OF_KEYS = (
    "which {key_column} has the {column} {value}?", "what {key_column} has {value} as {column}?",
    "{key_column} with {column} {value}", "whose {column} is {value}?",
    "which {key_column} is listed with {value}?",
)  # fmt: skip
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_LONGEST_CELL = 60


def lookups(table: Table, n: int, chance: random.Random) -> Iterator[CellQuestion]:
    """Ask for single cells by row and column, sometimes for the row by one of its values."""
    header, *rows = table.rows
    keys = [cells[0] for cells in rows]
    counted = Counter(key.lower() for key in keys)
    if not header[0] or sum(counted[key.lower()] == 1 for key in keys) < len(keys) / 2:
        return
    for _ in range(n):
        number, column = chance.randrange(len(rows)), chance.randrange(1, len(header)) if len(header) > 1 else 0
        key, value, name = rows[number][0], rows[number][column], header[column]
        if not column or not (key and value and name) or counted[key.lower()] > 1 or len(value) > _LONGEST_CELL:
            continue
        if chance.random() < 0.15 and sum(cells[column] == value for cells in rows) == 1:
            asked = chance.choice(_OF_KEYS).format(key_column=_spoken(header[0]), column=_spoken(name), value=value)
            yield CellQuestion(asked, number + 1, 0, key)
            continue
        of, what = (name, key) if _YEAR.fullmatch(name) else (key, name)  # for a column of a year, the row names what
        is_count = what.endswith("s") and is_value(value) and "." not in value
        forms = _OF_COUNTS if is_count and _YEAR.fullmatch(of) else _OF_YEARS if _YEAR.fullmatch(of) else _OF_VALUES
        asked = chance.choice(forms).format(column=_spoken(what), key=of)
        yield CellQuestion(_as_typed(asked, chance), number + 1, column, value)


def _spoken(name: str) -> str:
    """Write a column's name as inside a sentence: in lower case unless it is an abbreviation."""
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in name.split()).rstrip(":")


def _as_typed(question: str, chance: random.Random) -> str:
    """Vary a question: with or without a question mark and a capital letter."""
    question = question.rstrip("?") if chance.random() < 0.3 else question
    return question[:1].upper() + question[1:] if chance.random() < 0.6 else question


# Made-up tables

_MEASURES = (
    "apples", "pears", "plums", "visitors", "members", "births", "deaths", "accidents", "trains", "buses",
    "bicycles", "ferries", "tourists", "students", "teachers", "books", "loans", "letters", "parcels", "calls",
    "tickets", "seats", "rooms", "beds", "orders", "returns", "customers", "employees", "machines", "pumps",
    "boilers", "sheep", "goats", "cows", "horses", "hens", "eggs", "seals", "whales", "herons", "storks",
    "bees", "trees", "roses", "houses", "bridges", "storms", "fires", "arrests", "thefts", "votes", "seats won",
    "tonnes of coal", "barrels", "bottles", "cars", "trucks", "flights", "passengers",
)  # fmt: skip
_AMOUNTS = (
    "price", "cost", "balance", "weight", "length", "height", "area", "population", "revenue", "profit",
    "turnover", "rent", "temperature", "rainfall", "depth", "speed", "power", "capacity", "salary", "fee",
    "score", "rank", "age", "yield", "stock",
)  # fmt: skip
_WORDS = (
    "city", "country", "colour", "material", "owner", "driver", "captain", "supplier", "department", "status",
    "category", "shelf", "region", "language", "instrument", "street", "warehouse", "editor", "contact", "type",
)  # fmt: skip
_DATES = ("since", "opened", "founded", "last ordered", "due date", "born", "delivered", "inspected", "expires")
_THINGS = (
    "customer", "product", "station", "town", "ship", "river", "peak", "pump", "employee", "farm", "school",
    "museum", "branch", "project", "invoice", "vehicle", "well", "mine", "depot", "clinic", "code", "part",
    "article", "name", "item", "option",
)  # fmt: skip
_SYLLABLES = (
    "ar", "bel", "cor", "dan", "el", "fen", "gar", "hol", "in", "jor", "kel", "lum", "mar", "nor", "or", "pel", "quen",
    "ros", "sal", "tor", "ul", "ver", "wen", "yor", "zan", "bra", "cre", "dro", "fli", "gre",
)  # fmt: skip


def made_table(number: int, chance: random.Random) -> Table:
    """Make a table of random names, dates and numbers in one of several shapes, with its look-ups."""
    by_years = chance.random() < 0.4
    n_rows = chance.choice((3, 4, 5, 6, 8, 10, 12, 16, 24, 40))
    if by_years:
        first = chance.randrange(1950, 2020)
        keys = [str(first + place) for place in range(n_rows)]
        header = ["Year", *_capitals(chance.sample(_MEASURES, chance.randrange(1, 5)), chance)]
        kinds = ["count"] * (len(header) - 1)
    else:
        keys = _keys(n_rows, chance)
        groups = {"count": _MEASURES, "amount": _AMOUNTS, "word": _WORDS, "date": _DATES}
        kinds = chance.choices(list(groups), weights=(2, 3, 3, 2), k=chance.randrange(1, 6))
        names = [chance.choice(groups[kind]) for kind in kinds]
        kinds = [kind for place, kind in enumerate(kinds) if names[place] not in names[:place]]
        names = list(dict.fromkeys(names))
        header = [chance.choice(_THINGS).capitalize(), *_capitals(names, chance)]
    few = [_name(chance) for _ in range(6)]
    rows = [
        (key, *("" if chance.random() < 0.03 else _made_value(kind, few, chance) for kind in kinds)) for key in keys
    ]
    title = f"{_name(chance)} {chance.choice(header[1:])}" if chance.random() < 0.5 else ""
    grid = [tuple(header), *rows]
    if by_years and n_rows <= 12 and chance.random() < 0.5:  # one column for each year
        grid = [(chance.choice(("Kind", "Item", "Group", "Name")), *keys), *list(zip(*grid, strict=True))[1:]]
    table = Table(f"made-{number}", title, tuple(grid))
    return Table(table.name, title, table.rows, tuple(lookups(table, 5, chance)))


def _keys(n: int, chance: random.Random) -> list[str]:
    form = chance.random()
    if form < 0.25:
        letters = "".join(chance.sample("ABCDEFGHKLMNPRSTVWXYZ", chance.randrange(1, 4)))
        first, step = chance.randrange(1, 3_000), chance.randrange(1, 4)
        return [f"{letters}-{first + step * place:0{chance.choice((3, 4, 5))}d}" for place in range(n)]
    if form < 0.35:
        return [f"{_name(chance).lower()}_{chance.choice(_SYLLABLES)}" for _ in range(n)]
    return [_name(chance) if chance.random() < 0.7 else f"{_name(chance)} {_name(chance)}" for _ in range(n)]


def _made_value(kind: str, few: Sequence[str], chance: random.Random) -> str:
    if chance.random() < _EMPTY:
        return ""
    if kind == "count":
        value = chance.randrange(1, 10 ** chance.randrange(1, 6))
        return f"{value:,}" if chance.random() < 0.5 else str(value)
    if kind == "amount":
        unit = chance.choice(("", "", "", " €", " kg", " m", " %", " km"))
        return f"{chance.random() * 10 ** chance.randrange(1, 5):.{chance.choice((1, 2))}f}{unit}"
    if kind == "date":
        year, month, day = chance.randrange(1960, 2025), chance.randrange(1, 13), chance.randrange(1, 29)
        return chance.choice((f"{year}-{month:02}-{day:02}", str(year), f"{day}.{month}.{year}"))
    return chance.choice(few)


def _name(chance: random.Random) -> str:
    return "".join(chance.choice(_SYLLABLES) for _ in range(chance.choice((2, 2, 3)))).capitalize()


def _capitals(names: Sequence[str], chance: random.Random) -> list[str]:
    """Capitalise names of columns; some tables keep them in lower case."""
    small = chance.random() < 0.15
    return [name if small else name[:1].upper() + name[1:] for name in names]
