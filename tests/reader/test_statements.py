"""What stands around a span: a sentence, an item, a heading, or a table row with all its cells."""

from __future__ import annotations

from itertools import pairwise

import pytest

from deformer_qa.reader.borders.units import statement_around, statements

CODES = "# Code : River : Length\nKA:Karsund:120\nAV:Averil:88\nNO:Norlet:312\n"
PROSE = "He met Dr. Smith\nin the town of Ulm. They ate. It rained.\n\n1. Grease it. Use tallow.\n2. Wait.\n"
TABLE = "| gate | width |\n| north | 3 m. Wide |\n\nName: Ann, Born: 1950.\nName: Bo, Born: 1951.\n"


@pytest.mark.parametrize(
    ("text", "inside", "expected"),
    [
        (CODES, "Averil", "AV:Averil:88"),
        (CODES, "312", "NO:Norlet:312"),
        (CODES, "120\nAV", "KA:Karsund:120\nAV:Averil:88"),
        (PROSE, "Ulm", "He met Dr. Smith\nin the town of Ulm."),
        (PROSE, "tallow", "Use tallow."),
        (TABLE, "Wide", "| north | 3 m. Wide |"),
        (TABLE, "1951", "Name: Bo, Born: 1951."),
        ("no end at all", "end", "no end at all"),
        ("It grinds. mill_stop halts it. Wait, e.g. mill_rest is slow.", "halts", "mill_stop halts it."),
        ("It grinds. mill_stop halts it. Wait, e.g. mill_rest is slow.", "rest", "Wait, e.g. mill_rest is slow."),
        ("Use 2.5 litres. oil() is called.", "litres", "Use 2.5 litres."),
    ],
)
def test_a_span_stands_in_one_statement(text: str, inside: str, expected: str) -> None:
    start = text.index(inside)
    around = statement_around(text, start, start + len(inside))
    assert text[around.start : around.end] == expected


@pytest.mark.parametrize("text", [CODES, PROSE, TABLE, "", "\n", "|", "- \n- a"])
def test_statements_are_in_order_and_apart(text: str) -> None:
    found = statements(text)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert all(text[one.start : one.end].strip() == text[one.start : one.end] != "" for one in found)
