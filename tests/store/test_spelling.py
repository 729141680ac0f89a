"""Words of scripts that FTS5 cannot cut: found by BM25 alone among many, and every other text as it was."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from parts.damage import files_of_head, flip, no_encoder

from deformer_qa.store import Writer, export_store, import_store, open_snapshot, repair, verify
from deformer_qa.store.segments import catalogue_writer
from deformer_qa.store.segments.bm25 import QueryWords
from deformer_qa.store.segments.words import spelled

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"
ASKED = {  # a query: the passage that answers it
    "谁写了红楼梦": "清代小说家曹雪芹写的《红楼梦》是中国古典文学的代表",
    "长城有多长": "据测量长城总长超过两万公里",
    "日本で一番高い山は": "富士山は標高3776メートルで、日本の最高峰の山である",
    "ﾗｰﾒﾝの作り方": "ラーメンの作り方を説明する",
    "เมืองหลวงของไทย": "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย",
    "แม่น้ำโขงไหลผ่าน": "ต้นน้ำของแม่น้ำโขงอยู่ที่ทิเบต",
    "세종대왕이 만든 글자는": "세종대왕께서는 한글을 만드셨다",
    "भारत की राजधानी": "नई दिल्ली भारत की राजधानी है",
    "القاهره عاصمة مصر": "الْقَاهِرَةُ عَاصِمَةُ مِصْرَ",
    "ירושלים": "יְרוּשָׁלַיִם הִיא עִיר",
    "រាជធានីកម្ពុជា": "ភ្នំពេញគឺជារាជធានីនៃប្រទេសកម្ពុជា",
    "水": "鱼在水里游",
    "𠮷野家": "店の名前は𠮷野家です",
}
OTHERS = {
    "zh": "第{}号公共汽车开往火车站，票价是{}元",
    "ja": "{}番のバスは駅前から出て、{}分で着きます",
    "th": "รถเมล์สาย {} ไปตลาดใช้เวลา {} นาที",
    "ko": "{}번 버스는 역까지 {}분 걸린다",
    "hi": "बस संख्या {} बाज़ार तक {} मिनट में जाती है",
    "ar": "الحافلة رقم {} تصل إلى السوق بعد {} دقيقة",
    "he": "אוטובוס {} מגיע לשוק אחרי {} דקות",
    "km": "ឡានក្រុងលេខ {} ទៅផ្សារចំណាយពេល {} នាទី",
    "en": "Bus {} reaches the market in {} minutes",
}


def _fill(store, tiny, texts) -> list[int]:
    return tiny.fill(store, {f"{number}.txt": text for number, text in enumerate(texts)})


def _first(store, query) -> str:
    with open_snapshot(store) as snapshot:
        hits = snapshot.bm25(query, 1)
        return snapshot.passage_texts([hits[0].passage_id])[0] if hits else ""


def test_a_query_in_a_script_without_blanks_finds_its_passage_among_many(store, tiny):
    others = [text.format(10 + n, n % 50) for n in range(25) for text in OTHERS.values()]
    _fill(store, tiny, [*others, *ASKED.values()])
    assert {query: _first(store, query) for query in ASKED} == ASKED
    assert verify(store) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("東京は2020年", "2020 は 京 京は 年 東 東京"),
        ("ＡＢＣ１２", "abc12"),
        ("한국 \u1112\u1161\u11ab\u1100\u116e\u11a8", "국 한 한국"),
        ("นี่", "นี่"),
        ("का", "का"),
        ("क\u094d\u200dष", "क्ष"),
        ("ກ\u200bຂ", "ກ ກຂ ຂ"),
        ("", ""),
    ],
)
def test_letters_and_their_pairs_are_words_and_signs_stay_with_their_letter(text, words):
    found = [word.decode() for word in QueryWords().of(text)]
    signs = {0xF0000 + code: code for code in range(0x700, 0xAC00)}
    assert sorted(word.translate(signs) for word in found) == sorted(words.split())


def test_texts_of_other_scripts_are_not_spelled_otherwise():
    texts = [path.read_text() for path in CORPUS.rglob("*") if path.is_file()]
    texts += [
        "naïve Élan e\u0301",
        "Ἀθῆναι και Ὀδυσσεύς",
        "Москва́ ё \u0456\u0308",
        "שלום عربي Հայ ქართ",
        "🦊 ½ ™ — “x”",
    ]
    assert len(texts) > 20
    assert [spelled(text) for text in texts] == texts


def test_a_hostile_text_is_spelled_in_time_that_grows_with_it():
    for text in (
        "漢" * 300_000,
        "ก" + "\u0e38" * 300_000,
        "\u064b" * 300_000,
        "漢\u200b" * 200_000,
        "\u0915\u093f" * 300_000,
    ):
        assert len(spelled(text)) <= 5 * len(text) + 5  # a quadratic spelling would take minutes


def test_a_store_of_the_time_before_keeps_its_words_until_they_are_written_anew(store, tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(catalogue_writer, "spelled", str)
        _fill(store, tiny, ["北京是中国的首都", "The fox of 北京"])
    with Writer.open(store, tiny.encoder) as writer:
        id_ = tiny.put(writer, "new.txt", "上海是中国的城市")
        writer.commit()
        writer.merge()
        writer.remove_document(id_)
        tiny.put(writer, "newer.txt", "南京是中国的城市")
        writer.commit()
        writer.compact()
    assert verify(store) == []
    assert _first(store, "中国的首都") == "南京是中国的城市"  # all that is spelled as the query is
    assert _first(store, "fox") == _first(store, "北京") == "The fox of 北京"
    with open_snapshot(store) as snapshot:
        export_store(snapshot, tmp_path / "out")
    import_store(tmp_path / "out", tmp_path / "imported")
    flip(files_of_head(store, "words")[0], random.Random(1))
    repair(store, no_encoder)
    for written_anew in (store, tmp_path / "imported"):
        assert verify(written_anew) == []
        assert _first(written_anew, "中国的首都") == "北京是中国的首都"
