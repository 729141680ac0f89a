"""The rule by which answers to a user's own questions are right, and the figures over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deformer_qa.lab.measure.questions import GoldQuestion
from deformer_qa.lab.measure.replies import folder_digest
from deformer_qa.lab.measure.scores import (
    Judged,
    Reply,
    ReplyAnswer,
    Share,
    file_is_right,
    judged,
    report,
    span_is_right,
    words_of,
    worst,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The “Bourne-Again SHell”, an acronym.", ["bourne", "again", "shell", "acronym"]),
        ("1,600 users, 16,5 and 477.42 km", ["1600", "users", "16", "5", "and", "477.42", "km"]),
        ("don't; rock'n'roll; 'quoted'", ["dont", "rocknroll", "quoted"]),
        ("€42. 2.3.14.", ["€42", "2.3.14"]),
        ("the a an -- ...", []),
    ],
)
def test_words_are_compared_without_case_punctuation_and_articles(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("span", "gold", "is_right"),
    [
        ("the Victoria", "Victoria", True),
        ("27 April 1521", "on 27 April 1521", True),
        ("at least five years", "at least three years", False),  # F1 0.75, another number
        ("at least three years", "at least three whole years", True),
        ("1600", "1,600", True),
        ("three ships of the Spanish fleet", "three ships", False),  # F1 0.57
        ("ships", "three ships", False),  # F1 0.67 without the number
        ("-F", "- f", True),  # a flag: its letters are f, its signs count too
        ("--", "-", False),
        ("$?", "$?", True),  # no word is left of it
        ("$?", "$!", False),
        ("", "", False),
        (" ", "x", False),
    ],
)
def test_a_span_is_right_where_it_says_the_same_with_the_same_numbers(span: str, gold: str, is_right: bool) -> None:
    assert span_is_right(span, [gold]) is is_right
    assert span_is_right(span, ["something else entirely", gold]) is is_right
    assert span_is_right(span, []) is False


GOLD = GoldQuestion(1, "q", "Who?", "wh", ("the quick brown fox",), files=("fox.txt",), partial=("fox",))


def _reply(*answers: ReplyAnswer, given: bool = True, nothing: bool = False, id: str = "q") -> Reply:
    return Reply(id, answers, given, nothing)


def _answer(text: str, confidence: float = 0.5, **others: Any) -> ReplyAnswer:
    return ReplyAnswer(text, others.pop("file", "fox.txt"), confidence, **others)


def _verdicts(one: Judged) -> tuple[bool, bool, bool, bool]:
    return one.right, one.right_in_first, one.right_file, one.half_right


def test_the_first_answer_counts_and_the_first_three_apart() -> None:
    wrong, right = _answer("hens"), _answer("quick fox")
    assert _verdicts(judged(GOLD, _reply(right))) == (True, True, True, False)
    assert _verdicts(judged(GOLD, _reply(wrong, wrong, right))) == (False, True, True, False)
    assert _verdicts(judged(GOLD, _reply(wrong, wrong, wrong, right))) == (False, False, True, False)
    assert _verdicts(judged(GOLD, _reply(_answer("the fox", file="hen.txt")))) == (False, False, False, True)
    assert _verdicts(judged(GOLD, _reply())) == (False, False, False, False)


def test_a_long_answer_is_right_by_its_text_or_by_the_span_in_it() -> None:
    long = "All day long the quick brown fox jumps over lazy dogs"
    assert judged(GOLD, _reply(_answer("quick fox", long=long))).right
    assert judged(GOLD, _reply(_answer("jumps", long="The quick fox jumps."))).right
    assert not judged(GOLD, _reply(_answer("jumps", long=long))).right


def test_yes_and_no_are_right_by_the_label_and_without_one_by_the_span() -> None:
    asked = GoldQuestion(1, "q", "Is it?", "yesno", ("the fox is quick",), yes_no=True)
    assert judged(asked, _reply(_answer("hens", label="yes"))).right
    assert not judged(asked, _reply(_answer("the fox is quick", label="no"))).right
    assert judged(asked, _reply(_answer("the fox is quick"))).right
    assert not judged(asked, _reply(_answer("hens"))).right


def test_nothing_is_right_for_an_unanswerable_question() -> None:
    asked = GoldQuestion(1, "q", "Who?", "x", unanswerable=True)
    assert _verdicts(judged(asked, _reply(_answer("the quick fox")))) == (False, False, False, False)


@pytest.mark.parametrize(
    ("file", "is_right"),
    [
        ("a.txt", True),
        ("birds/a.txt", True),
        ("fish/a.txt", False),
        ("fish/b.txt", True),
        ("b.txt", False),
        ("notes.jsonl#4", True),
        ("birds/one.jsonl#2", True),
        ("birds/one.jsonl#3", False),
        ("", False),
    ],
)
def test_a_file_is_right_within_its_collection_from_the_corpus_and_as_a_record(file: str, is_right: bool) -> None:
    files = ("a.txt", "notes.jsonl", "one.jsonl#2")
    asked = GoldQuestion(1, "q", "Who?", "x", ("x",), files=files, also=("fish/b.txt",), collection="birds")
    assert file_is_right(asked, file) is is_right


def test_the_figures_count_each_thing_said_of_each_question() -> None:
    two = GoldQuestion(2, "two", "Who?", "num", ("two hens",), files=("hen.txt",), collection="birds")
    three = GoldQuestion(3, "three", "Who?", "num", ("owl",), collection="birds")  # names no file
    none = GoldQuestion(4, "none", "Who?", "unanswerable", unanswerable=True)
    also_none = GoldQuestion(5, "also", "Who?", "unanswerable", unanswerable=True)
    made = [
        judged(GOLD, _reply(_answer("fox", 0.9))),  # one half, asserted at 0.9
        judged(two, _reply(_answer("two hens", 0.25, file="hen.txt"), given=False, nothing=True)),
        judged(three, _reply(_answer("owl", 0.75))),
        judged(none, _reply(_answer("a trout", 0.5))),
        judged(also_none, _reply(given=False, nothing=True)),
    ]
    found = report(made)
    every = found.all
    assert (every.n, every.right_first, every.right_in_first_3) == (5, Share(2, 3), Share(2, 3))
    assert (every.right_and_given, every.right_of_given, every.wrongly_given) == (Share(1, 3), Share(1, 3), Share(2, 5))
    assert (every.not_given, every.found_nothing) == (Share(1, 3), Share(1, 3))
    assert every.unanswerable_not_given == Share(1, 2)
    assert (every.right_file, every.right_and_file, every.half_right) == (Share(2, 2), Share(1, 2), Share(1, 1))
    assert (every.wrong_at_half, every.wrong_above_0_8) == (Share(2, 3), Share(1, 1))
    assert every.expected_calibration_error == pytest.approx((0.9 + 0.75 + 0.25 + 0.5 + 0) / 5)  # a bin each
    assert {name: one.n for name, one in found.by_type.items()} == {"wh": 1, "num": 2, "unanswerable": 2}
    assert {name: one.n for name, one in found.by_collection.items()} == {"birds": 2}
    assert found.json()["all"]["right_first"] == {"n": 2, "of": 3, "percent": pytest.approx(66.667, abs=1e-3)}
    assert found.json()["type"]["unanswerable"]["right_first"] == {"n": 0, "of": 0, "percent": None}
    assert [one.question.id for one in worst(made, 9)] == ["q", "none"]
    assert [one.question.id for one in worst(made, 1)] == ["q"]


def test_a_folder_has_the_digest_of_its_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "owl.txt").write_text("Owls hunt.")
    first = folder_digest(tmp_path)
    (tmp_path / ".qa").mkdir()
    (tmp_path / ".qa" / "states").write_text("an index is no document")
    assert folder_digest(tmp_path) == first
    (tmp_path / "birds" / "owl.txt").write_text("Owls sleep")
    changed = folder_digest(tmp_path)
    (tmp_path / "birds" / "owl.txt").rename(tmp_path / "owl.txt")
    assert len({first, changed, folder_digest(tmp_path)}) == 3
