"""What the words of a question tell of its answer."""

from __future__ import annotations

import pytest

from deformer_qa.pipeline.clues import Clues, stems


@pytest.mark.parametrize(
    ("question", "look"),
    [
        ("How many bells hang in the tower?", "number"),
        ("how long is the bridge", "number"),
        ("What is the default port of the server?", "number"),
        ("When was the bridge opened?", "date"),
        ("in what year did it burn down", "date"),
        ("Who painted the gate?", "name"),
        ("which team won in 1990", "name"),
        ("What does the keeper eat?", "any"),
        ("max connections", "any"),
        ("By what name was she known?", "any"),
        ("by when must it be paid", "date"),
    ],
)
def test_the_look_of_an_answer_is_told_by_the_questions_words(question: str, look: str) -> None:
    assert Clues(question).look == look


@pytest.mark.parametrize(
    ("question", "answer", "fits"),
    [
        ("How many bells?", "seven bells", True),
        ("How many bells?", "1,204", True),
        ("How many bells?", "the tower", False),
        ("When was it opened?", "3 May", True),
        ("When was it opened?", "by the mayor", False),
        ("Who opened it?", "Ada Holm", True),
        ("Who opened it?", "the mayor", False),
        ("What was opened?", "the bridge", None),
    ],
)
def test_an_answer_fits_where_it_looks_as_asked(question: str, answer: str, fits: bool | None) -> None:
    assert Clues(question).fits(answer) is fits


def test_shares_count_stems_and_no_function_words() -> None:
    clues = Clues("Which ferries sailed to the islands?")
    assert clues.words == stems("ferry sail island") == {"ferry", "sail", "island"}
    assert clues.share_in("The ferry is sailing.") == pytest.approx(2 / 3)
    assert clues.share_of("islands") == 1.0
    assert clues.share_of("the") == 0.0


def test_a_question_of_function_words_alone_has_no_words_to_be_found() -> None:
    clues = Clues("Who is it?")
    assert (clues.words, clues.share_in("Who is it? It is I.")) == (frozenset(), 0.0)
