"""Options, commands and terms with their meanings, as manuals write them."""

from __future__ import annotations

import pytest

from deformer_qa.pipeline.long_answers import answering_part, entry_around, is_typed
from deformer_qa.pipeline.questions import Kind

MANUAL = """Options of the mill:

drain: Empties the race slowly. The wheel keeps turning meanwhile, and no gate is shut. This takes an hour.
halt: Stops the wheel at once.
Note: Never halt it under load.

  -q, --quiet      Say nothing while grinding, but for errors
                   that end the run.
  --gate=NUMBER    Open this gate only.

     -r
         Start again after a power cut,
         with the old grain.

     sluice_level
         How high the water may stand.

Head race (HR): The channel that leads water to the wheel. It is lined with stone in all mills of the valley.
Tail race: See the head race.
"""


@pytest.mark.parametrize(
    ("kind", "question", "span", "marked", "shown"),
    [
        ("how_to", "how do I empty it without stopping", "no gate is shut", "drain", "drain: Empties the race slowly."),
        ("how_to", "how to grind without any output", "Say nothing", "-q, --quiet", None),
        ("how_to", "how can I use one gate alone", "Open this gate", "--gate=NUMBER", None),
        ("how_to", "go on after the power went", "with the old grain", "-r", None),
        ("how_to", "how do I limit the water", "the water may stand", "sluice_level", None),
        ("definition", "what is a head race", "lined with stone", "The channel that leads water to the wheel.", None),
        ("definition", "what is a head race", "HR", "The channel that leads water to the wheel.", None),
    ],
)
def test_an_entry_answers_with_its_head_or_its_body(
    kind: Kind, question: str, span: str, marked: str, shown: str | None
) -> None:
    start = MANUAL.index(span)
    found = answering_part(MANUAL, start, start + len(span), kind, question)
    assert found is not None
    assert MANUAL[found[0].start : found[0].end] == marked
    if shown is not None:
        assert MANUAL[found[1].start : found[1].end] == shown
    assert found[1].start <= found[0].start <= found[0].end <= found[1].end


@pytest.mark.parametrize(
    ("kind", "question", "span"),
    [
        ("short", "how long does it take to drain", "an hour"),
        ("how_to", "how does one drain it", "The wheel keeps turning"),  # the head is in the question
        ("how_to", "how do I treat it well", "Never halt it under load"),  # "Note" cannot be typed
        ("how_to", "how do I empty it", "drain"),
        ("definition", "what is a head race", "leads water to the wheel"),
        ("definition", "what is a mill", "lined with stone"),
        ("how_to", "how do I start", "Options of the mill"),
    ],
)
def test_a_span_that_answers_itself_stays(kind: Kind, question: str, span: str) -> None:
    start = MANUAL.index(span)
    assert answering_part(MANUAL, start, start + len(span), kind, question) is None


def test_what_is_typed_is_no_label() -> None:
    assert all(map(is_typed, ("-x", "--long", "-f FILE", "restart", "max_items", "KeepAlive", "%D", "/etc/mill.conf")))
    assert not any(map(is_typed, ("Note", "warning", "Signal", "A long label", "the wheel", "Publisher")))


@pytest.mark.parametrize("text", ["", "\n", "a: b", " \n  x", "a:  ", "\t\tx", "--a\n  b\n\n    c"])
def test_an_entry_is_always_inside(text: str) -> None:
    for start in range(len(text) + 1):
        for end in range(start, len(text) + 1):
            found = entry_around(text, start, end)
            if found:
                assert 0 <= found.head.start < found.head.end <= found.body.start <= found.body.end <= len(text)
