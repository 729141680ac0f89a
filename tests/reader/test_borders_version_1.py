"""Borders are part of the encoder id: texts of the scripts that version 1 knew are cut as it cut them.

The hashes were computed by the code of version 1 as it was before other scripts were known to it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.passages import BORDERS_VERSION, PassageBorders, Span, sentence_around, sentences

CORPUS = Path(__file__).resolve().parents[2] / "examples" / "corpus"
ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyzäéñøßœ",
    "greek": "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщьюяё",
}
KNOWN = {
    "latin": "67254e7b6f1263b2",
    "greek": "b51d42a7be0aef32",
    "cyrillic": "4e0b734d8f456418",
    "one long line": "df1881dbb576997f",
    "chinese": "b15010a9944824e8",
}
CORPUS_KNOWN = {  # hash of a file's text: hash of its borders
    "9bd1b4f7a51fb0eb": "a9bf32c88b19fd2e",  # country-sourdough.md
    "91d982ebb7ad9dda": "1317fa54b8b4443d",  # tempering-chocolate.txt
    "349cd70efbb9abdb": "fd0704ff1452f520",  # european-rivers.txt
    "0ddd882fc24243ec": "e29a0724cbbc1fdc",  # great-eruptions.html
    "8774b2e02b56949b": "633d3377928fc253",  # first-circumnavigation.md
    "e696b51f564b553c": "b64b623dd25b4c31",  # polar-journeys.jsonl
    "2bce95126ae0a1b7": "fa27a24b4cea84ac",  # printing.txt
    "02d497fdf1aac011": "45d7d52fbc8a4126",  # employee-handbook.md
    "10b0a89de053db50": "c02b792fd11d6103",  # heronbase-4.2-release-notes.md
    "cd40598e56a81cf5": "6f225052419fe593",  # lab-protocol-leaf-dna.txt
    "7483aada8d68afb0": "235152837fcd3466",  # lumo-3-manual.md
    "670a35ed51c800cd": "40ef68f5e8f081a3",  # museum-of-tides.html
    "0da793770ccbd688": "92f06a275d490dd3",  # saltmere-sailing-club-rules.md
    "8d4e864640d47e82": "4d1e378b51e72fe4",  # thornley-library-notices.jsonl
    "6f0e2df00621551b": "9cc51b9be6844a59",  # beethoven-symphonies.md
    "8f2b9f5dd61b5af7": "bba0f69371c41b6b",  # piano.html
    "10be04faa71284ad": "f146e61500545aaa",  # apollo-landings.html
    "f9d57ddc8e3beaa0": "34a2a6041445e596",  # blood-groups.html
    "54f4b1846535ae97": "aa38da8768020efd",  # discovery-of-elements.jsonl
    "c4ec47b39cbe7bb4": "6611f67f283ef889",  # dna.md
    "00cafd07018c7b32": "ce976d0bb465a56d",  # giant-planets.md
    "63d95a72d6a99239": "c53e52f343d3d688",  # noble-gases.txt
    "029746dca593a859": "285a7ae5bd300c84",  # vaccination.txt
    "54819f15b0002f9c": "49be9237f7a4d6f1",  # port-averil.md
}


def _text(alphabet: str, chance: random.Random, n_words: int, ends: str = ". . . ? ! ... … !? ") -> str:
    """Words with every punctuation mark that version 1 looks at, abbreviations, lists, lines and paragraphs."""
    words = []
    for _ in range(n_words):
        word = "".join(chance.choices(alphabet, k=chance.randint(1, 11)))
        fate = chance.random()
        if fate < 0.1:
            quote = chance.choice(["", "", '"', "”", "’", "»", ")", "]"])
            space = chance.choice(["", " ", " ", " ", "  ", "\n", "\n\n", "\n- ", "\n2) ", "\u00a0", "\t"])
            words.append(word + chance.choice(ends.split(" ")) + quote + space)
            words.append(chance.choice(["", '"', "“", "«", "("]) + chance.choice(["X", "Ä", "7", "Σ", "Я", "a"]))
        elif fate < 0.13:
            words.append(chance.choice(["Dr. ", "No. ", "e.g. ", "U.S. ", "Fig. 3, ", "(St. ", "A. ", "etc. "]))
        else:
            words.append(word + chance.choice([" ", " ", " ", ", ", "; ", ": ", " - ", "/", "'", " 12.5 ", "e\u0301 "]))
    return "".join(words)


def _texts() -> Iterator[tuple[str, str]]:
    for name, alphabet in ALPHABETS.items():
        yield name, _text(alphabet, random.Random(name), 6000)
    yield "one long line", _text(ALPHABETS["latin"], random.Random(5), 1500, ends=",") + "x.y/" * 900 + "e\u0301" * 700
    chinese = random.Random(6)
    yield (
        "chinese",
        "".join(
            "".join(chr(chinese.randint(0x4E00, 0x9FA5)) for _ in range(chinese.randint(3, 35)))
            + chinese.choice(["。", "！", "？", "。」", "。\n", "。\n\n"])
            for _ in range(300)
        ),
    )


def _hash(spans: list[list[Span]]) -> str:
    return hashlib.sha256(repr([[(one.start, one.end) for one in some] for some in spans]).encode()).hexdigest()[:16]


def _spans(text: str, encoder: Encoder) -> list[list[Span]]:
    tight = PassageBorders(budget=40, spacing=12, overlap=8)
    around = [sentence_around(text[:9000], place, place + 9) for place in range(0, 9000, 500)]
    return [*(borders.split(text, encoder.tokenizer) for borders in (PassageBorders(), tight)), sentences(text), around]


@pytest.mark.parametrize(("name", "text"), list(_texts()), ids=list(KNOWN))
def test_texts_of_the_scripts_of_version_1_are_cut_as_it_cut_them(
    name: str, text: str, default_encoder: Encoder
) -> None:
    assert BORDERS_VERSION == 1
    assert _hash(_spans(text, default_encoder)) == KNOWN[name]


def test_the_sample_corpus_is_cut_as_version_1_cut_it(default_encoder: Encoder) -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(CORPUS.rglob("*")) if path.is_file()]
    by_hash = {hashlib.sha256(text.encode()).hexdigest()[:16]: text for text in texts}
    same = by_hash.keys() & CORPUS_KNOWN  # a file that was edited since says nothing
    assert len(same) > 12
    assert {one: _hash(_spans(by_hash[one], default_encoder)) for one in same} == {
        one: CORPUS_KNOWN[one] for one in same
    }
