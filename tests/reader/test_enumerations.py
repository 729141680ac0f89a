"""Questions for several things get the whole enumeration, all others the item that was read."""

from __future__ import annotations

import re

import numpy as np
import pytest

from deformer_qa.reader.borders.enumerations import asks_for_several, whole_enumeration
from deformer_qa.reader.borders.span_borders import SpanBorders
from deformer_qa.reader.spans import best_spans


@pytest.mark.parametrize(
    "question",
    [
        *("Which rivers flow into it?", "What rivers does it cross?", "What are the colours of the flag?"),
        *("list all files", "Name the three founders.", "Who were the members of the band?"),
        *("What political parties are there?", "What types of tea are there?"),
    ],
)
def test_questions_that_ask_for_several(question: str) -> None:
    assert asks_for_several(question)


@pytest.mark.parametrize(
    "question",
    [
        *("What is the name?", "What does it do?", "Which class has it?", "Name the capital of Norway.", "what", ""),
        *("What causes rain?", "What series was it?", "Which bus goes there?", "What was the price of eggs?"),
    ],
)
def test_questions_that_ask_for_one(question: str) -> None:
    assert not asks_for_several(question)


@pytest.mark.parametrize(
    ("text", "item", "whole"),
    [
        ("The flag is red, white and blue.", "white", "red, white and blue"),
        ("The flag is red, white and blue.", "red", "red, white and blue"),
        ("It borders Fenn, the Old Republic and Tay in the east.", "Tay", "Fenn, the Old Republic and Tay"),
        ("They were Ann Lee, Bob Ray, and Cy Dee. They sang.", "Bob Ray", "Ann Lee, Bob Ray, and Cy Dee"),
        ("Ports include A1, B2, C3, and D4.", "C3", "A1, B2, C3, and D4"),
        ("Colours:\n- red\n- dark blue\n- green\n\nEnd.", "dark blue", "red\n- dark blue\n- green"),
        ("Steps:\n1. red\n2. blue", "blue", "red\n2. blue"),
        ("In 1990 Ann and Bob met.", "Ann", "Ann"),
        ("He came, saw and won the war.", "saw", "saw"),
        ("The river rises in Fenn, flows through Tay and ends there.", "Fenn", "Fenn"),
        ("Steps:\n1. red\n2. dark blue or green", "dark blue", "dark blue"),
        ("One mill.", "mill", "mill"),
    ],
)
def test_an_item_becomes_its_enumeration(text: str, item: str, whole: str) -> None:
    offsets = [(0, 0), *(match.span() for match in re.finditer(r"\w+|[^\w\s]", text)), (0, 0)]
    borders = SpanBorders.of(text, offsets)
    start = text.index(item)
    rows = [row for row, (first, last) in enumerate(offsets) if last > start and first < start + len(item)]
    first, last = whole_enumeration(borders, rows[0], rows[-1])
    assert text[offsets[first][0] : offsets[last][1]] == whole
    assert whole_enumeration(borders, rows[0], rows[-1], several=False) == (rows[0], rows[-1])
    logits = np.full((len(offsets), 2), -9, np.float32)
    logits[rows[0], 0] = logits[rows[-1], 1] = 9
    (one, *_), (all_of_it, *others) = (best_spans(logits, 3, 30, borders, several=wish) for wish in (False, True))
    assert (one.first, one.last) == (rows[0], rows[-1])
    assert (all_of_it.first, all_of_it.last, all_of_it.score) == (first, last, one.score)
    assert all(other.last < first or other.first > last for other in others)
