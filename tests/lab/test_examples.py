"""What a recipe's sources become: spans, no answers, passages from elsewhere, claims, yes/no questions."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from parts.tiny_training import recipe_of

from deformer_qa.lab.data.boolq import read_boolq
from deformer_qa.lab.data.squad import read_squad
from deformer_qa.lab.train.examples import NO, NO_VERDICT, YES, ExampleSet, is_held_back, make_examples
from deformer_qa.lab.train.recipe import Source
from deformer_qa.lab.train.tables import lookups, read_tables
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.passages import with_lead


def test_examples_point_at_the_answers_tokens(training_data: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)
    by_passage = {
        encoder.tokenizer.tokenize(paragraph.context).ids: (paragraph.context, question.answers[0].text)
        for paragraph, question in read_squad(training_data / "train.json").questions()
    }
    items = make_examples(recipe_of(tiny_bert, passes=1.0, held_back_articles=0), training_data, encoder).items
    assert len(items) == 48
    for item in items:
        context, answer = by_passage[item.passages[0]]
        first, end = encoder.tokenizer.tokenize(context).characters(item.start, item.end)
        assert context[first:end] == answer


def test_each_source_gives_what_it_says(training_data: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)

    def items(*sources: Source, **changes: object) -> ExampleSet:
        return make_examples(recipe_of(tiny_bert, sources=sources, **changes), training_data, encoder)

    assert len(items(Source("train.json", answerable=1.5)).items) == 60  # 10 of 12 articles, 4 questions each
    assert len(items(Source("train.json", answerable=3.0), examples=7).items) == 7
    v2 = items(Source("train-v2.json", unanswerable=2.0))
    assert [(one.start, one.end) for one in v2.items] == [(0, 0)] * 40
    yes_no = items(Source("boolq.jsonl", yes_no=1.0), held_back_articles=0)
    assert sorted(one.verdict for one in yes_no.items) == [NO] * 20 + [YES] * 20
    with pytest.raises(BadTrainingData, match="hold back"):
        items(Source("boolq.jsonl", yes_no=1.0))


def test_keyword_questions_keep_only_the_words_that_say_something(tmp_path: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)
    entry = {"id": "1", "question": "where is the city?", "answers": [{"text": "ulm", "answer_start": 9}]}
    content = {"data": [{"title": "One", "paragraphs": [{"context": "the city ulm", "qas": [entry]}]}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    sources = (Source("a.json", answerable=1.0, keywords=2.0),)
    made = make_examples(recipe_of(tiny_bert, sources=sources, held_back_articles=0), tmp_path, encoder).items
    whole, short = (encoder.tokenizer.tokenize(text, "question").ids for text in ("where is the city?", "city?"))
    assert sorted(one.question for one in made) == sorted([whole, short, short])
    assert {(one.passages, one.start, one.end) for one in made} == {(made[0].passages, made[0].start, made[0].end)}


def test_an_article_held_back_in_the_first_file_is_held_back_in_all(tmp_path: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)

    def squad(titles: list[str], context: str) -> str:
        entry = {"id": "1", "question": "where?", "answers": [{"text": "ulm", "answer_start": context.index("ulm")}]}
        paragraphs = [{"context": context, "qas": [entry]}]
        return json.dumps({"data": [{"title": title, "paragraphs": paragraphs} for title in titles]})

    (tmp_path / "a.json").write_text(squad(["One", "Xbox_360"], "a ulm"))
    (tmp_path / "b.json").write_text(squad(["Xbox 360", "Two"], "b ulm"))
    boolq = [{"question": "is it?", "passage": "c", "answer": True, "title": t} for t in ("xbox 360", "Three")]
    (tmp_path / "c.json").write_text(json.dumps(boolq))
    passes = {"answerable": 1.0, "elsewhere": 1.0, "claims": 1.0, "unanswerable": 1.0}
    sources = (Source("c.json", yes_no=1.0), Source("a.json", **passes), Source("b.json", **passes))
    made = make_examples(recipe_of(tiny_bert, sources=sources, held_back_articles=1), tmp_path, encoder)
    assert made.held_back == ("Xbox_360",)
    read = sorted(one.passages[0] for one in made.items)
    assert read == sorted(encoder.tokenizer.tokenize(text).ids for text in ("a ulm", "b ulm", "c"))


def test_passages_elsewhere_do_not_hold_the_answer(tmp_path: Path, tiny_bert: Path) -> None:
    """Each question names the place that is its answer, so that a token tells whether a passage holds it."""
    encoder = Encoder.load(str(tiny_bert), k=2)
    places = [first + second for first in "abcdef" for second in "xyz"]
    paragraphs = []
    for number, place in enumerate(places):
        context = f"the city of {place} and {places[number - 1]}"
        entry = {"id": place, "question": f"where was {place}?", "answers": [{"text": place, "answer_start": 12}]}
        paragraphs.append({"context": context, "qas": [entry]})
    (tmp_path / "train.json").write_text(json.dumps({"data": [{"title": "A", "paragraphs": paragraphs}]}))
    recipe = recipe_of(tiny_bert, sources=(Source("train.json", elsewhere=4.0),), held_back_articles=0)
    items = make_examples(recipe, tmp_path, encoder).items
    assert len(items) == 4 * len(places)
    answer_of = {encoder.tokenizer.tokenize(f"where was {place}?").ids: place for place in places}
    text_of = {encoder.tokenizer.tokenize(one["context"]).ids: one["context"] for one in paragraphs}
    assert not any(answer_of[item.question] in text_of[item.passages[0]] for item in items)
    assert {(one.start, one.end, one.verdict) for one in items} == {(0, 0, NO_VERDICT)}
    assert len({item.passages[0] for item in items if item.question == items[0].question}) > 1  # not the nearest alone


def test_compared_questions_stand_beside_passages_that_do_not_answer_them(training_data: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)
    source = Source("train.json", compared=10.0, rivals=2)
    items = make_examples(recipe_of(tiny_bert, sources=(source,)), training_data, encoder).items
    assert {len(one.passages) for one in items} == {2, 3}  # own passage and two rivals, or the two alone
    assert all((one.start > 0) == (len(one.passages) == 3) for one in items)
    share = sum(not one.start for one in items) / len(items)
    assert 0.15 < share < 0.35


def test_titles_are_read_before_the_text_and_shift_the_answer(training_data: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)
    squad = read_squad(training_data / "train.json")
    by_input = {
        encoder.tokenizer.tokenize(with_lead(encoder.lead(one.article, ""), one.context)).ids: one
        for one in squad.paragraphs
    }
    sources = (Source("train.json", answerable=1.0, titles=1.0),)
    for item in make_examples(recipe_of(tiny_bert, sources=sources), training_data, encoder).items:
        paragraph = by_input[item.passages[0]]
        read = with_lead(encoder.lead(paragraph.article, ""), paragraph.context)
        first, end = encoder.tokenizer.tokenize(read).characters(item.start, item.end)
        assert read[first:end] in {gold.text for question in paragraph.questions for gold in question.answers}
        assert first > len(paragraph.article)


def test_what_a_source_holds_back_is_never_trained_on(training_data: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)

    def contexts(share: float) -> set[tuple[int, ...]]:
        sources = (Source("train.json", answerable=1.0, held_back=share),)
        made = make_examples(recipe_of(tiny_bert, sources=sources), training_data, encoder)
        return {one.passages[0] for one in made.items}

    everything, kept = contexts(0.0), contexts(0.5)
    held = {
        encoder.tokenizer.tokenize(one.context).ids
        for one in read_squad(training_data / "train.json").paragraphs
        if is_held_back(one.article, 0.5)
    }
    assert kept < everything
    assert kept == everything - held


def test_questions_about_tables_point_into_the_cell(tmp_path: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)
    rows = [["City", "Old"], *([f"c{letter}", f"x{letter}"] for letter in "abcdefgh")]
    asked = {"id": "1", "table": "t", "question": "which city?", "answers": ["cd"], "answer_is": "cell"}
    (tmp_path / "tables.json").write_text(json.dumps({"tables": {"t": rows}, "train": [asked], "dev": []}))
    source = Source("tables.json", cells=1.0, lookups=20.0, made_tables=3.0)
    items = make_examples(recipe_of(tiny_bert, sources=(source,), held_back_articles=0), tmp_path, encoder).items
    assert len(items) > 20
    table = read_tables(tmp_path / "tables.json")[0]
    chance = random.Random(5)
    for _ in range(20):
        written = table.written(chance)
        for question in [*table.questions, *lookups(table, 5, chance)]:
            place = written.place(question)
            assert place is not None
            assert written.text[place[0] : place[1]] == question.answer
            assert written.text.count("\n", 0, place[0]) == question.row


def test_claims_are_answers_of_the_question_or_of_another(tmp_path: Path, tiny_bert: Path) -> None:
    encoder = Encoder.load(str(tiny_bert), k=2)
    context = "Ulm was old and the River was red"
    asked = [("which city?", "Ulm"), ("which age?", "old"), ("what?", "the River"), ("what then?", "River")]
    qas = [
        {"id": str(number), "question": question, "answers": [{"text": text, "answer_start": context.index(text)}]}
        for number, (question, text) in enumerate(asked)
    ]
    lone = {"id": "9", "question": "where?", "answers": [{"text": "Turku", "answer_start": 0}]}
    paragraphs = [{"context": context, "qas": qas}, {"context": "Turku was there", "qas": [lone]}]
    (tmp_path / "train.json").write_text(json.dumps({"data": [{"title": "A", "paragraphs": paragraphs}]}))
    recipe = recipe_of(tiny_bert, sources=(Source("train.json", claims=40.0),), held_back_articles=0)
    items = make_examples(recipe, tmp_path, encoder).items
    tokens = encoder.tokenizer.tokenize
    claimed = {
        (question, text)
        for question, own in asked
        for _, text in asked
        if text == own or not (text in own or own in text)  # "River" is not wrong where "the River" is right
    }
    verdicts_of = {claim: YES if claim in asked else NO for claim in claimed}
    expected = {(tokens(f"{q.rstrip('?')}: {text}?").ids, said) for (q, text), said in verdicts_of.items()}
    assert {(item.question, item.verdict) for item in items} == expected
    assert {item.passages[0] for item in items} == {tokens(context).ids}


@pytest.mark.parametrize(
    ("content", "found"),
    [("", "no question"), ("[3]", "record 1"), ('{"question": "a"}', "record 1"), ("x", "line 1: not readable")],
)
def test_a_bad_boolq_file_is_refused_with_its_place(tmp_path: Path, content: str, found: str) -> None:
    (tmp_path / "boolq.jsonl").write_text(content)
    with pytest.raises(BadTrainingData, match=found):
        read_boolq(tmp_path / "boolq.jsonl")
