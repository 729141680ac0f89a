"""SQuAD files and the official measures."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path
from typing import Any

import pytest
from torchmetrics.text import SQuAD

from deformer_qa.lab.data.squad import exact_match, f1, normalized, read_squad
from deformer_qa.reader.errors import BadTrainingData


def _file(path: Path, paragraphs: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"data": [{"title": "T", "paragraphs": paragraphs}]}), encoding="utf-8")
    return path


def _paragraph(**changes: Any) -> dict[str, Any]:
    question = {"id": "q", "question": "where?", "answers": [{"text": "Ulm", "answer_start": 3}], **changes}
    return {"context": "In Ulm.", "qas": [question]}


def test_em_and_f1_agree_with_torchmetrics_on_random_answers() -> None:
    chance = random.Random(0)
    words = ["the", "a", "Ulm", "ulm,", "1854", "gate", "harbour", "of", "É.", "-"]
    for _ in range(200):
        golds = [" ".join(chance.choices(words, k=chance.randint(1, 4))) for _ in range(chance.randint(1, 3))]
        prediction = " ".join(chance.choices(words, k=chance.randint(1, 4)))
        oracle = SQuAD()
        answers = {"answer_start": [0] * len(golds), "text": golds}
        oracle.update([{"prediction_text": prediction, "id": "1"}], [{"answers": answers, "id": "1"}])
        expected = oracle.compute()
        assert 100 * exact_match(prediction, golds) == pytest.approx(float(expected["exact_match"]))
        assert 100 * f1(prediction, golds) == pytest.approx(float(expected["f1"]))


def test_no_gold_answer_means_that_no_answer_is_right() -> None:
    assert (exact_match("", []), f1("", [])) == (1.0, 1.0)
    assert (exact_match("Ulm", []), f1("Ulm", [])) == (0.0, 0.0)


def test_normalisation_drops_case_articles_punctuation_and_blanks() -> None:
    assert normalized("  The  Gate-house, an old one. ") == "gatehouse old one"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("《红楼梦》，曹雪芹著。", "红 楼 梦 曹 雪 芹 著"),
        ("北京 大学", "北 京 大 学"),
        ("于1998年5月成立的IBM公司", "于 1998 年 5 月 成 立 的 ibm 公 司"),
        ("1,500～2,000米", "15002000 米"),
        ("「東京タワー」は333m", "東 京 タ ワ ー は 333m"),
        ("𠀀字", "𠀀 字"),
        ("The 漢字 of a name", "漢 字 of name"),
        ("서울의 봄", "서울의 봄"),
        ("«Москва»…", "«москва»…"),
    ],
)
def test_chinese_and_japanese_are_normalised_by_character(answer: str, expected: str) -> None:
    assert normalized(answer) == expected


def test_em_and_f1_of_chinese_count_characters() -> None:
    assert exact_match("北京大学。", ["北京 大学"]) == 1
    assert exact_match("北京大学", ["北京"]) == 0
    assert f1("北京大学", ["北京"]) == pytest.approx(2 * 0.5 / 1.5)
    assert f1("1998年", ["1998年5月"]) == pytest.approx(2 * 0.5 / 1.5)
    assert f1("上海", ["北京"]) == 0
    assert f1("Peking University", ["北京大学", "Peking"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("suffix", [".json", ".json.xz"])
def test_a_file_is_read_plain_or_compressed(suffix: str, tmp_path: Path) -> None:
    content = json.dumps({"data": [{"title": "T", "paragraphs": [_paragraph()]}]})
    path = tmp_path / f"squad{suffix}"
    path.write_bytes(lzma.compress(content.encode()) if suffix.endswith("xz") else content.encode())
    squad = read_squad(path)
    assert [(p.context, q.question, q.answers[0].text) for p, q in squad.questions()] == [("In Ulm.", "where?", "Ulm")]
    assert not squad.has_impossible


def test_unanswerable_questions_have_no_answers(tmp_path: Path) -> None:
    squad = read_squad(_file(tmp_path / "f.json", [_paragraph(is_impossible=True, answers=[])]))
    assert squad.has_impossible
    assert [question.answers for _, question in squad.questions()] == [()]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        ("{", "not readable as JSON"),
        ("[]", 'a list under "data"'),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', "not SQuAD JSON"),
        ('{"data": []}', "no question in it"),
        (
            json.dumps({"data": [{"paragraphs": [_paragraph(answers=[{"text": "Ulm", "answer_start": 2}])]}]}),
            "1 answers",
        ),
    ],
)
def test_a_bad_file_is_reported_with_its_name_and_what_is_wrong(
    content: str | None, found: str, tmp_path: Path
) -> None:
    path = tmp_path / "squad.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(BadTrainingData, match=found) as caught:
        read_squad(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
