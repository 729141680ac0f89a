"""The sentence, step or list around a span, in texts as files have them."""

from __future__ import annotations

import pytest

from deformer_qa.pipeline.long_answers import MOST_LINES, is_sentence, long_span
from deformer_qa.pipeline.questions import Kind

GUIDE = """# Running the mill

The mill has a wheel. It turns because the river falls two metres. Nobody knows its age.

To open the sluice, run this command:

    mill sluice --open

Then wait. There are four signals:

- stop, which halts the wheel at once
- slow, which closes
  half of the sluice
- fast
- rest

1. Grease the axle. Use tallow.
2. Check the wheel by hand:

$ mill check

How do I clean the race?

Rake it once a month.

| gate | width |
| north | 3 m |
| south | 4 m |
"""


@pytest.mark.parametrize(
    ("kind", "span", "expected"),
    [
        ("why", "the river falls two metres", "It turns because the river falls two metres."),
        ("why", "wheel. It turns", "The mill has a wheel. It turns because the river falls two metres."),
        ("definition", "Running the mill", "# Running the mill"),
        ("how_to", "open the sluice", "To open the sluice, run this command:\n\n    mill sluice --open"),
        ("how_to", "mill sluice --open", "To open the sluice, run this command:\n\n    mill sluice --open"),
        ("how_to", "tallow", "1. Grease the axle. Use tallow."),
        ("how_to", "by hand", "2. Check the wheel by hand:\n\n$ mill check"),
        ("why", "tallow", "Use tallow."),
        ("how_to", "clean the race", "How do I clean the race?\n\nRake it once a month."),
        (
            "list",
            "fast",
            "There are four signals:\n\n- stop, which halts the wheel at once\n- slow, which closes\n"
            "  half of the sluice\n- fast\n- rest",
        ),
        (
            "list",
            "four signals",
            "There are four signals:\n\n- stop, which halts the wheel at once\n- slow, which closes\n"
            "  half of the sluice\n- fast\n- rest",
        ),
        ("list", "3 m", "| north | 3 m |"),
    ],
)
def test_a_question_of_each_kind_gets_what_the_span_stands_in(kind: Kind, span: str, expected: str) -> None:
    start = GUIDE.index(span)
    found = long_span(GUIDE, start, start + len(span), kind)
    assert GUIDE[found.start : found.end] == expected


def test_a_long_list_is_cut_to_lines_around_the_span() -> None:
    text = "There are many:\n\n" + "".join(f"- item {number:03}\n" for number in range(100)) + "\nThe end."
    for asked in ("item 000", "item 050", "item 099"):
        start = text.index(asked)
        found = long_span(text, start, start + len(asked), "list")
        shown = text[found.start : found.end]
        assert asked in shown
        assert shown.count("- item") <= MOST_LINES
        assert shown.startswith("There are many:") == (asked == "item 000")
    start = text.index("many")
    found = long_span(text, start, start + 4, "list")
    assert text[found.start : found.end].count("- item") == MOST_LINES


def test_a_text_without_sentence_ends_is_shown_by_its_lines() -> None:
    codes = "".join(f"{number:03} country number {number}\n" for number in range(200))
    start = codes.index("number 77")
    found = long_span(codes, start, start + 9, "why")
    assert codes[found.start : found.end] == "077 country number 77"
    endless = "word " * 5_000
    found = long_span(endless, 10_000, 10_004, "why")
    assert found.start <= 10_000
    assert found.end >= 10_004
    assert 300 < found.end - found.start <= 600
    assert set(endless[found.start : found.end].split(" ")) == {"word"}


@pytest.mark.parametrize(
    "text", ["", ".", "\n\n", "x", "- ", "| a |", "a:\n", "日本の川。魚。", "\n- a\n- b\n", "a\r\nb:\r\n\r\nc"]
)
def test_the_span_is_always_inside(text: str) -> None:
    for start in range(len(text) + 1):
        for end in range(start, len(text) + 1):
            for kind in ("how_to", "list", "why", "yes_no"):
                found = long_span(text, start, end, kind)  # type: ignore[arg-type]
                assert 0 <= found.start <= start <= end <= found.end <= len(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is built of steel.", True),
        ("She swims.", True),
        ("“Is it?”", True),
        ("- changing the directory with cd", True),
        ("日本の川は長い。", True),
        ("Running the mill", False),
        ("# Running the mill.", False),
        ("| gate | three metres. |", False),
        ("4.2.", False),
        ("and then the", False),
        ("", False),
    ],
)
def test_headings_rows_and_fragments_are_no_sentences(text: str, expected: bool) -> None:
    assert is_sentence(text) is expected
