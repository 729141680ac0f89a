"""Short texts in many scripts through the default model and one store: found by words, asked, every offset exact."""

from __future__ import annotations

import pytest

from deformer_qa.cli.output import _around
from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.reader.passages import sentences
from deformer_qa.reader.reading import SplitReader

TEXTS = {
    "latin": "The lighthouse of Orvik was built in 1854. Its keeper was Marta Lind. It stands on a rock.",
    "greek": "Η Αθήνα είναι η πρωτεύουσα της Ελλάδας. Ο Παρθενώνας χτίστηκε τον πέμπτο αιώνα.",
    "cyrillic": "Москва — столица России. Она основана в 1147 году. Через город течёт Москва-река.",
    "arabic": "القاهرة عاصمة مصر. يمر بها نهر النيل. هل هي كبيرة؟ نعم، يسكنها الملايين.",
    "hebrew": "יְרוּשָׁלַיִם היא עיר בישראל. הכותל המערבי נמצא בה.",
    "devanagari": "नई दिल्ली भारत की राजधानी है। यह यमुना नदी के तट पर है।",
    "han": "北京是中国的首都。故宫建于1420年。长城在北京的北面。",
    "kana": "富士山は日本で一番高い山である。ふもとには湖が五つある。",
    "hangul": "서울은 대한민국의 수도이다. 한강이 도시를 가로지른다.",
    "thai": "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย แม่น้ำเจ้าพระยาไหลผ่านเมือง",
    "khmer": "ភ្នំពេញជារាជធានីនៃកម្ពុជា។ ទន្លេមេគង្គហូរកាត់ទីក្រុង។",
    "tibetan": "ལྷ་ས་ནི་བོད་ཀྱི་རྒྱལ་ས་རེད། དེ་རུ་པོ་ཏ་ལ་ཡོད།",
    "astral": "🦊🐉👩‍👩‍👧 𠀀𠮷𪛖。 𝔊𝔬𝔱𝔥𝔦𝔠! The dragon of Vell was painted by Ada Holm in 1911 🎨. It is red.",
}
ASKED = {
    "latin": "When was the lighthouse of Orvik built?",
    "greek": "Ποια είναι η πρωτεύουσα της Ελλάδας;",
    "cyrillic": "Когда основана Москва?",
    "arabic": "ما هي عاصمة مصر؟",
    "hebrew": "איפה נמצא הכותל המערבי?",
    "devanagari": "भारत की राजधानी क्या है?",
    "han": "故宫是哪一年建的？",
    "kana": "日本で一番高い山は？",
    "hangul": "대한민국 수도는 어디인가?",
    "thai": "เมืองหลวงของไทยคือ",
    "khmer": "រាជធានីកម្ពុជា",
    "tibetan": "བོད་ཀྱི་རྒྱལ་ས་",
    "astral": "Who painted the dragon of Vell?",
}
ANSWERS = {"latin": "1854", "astral": "Ada Holm"}
"""What an English encoder can be asked for; of the others places are looked at, not what it makes of them."""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, shipped_reader: SplitReader) -> Pipeline:
    folder = tmp_path_factory.mktemp("scripts")
    for name, text in TEXTS.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    sync(folder / "store", shipped_reader.encoder, [folder / f"{name}.txt" for name in TEXTS])
    return Pipeline.open(folder / "store", shipped_reader)


def test_a_question_in_any_script_finds_its_passage_by_words_alone(pipeline: Pipeline) -> None:
    first = {}
    for script, question in ASKED.items():
        hits = pipeline.snapshot.bm25(question, 1)
        first[script] = pipeline.snapshot.document(pipeline.snapshot.passages([hits[0].passage_id])[0].document_id)
    assert {script: document.text for script, document in first.items()} == TEXTS


@pytest.mark.parametrize("script", ASKED)
def test_every_answer_stands_where_it_says_in_code_points(pipeline: Pipeline, script: str) -> None:
    made = pipeline.ask(ASKED[script], n_answers=5)
    assert made.answers
    for answer in made.answers:
        for place in (answer.place, *answer.evidence):
            text = pipeline.snapshot.document(place.document).text
            assert text in TEXTS.values()
            assert place.text == text[place.start : place.end] != ""
        text = pipeline.snapshot.document(answer.place.document).text
        context_end = answer.context_start + len(answer.context)
        assert text[answer.context_start : context_end] == answer.context
        assert answer.context_start <= answer.place.start < answer.place.end <= context_end
        assert _around(answer)[1] == answer.place.text
        around = [one for one in sentences(text) if one.end > answer.place.start and one.start < answer.place.end]
        assert (answer.context_start, context_end) == (around[0].start, around[-1].end)
    if script in ANSWERS:
        assert made.answers[0].place.text == ANSWERS[script]
