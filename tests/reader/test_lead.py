"""What stands above a passage: short, on one line, and never too much for the encoder."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.passages import with_lead

LONG = "A very long name of a thing that nobody would ever want to read or write down in one single line of a page"


@pytest.mark.parametrize(
    ("title", "heading", "lead"),
    [
        ("", "", ""),
        ("Ship", "", "Ship"),
        ("", "The mast", "The mast"),
        ("Ship", "The mast", "Ship › The mast"),
        ("Ship", "ship", "Ship"),
        ("The ship and the mast", "The mast", "The ship and the mast"),
        ("  Ship \n of  oak ", "The\tmast", "Ship of oak › The mast"),
    ],
)
def test_a_lead_names_document_and_section_once(default_encoder: Encoder, title: str, heading: str, lead: str) -> None:
    assert default_encoder.lead(title, heading) == lead


def test_names_that_do_not_fit_are_cut_at_a_blank_each_to_what_the_other_leaves(default_encoder: Encoder) -> None:
    budget, count = default_encoder.lead_rule.budget, default_encoder.tokenizer.count
    both, one = (
        default_encoder.lead(f"{LONG} {LONG}", f"{LONG} {LONG}x"),
        default_encoder.lead("Ship", f"{LONG} {LONG}"),
    )
    assert count(both) <= budget
    assert count(one) <= budget
    title, _, heading = both.partition(" › ")
    assert f"{LONG} {LONG} ".startswith(f"{title} ")
    assert f"{LONG} {LONG}x ".startswith(f"{heading} ")
    assert abs(count(title) - count(heading)) <= 2
    assert one.startswith("Ship › A very long name")
    assert budget - count(one) <= 2


names = st.text(st.sampled_from("aZ9 -.›\u00e9\u6f22\n\tqx"), max_size=300) | st.text(max_size=60)


@settings(max_examples=60, deadline=None)
@given(title=names, heading=names)
def test_any_names_leave_room_for_the_longest_passage(default_encoder: Encoder, title: str, heading: str) -> None:
    lead = default_encoder.lead(title, heading)
    tokenizer, borders = default_encoder.tokenizer, default_encoder.borders
    assert "\n" not in lead
    assert tokenizer.count(with_lead(lead, "")) <= default_encoder.lead_rule.budget
    (span, *_) = borders.split("one " * (2 * borders.budget), tokenizer)
    text = ("one " * (2 * borders.budget))[span.start : span.end]
    whole = tokenizer.tokenize(with_lead(lead, text))
    start = len(with_lead(lead, ""))
    assert len(whole.ids) <= tokenizer.max_tokens
    first = whole.first_row(start)
    assert (whole.offsets[first][0], first) == (start, len(whole.ids) - 1 - tokenizer.count(text))


def test_a_passage_is_cut_so_that_its_lead_fits_before_it(default_encoder: Encoder) -> None:
    lead_budget = default_encoder.lead_rule.budget
    assert (default_encoder.tokenizer.max_tokens, lead_budget, default_encoder.borders.budget) == (256, 32, 222)


def test_the_rule_is_part_of_what_the_states_depend_on(tiny_encoder: Encoder) -> None:
    assert tiny_encoder.about["lead"] == {"version": 1, "budget": 12}
