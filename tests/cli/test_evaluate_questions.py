"""``qa eval questions``: indexed, asked, judged, printed, and taken up again."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from parts.commands import Qa

from deformer_qa.lab.measure.questions import GoldQuestion, read_gold_questions
from deformer_qa.lab.measure.replies import Setting, reply_line, reply_of_line
from deformer_qa.lab.measure.scores import judged, report
from deformer_qa.pipeline.ask import Pipeline

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of questions over two collections, small enough for a tiny reader."""
    folder = tmp_path / "own"
    for place, text in {
        "birds/owl.txt": "Owls hunt mice at night. The night is dark and the owl is quiet.",
        "birds/hen.txt": "Hens lay eggs in the morning. The fox hunts hens at night.",
        "fish/trout.txt": "A trout swims in the river. It was seen in 1998.",
    }.items():
        file = folder / "corpus" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    records = [
        {"id": "a", "collection": "birds", "question": "When do owls hunt?", "answers": ["at night"]},
        {"id": "b", "collection": "birds", "question": "Who lays eggs?", "answers": ["Hens"], "file": "hen.txt"},
        {"id": "c", "collection": "birds", "question": "Who was king?", "unanswerable": True},
        {"id": "d", "collection": "fish", "question": "Was it seen in 1998?", "yes_no": True, "type": "year"},
    ]
    _write(folder, records)
    return folder


def _write(folder: Path, records: list[dict[str, Any]]) -> None:
    (folder / "questions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))


def _records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _answers(file: Path) -> dict[str, Any]:
    """What was answered to each question, without the time it took."""
    return {one["id"]: {key: value for key, value in one.items() if key != "ms"} for one in _records(file)}


def test_the_sample_questions_are_asked_and_scored_alike_by_hand(
    qa: Qa, example_store: Path, example_pipeline: Pipeline, tmp_path: Path
) -> None:
    store, out = tmp_path / "store", tmp_path / "replies.jsonl"
    shutil.copytree(example_store, store)
    command = ("eval", "questions", EXAMPLES / "questions", "--corpus", EXAMPLES / "corpus", "--store", store)
    ended = qa(*command, "--out", out, "--wrong", "100", "--format", "json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    questions = read_gold_questions(EXAMPLES / "questions" / "questions.jsonl", EXAMPLES / "corpus")
    types = {"wh", "num", "table", "howto", "yesno", "def", "why", "meta", "unanswerable"}
    assert set(found["type"]) == types
    assert set(found["collection"]) == {one.collection for one in questions}
    assert found["all"]["n"] == len(questions) == sum(one["n"] for one in found["type"].values())
    lines = {one["id"]: one for one in _records(out)}
    assert set(lines) == {one.id for one in questions}
    for one in questions:  # what was kept is what asking gives
        answers = example_pipeline.ask(one.question, n_answers=3)
        kept = [line for line in (lines[one.id], *lines[one.id]["more"]) if line["answer"] is not None]
        assert [line["answer"] for line in kept] == [answer.place.text for answer in answers.answers]
        assert [line["file"] for line in kept] == [answer.place.path for answer in answers.answers]
        assert (lines[one.id]["given"], lines[one.id]["nothing"]) == (answers.is_given, answers.no_answer_is_best)
    made = [judged(one, reply_of_line(lines[one.id])) for one in questions]
    assert {key: found[key] for key in ("all", "type", "collection")} == report(made).json()
    n_right = sum(one.right for one in made)
    assert found["all"]["right_first"]["n"] == n_right > 0
    not_right = [one["id"] for one in found["wrong"]]
    assert set(not_right) == {
        one.question.id for one in made if not one.right and (one.reply.is_given or not one.question.unanswerable)
    }
    again = qa(*command, "--out", out, "--wrong", "100", "--format", "json")
    assert (again.code, again.out) == (0, ended.out)
    assert "asked" not in again.err


def test_a_line_says_what_was_answered_and_whether_anything_was(example_pipeline: Pipeline) -> None:
    question = GoldQuestion(1, "q", "On what date was Magellan killed?", "wh", ("27 April 1521",))
    asked = example_pipeline.ask(question.question, n_answers=3)
    setting = Setting("reader", 20, True, "corpus")
    labelled = replace(asked.answers[0], label="no")
    for answers in (asked, replace(asked, answers=(labelled,)), replace(asked, answers=())):
        line = json.loads(json.dumps(reply_line(question, setting, answers)))
        reply = reply_of_line(line)
        assert (reply.id, reply.is_given, reply.found_nothing) == ("q", answers.is_given, answers.no_answer_is_best)
        assert [(one.text, one.file, one.confidence, one.label) for one in reply.answers] == [
            (one.place.text, one.place.path, one.confidence, one.label) for one in answers.answers
        ]
        assert line["setting"] == {"reader": "reader", "candidates": 20, "together": True, "corpus": "corpus"}
        assert {"answer", "file", "label", "confidence", "given"} <= set(line)


def test_golds_of_the_sample_questions_stand_in_their_documents(example_pipeline: Pipeline) -> None:
    texts = {
        one.path: " ".join(example_pipeline.snapshot.document(one.id).text.split())
        for one in example_pipeline.snapshot.iter_documents()
    }
    for one in read_gold_questions(EXAMPLES / "questions" / "questions.jsonl", EXAMPLES / "corpus"):
        for gold in (*one.golds, *one.partial):
            assert all(gold in texts[f"{one.collection}/{file}"] for file in one.files), (one.id, gold)


def test_the_five_lines_of_the_documentation_are_five_questions(qa: Qa, example_store: Path, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "how-to" / "measure-your-own-questions.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.S)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "questions.jsonl").write_text(example, encoding="utf-8")
    shutil.copytree(example_store, tmp_path / "store")
    corpus = ("--corpus", EXAMPLES / "corpus", "--store", tmp_path / "store")
    ended = qa("eval", "questions", tmp_path / "own", *corpus, "--format", "json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["all"]["n"] == 5
    assert found["all"]["right_first"]["of"] == 4
    for name in found["all"]:
        assert f"`{name}`" in page


def test_each_collection_is_asked_alone_or_all_together(qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path) -> None:
    command = ("eval", "questions", own, "--reader", tiny_reader, "--format", "json")
    together = qa(*command, "--out", tmp_path / "together.jsonl")
    assert together.code == 0, together.err
    apart = qa(*command, "--by-collection", "--store", tmp_path / "stores", "--out", tmp_path / "apart.jsonl")
    assert apart.code == 0, apart.err
    assert sorted(one.name for one in (tmp_path / "stores").iterdir()) == ["birds", "fish"]
    documents = {"birds/owl.txt", "birds/hen.txt", "fish/trout.txt"}
    assert {one["file"] for one in _records(tmp_path / "together.jsonl")} <= documents | {None}
    for one, question in zip(_records(tmp_path / "apart.jsonl"), _records(own / "questions.jsonl"), strict=True):
        assert one["file"] is None or f"{question['collection']}/{one['file']}" in documents
    for ended in (together, apart):
        found = json.loads(ended.out)
        assert {name: one["n"] for name, one in found["type"].items()} == {"span": 2, "unanswerable": 1, "year": 1}
        assert {name: one["n"] for name, one in found["collection"].items()} == {"birds": 3, "fish": 1}
    chosen = json.loads(qa(*command, "--collection", "birds", "--limit", "2").out)
    assert (chosen["all"]["n"], list(chosen["collection"])) == (2, ["birds"])


def test_a_run_that_was_killed_goes_on_where_it_was(qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path) -> None:
    out = tmp_path / "replies.jsonl"
    command = ("eval", "questions", own, "--reader", tiny_reader, "--format", "json", "--out", out)
    first = qa(*command)
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert (first.code, len(lines)) == (0, 4)
    for length in (0, 3, len(lines[0]) + 20, len(whole) - len(lines[-1]), len(whole) - 2):  # as a kill may leave it
        out.write_bytes(whole[:length])
        kept = whole[: whole.rfind(b"\n", 0, length) + 1]
        before = {one["id"]: one for one in map(json.loads, kept.splitlines())}
        again = qa(*command)
        assert (again.code, again.out) == (0, first.out)
        assert out.read_bytes().startswith(kept)  # the time taken stands there too: these were not asked again
        assert f"corpus: asked {4 - len(before)} of 4 questions" in again.err
        assert len(_records(out)) == 4
    assert "asked" not in qa(*command).err


def test_a_file_that_holds_something_else_stays_as_it_is(qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path) -> None:
    out = tmp_path / "questions.jsonl"
    out.write_text('{"id": "1", "question": "Who?", "answers": ["Ada"]}')  # one line, and no line end
    ended = qa("eval", "questions", own, "--reader", tiny_reader, "--out", out)
    assert ended.code == 2, ended.err
    assert out.read_text().strip() == '{"id": "1", "question": "Who?", "answers": ["Ada"]}'


def test_a_question_that_was_changed_is_asked_again(qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path) -> None:
    out = tmp_path / "replies.jsonl"
    command = ("eval", "questions", own, "--reader", tiny_reader, "--format", "json", "--out", out)
    assert qa(*command).code == 0
    before = _answers(out)
    records = _records(own / "questions.jsonl")
    records[1]["question"] = "Who lays the eggs in the morning?"
    records[0]["answers"] = ["mice"]  # what is right is no part of a reply
    _write(own, records)
    ended = qa(*command)
    assert "asked 1 of 4 questions" in ended.err
    after = _answers(out)
    assert after["b"]["question"] == records[1]["question"]
    assert {**after, "b": None} == {**before, "b": None}


def test_replies_of_another_reader_setting_or_corpus_are_not_mixed(
    qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path
) -> None:
    out = tmp_path / "replies.jsonl"
    command = ("eval", "questions", own, "--out", out)
    assert qa(*command, "--reader", tiny_reader).code == 0
    kept = out.read_bytes()
    other = tmp_path / "other-reader"
    shutil.copytree(tiny_reader, other)
    about = json.loads((other / "reader.json").read_text())
    (other / "reader.json").write_text(json.dumps(about | {"ranking": {"margin": 2.0}}))
    for name, options in {
        "reader": ("--reader", other),
        "candidates": ("--reader", tiny_reader, "-k", "3"),
        "together": ("--reader", tiny_reader, "--by-collection"),
    }.items():
        ended = qa(*command, *options)
        assert (ended.code, f"another {name}" in ended.err) == (2, True), ended.err
    (own / "corpus" / "fish" / "trout.txt").write_text("A trout swims in the sea.")
    ended = qa(*command, "--reader", tiny_reader)
    assert (ended.code, "another corpus" in ended.err) == (2, True)
    assert out.read_bytes() == kept


def test_a_file_that_holds_no_replies_stays_as_it_is(qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path) -> None:
    out = tmp_path / "notes.txt"
    for content in ("my notes", "my notes\n", '{"id": "a"}\n', "[1]\n", '{"id": 1, "question": 2}\n{"id": '):
        out.write_text(content)
        ended = qa("eval", "questions", own, "--reader", tiny_reader, "--out", out)
        assert (ended.code, out.read_text()) == (2, content), ended.err
        assert "choose another name" in ended.err


def test_a_store_with_documents_from_elsewhere_is_refused(qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "fox.txt").write_text("The fox is quick.")
    assert qa("index", elsewhere, "--store", tmp_path / "store", "--reader", tiny_reader).code == 0
    ended = qa("eval", "questions", own, "--store", tmp_path / "store", "--reader", tiny_reader)
    assert (ended.code, str(elsewhere) in ended.err) == (2, True)


def test_the_users_own_index_is_left_alone(
    qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QA_STORE", str(tmp_path / "mine"))
    assert qa("eval", "questions", own, "--reader", tiny_reader).code == 0
    assert not (tmp_path / "mine").exists()


def test_a_share_below_the_one_demanded_ends_with_1(qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path) -> None:
    command = ("eval", "questions", own, "--reader", tiny_reader, "--out", tmp_path / "replies.jsonl")
    percent = json.loads(qa(*command, "--format", "json").out)["all"]["right_first"]["percent"]
    assert qa(*command, "--fail-under", percent).code == 0
    below = qa(*command, "--fail-under", percent + 0.01)
    assert (below.code, "right first" in below.err) == (1, True)
    assert qa(*command, "--fail-under", "50", "--collection", "birds").code in (0, 1)
    _write(own, [one for one in _records(own / "questions.jsonl") if one["id"] == "c"])
    ended = qa(*command, "--fail-under", "50")
    assert (ended.code, "none of these questions is answerable" in ended.err) == (2, True)


def test_the_table_and_the_plain_lines_have_a_row_for_each_group(
    qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path
) -> None:
    command = ("eval", "questions", own, "--reader", tiny_reader, "--out", tmp_path / "replies.jsonl", "--wrong", "9")
    plain = qa(*command, "--format", "plain")
    rows = [line.split("\t") for line in plain.out.splitlines()]
    assert [tuple(row[:3]) for row in rows[:7]] == [
        ("", "", "n"),
        ("type", "span", "2"),
        ("type", "unanswerable", "1"),
        ("type", "year", "1"),
        ("collection", "birds", "3"),
        ("collection", "fish", "1"),
        ("all", "", "4"),
    ]
    assert {len(row) for row in rows[:7]} == {len(rows[0])}
    found = json.loads(qa(*command, "--format", "ndjson").out)
    assert [row[1] for row in rows[7:]] == [one["id"] for one in found["wrong"]]
    shown = qa(*command, "--format", "human").out
    for name in ("span", "unanswerable", "year", "birds", "fish", "all", "ECE", *(one["id"] for one in found["wrong"])):
        assert name in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_wrong_usage_is_told_before_anything_is_asked(qa: Qa, own: Path, tiny_reader: Path, tmp_path: Path) -> None:
    command = ("eval", "questions", own, "--reader", tiny_reader)
    ended = qa(*command, "--collection", "snakes")
    assert (ended.code, "collections in the file: birds, fish" in ended.err) == (2, True)
    assert qa("eval", "questions", tmp_path / "nowhere", "--reader", tiny_reader).code == 2
    records = _records(own / "questions.jsonl")
    _write(own, [*records, {"id": "e", "question": "Who?", "answers": ["x"]}])
    ended = qa(*command, "--by-collection")
    assert (ended.code, "line 5 names no collection" in ended.err) == (2, True)
    _write(own, [{**records[0], "question": "who " * 300}, *records[1:]])
    out = tmp_path / "replies.jsonl"
    ended = qa(*command, "--out", out)
    assert (ended.code, "the question of line 1" in ended.err, out.read_text()) == (2, True, "")
