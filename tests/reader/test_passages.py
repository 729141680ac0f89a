"""Passage borders: complete, within the budget, and moved by an edit only where it is."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.passages import PassageBorders, sentence_around
from deformer_qa.reader.tokens import TextTokenizer

WORDS = "river city the of and was in old stone bridge mill tower Ulm Basel Prague 1854 seven gate wool".split()  # noqa: SIM905


def _sentence(chance: random.Random) -> str:
    words = chance.choices(WORDS, k=chance.randint(4, 30))
    return " ".join([words[0].capitalize(), *words[1:]]) + "."


def _paragraph(chance: random.Random) -> str:
    return " ".join(_sentence(chance) for _ in range(chance.randint(1, 8)))


def _texts(text: str, tokenizer: TextTokenizer, borders: PassageBorders) -> list[str]:
    return [text[span.start : span.end] for span in borders.split(text, tokenizer)]


def test_a_text_within_the_budget_is_one_passage(default_encoder: Encoder) -> None:
    text = "  One sentence. Another one!\n\nA paragraph.  "
    assert _texts(text, default_encoder.tokenizer, default_encoder.borders) == [text.strip()]


@pytest.mark.parametrize("text", ["", "   ", "\n\n\t "])
def test_a_text_without_tokens_has_no_passage(text: str, default_encoder: Encoder) -> None:
    assert default_encoder.borders.split(text, default_encoder.tokenizer) == []


@pytest.mark.parametrize(
    "text",
    [
        "a" * 5000,
        "word " * 3000,
        "漢字。" * 2000,
        "漢" * 3000,
        "é" * 4000,
        "." * 2000,
        "x.y " * 2000,
        "No. 5 " * 900,
        "word\n" * 300_000,
        "The mill stands. " * 20_000,
        "a b " * 10 + "." * 1_000_000,
        "Cafe\u0301 " * 900,
    ],
    ids=[
        "letters",
        "words",
        "sentences-cjk",
        "cjk",
        "accents",
        "points",
        "dotted",
        "abbreviations",
        "a-list-of-words",
        "one-sentence-again-and-again",
        "a-million-points",
        "decomposed-accents",
    ],
)
def test_hard_texts_are_cut_within_the_budget_and_lose_no_token(text: str, default_encoder: Encoder) -> None:
    tokenizer, borders = default_encoder.tokenizer, default_encoder.borders
    spans = borders.split(text, tokenizer)
    assert all(tokenizer.count(text[span.start : span.end]) <= borders.budget for span in spans)
    end = 0
    for span in spans:
        assert not text[end : span.start].strip()
        end = max(end, span.end)
    assert not text[end:].strip()


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab.!? \n\t漢。é-'\"0"), max_size=1500))
def test_any_text_is_covered_in_order_within_the_budget(default_encoder: Encoder, text: str) -> None:
    tokenizer = default_encoder.tokenizer
    borders = PassageBorders(budget=40, spacing=12, overlap=8)
    spans = borders.split(text, tokenizer)
    assert all(tokenizer.count(text[span.start : span.end]) <= 40 for span in spans)
    assert spans == sorted(spans, key=lambda span: (span.start, span.end))
    covered = {place for span in spans for place in range(span.start, span.end)}
    assert {place for first, end in tokenizer.offsets(text) for place in range(first, end)} <= covered


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gap", ["\n\n", "\n"])
def test_a_paragraph_inserted_at_the_top_changes_at_most_three_passages(
    seed: int, gap: str, default_encoder: Encoder
) -> None:
    chance = random.Random(seed)
    text = gap.join(_paragraph(chance) for _ in range(150))
    before = set(_texts(text, default_encoder.tokenizer, default_encoder.borders))
    after = set(_texts(_paragraph(chance) + gap + text, default_encoder.tokenizer, default_encoder.borders))
    assert len(before) > 50
    assert 1 <= len(after - before) <= 3


def test_passages_begin_and_end_at_sentence_ends(default_encoder: Encoder) -> None:
    chance = random.Random(4)
    text = " ".join(_sentence(chance) for _ in range(300))
    for passage in _texts(text, default_encoder.tokenizer, default_encoder.borders):
        assert passage[0].isupper() or passage[0].isdigit()
        assert passage[-1] == "."


def test_a_passage_inside_a_paragraph_starts_with_the_sentences_before(default_encoder: Encoder) -> None:
    sentences = [f"Sentence number {n} of this text speaks of the mill." for n in range(120)]
    borders = PassageBorders(budget=254)  # a budget with room for a sentence more
    passages = _texts(" ".join(sentences), default_encoder.tokenizer, borders)
    for earlier, later in pairwise(passages):
        shared = next(n for n in range(len(later), -1, -1) if earlier.endswith(later[:n]))
        assert later[shared - 1] == "."
        assert 0 < default_encoder.tokenizer.count(later[:shared]) <= borders.overlap


@pytest.mark.parametrize(
    ("text", "inside", "expected"),
    [
        ("He met Dr. Smith in Ulm. They ate. It rained.", "Smith", "He met Dr. Smith in Ulm."),
        ("He met Dr. Smith in Ulm. They ate. It rained.", "ate", "They ate."),
        ("One. Two crosses. Over three.", "crosses. Over", "Two crosses. Over three."),
        ("一つ。二つ目です。三つ。", "二つ", "二つ目です。"),
        ("no end at all", "end", "no end at all"),
    ],
)
def test_the_sentence_around_an_answer_is_whole(text: str, inside: str, expected: str) -> None:
    start = text.index(inside)
    around = sentence_around(text, start, start + len(inside))
    assert text[around.start : around.end] == expected


def test_a_long_text_is_tokenised_in_pieces_as_it_is_at_once(
    default_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = default_encoder.tokenizer
    text = (
        "日本語 テスト\u0301 a\u00a0b\u2003c \u200b x\t\ty\r\n\x0c z é e\u0301 नमस्ते und so weiter, unaffordably.\n\n"
        * 40
    )
    at_once = tokenizer.offsets(text)
    for n_characters in (1, 7, 1000):
        monkeypatch.setattr("deformer_qa.reader.tokens._PIECE", n_characters)
        assert tokenizer.offsets(text) == at_once
