"""Sentences, clauses and syllables of scripts other than Latin: found where their readers see them, never torn."""

from __future__ import annotations

import re
import unicodedata

import pytest
import regex

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.passages import PassageBorders, sentence_around, sentences
from deformer_qa.reader.scripts import SENTENCE_ENDS

TWO_SENTENCES = {
    "Devanagari": "दिल्ली भारत की राजधानी है। यह यमुना के तट पर है॥",
    "Bengali": "ঢাকা বাংলাদেশের রাজধানী।এটি বুড়িগঙ্গার তীরে অবস্থিত।",
    "Arabic": "أين تقع القاهرة؟ تقع على نهر النيل.",
    "Urdu": "لاہور پنجاب کا شہر ہے۔ یہ راوی کے کنارے ہے۔",
    "Hebrew": "ירושלים היא עיר. היא עתיקה מאוד!",
    "Ethiopic": "አዲስ አበባ የኢትዮጵያ ዋና ከተማ ናት። ትልቅ ከተማ ናት።",
    "Burmese": "ရန်ကုန်သည်မြို့ကြီးဖြစ်သည်။နေပြည်တော်သည်မြို့တော်ဖြစ်သည်။",
    "Khmer": "ភ្នំពេញជារដ្ឋធានី។ វាស្ថិតនៅលើទន្លេមេគង្គ។",
    "Tibetan": "ལྷ་ས་ནི་བོད་ཀྱི་རྒྱལ་ས་རེད། །དེ་རུ་པོ་ཏ་ལ་ཡོད།",
    "Armenian": "Երևանը Հայաստանի մայրաքաղաքն է։ Այն հին է։",
    "fullwidth points": "円周率は３．１４である．それは無理数である．",
    "halfwidth": "ｺﾚﾊﾍﾟﾝﾃﾞｽ｡ｿﾚﾊﾎﾝﾃﾞｽ｡",
    "Japanese": "「山は高い。」川は長い！",
    "Thai": "กรุงเทพเป็นเมืองหลวงของไทย มีแม่น้ำต่าง ๆ ไหลผ่าน",
    "Lao": "ວຽງຈັນເປັນນະຄອນຫຼວງ ຕັ້ງຢູ່ແຄມແມ່ນ້ຳຂອງ",
    "Chakma": "\U00011107\U00011141\U00011108\U00011141",
}
RUNS = {
    "Thai": "กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุดของประเทศไทย" * 60,
    "Khmer": "ភ្នំពេញគឺជារាជធានីនៃព្រះរាជាណាចក្រកម្ពុជា" * 90,
    "Burmese": "ရန်ကုန်မြို့သည်မြန်မာနိုင်ငံ၏အကြီးဆုံးမြို့ဖြစ်သည်" * 80,
    "Lao": "ນະຄອນຫຼວງວຽງຈັນເປັນນະຄອນຫຼວງຂອງປະເທດລາວ" * 80,
    "Han": "北京是中华人民共和国的首都" * 200,
    "Han of plane 2": "\U00020000\U00020bb7\U0002a6d6" * 500,
    "Kana": "ラーメンをつくってたべるひとがいっぱいいる" * 100,
    "Hangul": "서울은대한민국의수도이다" * 150,
    "variants": "葛\U000e0100城" * 700,
}
TIGHT = PassageBorders(budget=40, spacing=12, overlap=8)


@pytest.mark.parametrize("script", TWO_SENTENCES)
def test_two_sentences_are_two_and_each_is_the_one_around_its_words(script: str) -> None:
    text = TWO_SENTENCES[script]
    spans = sentences(text)
    assert len(spans) == 2
    assert "".join(text[one.start : one.end] for one in spans).replace(" ", "") == text.replace(" ", "")
    for one in spans:
        assert sentence_around(text, one.start, one.start + 1) == one
        assert sentence_around(text, one.start + 1, one.start + 2) == one


@pytest.mark.parametrize("text", ["ต่าง ๆ กัน", "ไทย 2500 ไทย", "１．５", "ཀ་ཁ", "漢字、仮名", "ไทย A"])
def test_what_ends_no_sentence_parts_none(text: str) -> None:
    assert len(sentences(text)) == 1


def test_sentence_ends_are_those_of_unicode_but_for_the_exceptions_named() -> None:
    every = "".join(chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000)
    ours, unicode_has = set(re.findall(f"[{SENTENCE_ENDS}]", every)), set(regex.findall(r"\p{STerm}", every))
    assert ours - unicode_has == set("๚๛།༎༏༐༑༒༔")
    missing = {one for one in unicode_has - ours if unicodedata.category(one) != "Cn"}
    assert missing == set(".!?。！？．﹒၊․‼‽⁇⁈⁉⳹⳺⳻⸮⸼⹓⹔") | {"\U0001da88"}


@pytest.mark.parametrize("script", RUNS)
@pytest.mark.parametrize("tight", [False, True])
def test_a_long_run_is_divided_within_the_budget_and_no_letter_is_torn(
    script: str, tight: bool, default_encoder: Encoder
) -> None:
    text, tokenizer = RUNS[script], default_encoder.tokenizer
    borders = TIGHT if tight else default_encoder.borders
    spans = borders.split(text, tokenizer)
    covered = 0
    for span in spans:
        assert tokenizer.count(text[span.start : span.end]) <= borders.budget
        assert span.end - span.start <= 6 * borders.budget
        assert span.start <= covered < span.end
        covered = span.end
        assert not unicodedata.category(text[span.start]).startswith("M")
        assert span.end == len(text) or not unicodedata.category(text[span.end]).startswith("M")
        assert text[span.start] not in "าะー々っ"
        assert text[span.end - 1] not in "เแโใไ្"
    assert covered == len(text)


def test_a_run_is_rather_cut_after_a_clause(default_encoder: Encoder) -> None:
    text = "".join(f"第{number}条河流从山上流下来，" for number in range(150))
    spans = default_encoder.borders.split(text, default_encoder.tokenizer)
    assert len(spans) > 4
    assert {text[span.end - 1] for span in spans} == {"，"}


@pytest.mark.parametrize(
    ("text", "inside"),
    [("נֹחַ יְרוּשָׁלַיִם", "יְרוּשָׁלַיִם"), ("a กี่ b", "กี่"), ("x दिल्ली y", "दिल्ली"), ("x 葛\U000e0100 y", "葛\U000e0100")],
)
def test_a_token_takes_in_the_marks_of_its_letters(text: str, inside: str, default_encoder: Encoder) -> None:
    start = text.index(inside)
    tokens = default_encoder.tokenizer.tokenize(text)
    first = next(row for row, (_, end) in enumerate(tokens.offsets) if end > start)
    begin, end = tokens.characters(first, first)
    assert text[begin:end] == inside


def test_hostile_texts_are_divided_in_time_that_grows_with_them(default_encoder: Encoder) -> None:
    n = 30_000  # quadratic rules would take minutes for these
    hostile = ["।" * n, "। " * n, "．" * n + "1", "ก " * n, "ก" + " " * n + "ก", "ก" + "\u0e38" * n, "།" + " " * n]
    for text in hostile:
        assert default_encoder.borders.split(text, default_encoder.tokenizer)
        assert sentences(text)
        assert sentence_around(text, n // 2, n // 2 + 1).end > 0


def test_a_vocabulary_that_knows_the_letters_is_divided_by_its_own_tokens(tiny_encoder: Encoder) -> None:
    text = "word " * 30 + "กรุงเทพมหานคร" * 30
    spans = TIGHT.split(text, tiny_encoder.tokenizer)
    assert all(tiny_encoder.tokenizer.count(text[one.start : one.end]) <= 40 for one in spans)
    assert spans[-1].end == len(text)
