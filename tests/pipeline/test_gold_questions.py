"""A file of a user's own questions: what may stand in it, and one clear error for each thing that may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deformer_qa.lab.measure.questions import GoldQuestion, read_gold_questions
from deformer_qa.pipeline.errors import BadQuestionFile

LEAST = {"id": "1", "question": "Where do owls hunt?", "answers": ["in the wood"]}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "birds").mkdir(parents=True)
    (folder / "birds" / "owl.txt").write_text("Owls hunt in the wood.")
    (folder / "notes.jsonl").write_text('{"text": "Hens lay eggs."}\n')
    return folder


def _written(corpus: Path, *records: Any) -> Path:
    file = corpus.parent / "questions.jsonl"
    lines = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in records]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_three_fields_are_enough(corpus: Path) -> None:
    file = _written(corpus, LEAST, "", {"id": "2", "question": " Is it? ", "yes_no": False},
                    {"id": "3", "question": "Who?", "unanswerable": True})  # fmt: skip
    assert read_gold_questions(file, corpus) == [
        GoldQuestion(1, "1", "Where do owls hunt?", "span", ("in the wood",)),
        GoldQuestion(3, "2", "Is it?", "yesno", yes_no=False),
        GoldQuestion(4, "3", "Who?", "unanswerable", unanswerable=True),
    ]


def test_every_field_is_read(corpus: Path) -> None:
    file = _written(
        corpus,
        {
            **LEAST,
            "type": "wh",
            "yes_no": None,
            "unanswerable": False,
            "collection": "birds",
            "file": "owl.txt",
            "files": ["owl.txt"],
            "also": ["notes.jsonl#0"],
            "partial": ["wood"],
            "where": "page 1",
            "support": "Owls hunt in the wood.",
            "note": {"by": "me"},
        },
    )
    assert read_gold_questions(file, corpus) == [
        GoldQuestion(
            line=1,
            id="1",
            question="Where do owls hunt?",
            type="wh",
            golds=("in the wood",),
            files=("owl.txt",),
            also=("notes.jsonl#0",),
            collection="birds",
            partial=("wood",),
        )
    ]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("{", "not JSON"),
        ("[1]", "found [1], expected an object"),
        ({"question": "Who?", "answers": ["x"]}, '"id" is missing'),
        ({"id": "2", "answers": ["x"]}, '"question" is missing'),
        ({"id": "2", "question": "Who?"}, "nothing says what is right"),
        ({**LEAST, "id": 2}, '"id" is 2; expected a text'),
        ({**LEAST, "id": ""}, '"id" is empty'),
        ({**LEAST, "id": "2", "question": " "}, '"question" is empty'),
        ({**LEAST, "id": "2", "question": "x" * 10_001}, "question: The question has 10,001 characters"),
        ({**LEAST, "id": "2", "type": 1}, '"type" is 1; expected a text'),
        ({**LEAST, "id": "2", "answers": "x"}, '"answers" is "x"; expected a list of texts'),
        ({**LEAST, "id": "2", "answers": ["x", 5]}, '"answers", item 2 is 5; expected a text'),
        ({**LEAST, "id": "2", "answers": ["\ud800"]}, "half of a surrogate pair"),
        ({**LEAST, "id": "2", "yes_no": "no"}, '"yes_no" is "no"; expected true, false or null'),
        ({**LEAST, "id": "2", "unanswerable": 1}, '"unanswerable" is 1; expected true, false or null'),
        ({**LEAST, "id": "2", "unanswerable": True}, '"unanswerable" is true, yet it has "answers"'),
        ({**LEAST, "id": "2", "file": "hen.txt"}, '"file": there is no file'),
        ({**LEAST, "id": "2", "files": ["notes.jsonl", "hen.txt"]}, "hen.txt"),
        ({**LEAST, "id": "2", "also": ["birds/hen.txt"]}, '"also": there is no file'),
        ({**LEAST, "id": "2", "collection": "fish"}, '"collection": there is no folder'),
        ({**LEAST, "id": "2", "collection": ".."}, "expected the name of a folder"),
        ({**LEAST, "id": "2", "collection": "birds/.."}, "expected the name of a folder"),
        ({**LEAST, "id": "2", "partial": [""]}, '"partial", item 1 is empty'),
        ({**LEAST, "id": "2", "anwsers": ["x"]}, 'unknown field "anwsers"; expected id, question, type, answers'),
        (LEAST, 'the id "1" is that of line 1'),
    ],
)
def test_what_is_wrong_is_told_with_its_line(corpus: Path, record: Any, told: str) -> None:
    line = record if isinstance(record, str) else json.dumps(record)
    file = _written(corpus, LEAST, line)
    with pytest.raises(BadQuestionFile) as error:
        read_gold_questions(file, corpus)
    assert str(error.value).startswith(f"{file}, line 2: ")
    assert told in str(error.value)


def test_a_file_that_is_not_there_empty_or_no_utf_8_is_told(corpus: Path) -> None:
    file = corpus.parent / "questions.jsonl"
    with pytest.raises(BadQuestionFile, match="no such file"):
        read_gold_questions(file, corpus)
    file.write_text("\n")
    with pytest.raises(BadQuestionFile, match="no question in it"):
        read_gold_questions(file, corpus)
    file.write_bytes(json.dumps(LEAST).encode() + b"\n\xff")
    with pytest.raises(BadQuestionFile, match="line 2: not UTF-8"):
        read_gold_questions(file, corpus)
    with pytest.raises(BadQuestionFile, match="no folder there"):
        read_gold_questions(file, corpus / "fish")
