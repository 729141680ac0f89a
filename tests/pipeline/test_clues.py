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


@pytest.mark.parametrize(
    ("question", "answer", "spelled"),
    [
        ("What does HTML stand for?", "Hypertext Markup Language", False),  # a letter inside a word is not told
        ("What does the acronym SCUBA stand for?", "self-contained underwater breathing apparatus", True),
        ("what does nato stand for", "North Atlantic Treaty Organization", True),
        ("what does nato stand for", "military alliance of many states", False),
        ("What does NATO stand for?", "NATO and the other", False),
        ("What does TLC stand for in the ward?", "Tender Loving Care", True),
        ("What does RADAR stand for?", "RAdio Detection And Ranging", True),
        ("What does TFS stand for?", "Free Store", True),  # an answer has no article
        ("USA abbreviation", "United States of America", True),
        ("abbreviation of FAQ", "frequently asked questions", True),
        ("What does the colour stand for?", "United States", False),
        ("Who made it?", "Ada Holm", False),
    ],
)
def test_words_spell_the_abbreviation_that_is_asked_about(question: str, answer: str, spelled: bool) -> None:
    assert Clues(question).spelled_by(answer) == spelled


def test_a_question_points_at_the_row_with_its_rarest_words() -> None:
    table = "| river | height | length |\n| Norlet | 3 m | 8 km |\n| Averil | 4 m | 2 km |\n| Karsund | 9 m | 5 km |"
    pointed = Clues("What is the length of the river Averil in km?").pointed_at(table)
    assert [table[one.start : one.end].split(" | ")[0] for one, _ in pointed] == [
        "| river",
        "| Norlet",
        "| Averil",
        "| Karsund",
    ]
    assert all(one.is_row for one, _ in pointed)
    header, norlet, averil, karsund = (share for _, share in pointed)
    assert norlet == karsund < averil < header + norlet
    assert [share for _, share in Clues("Who was it?").pointed_at(table)] == [0.0] * 4
    assert Clues("Where is it?").pointed_at("") == []
