"""Make kinds of questions with the passages that answer them, on which retrieval is fitted and measured.

They come from public data sets, whose folder ``benchmarks/retrieval.py`` is given, and from tables made up here. No
reader is trained to retrieve, and the encoder is frozen, so data sets that readers are trained on may be used.
"""

from __future__ import annotations

import json
import lzma
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.parsed import DEFAULT_LIMITS
from deformer_qa.indexer.formats.tables import lay_out, row
from deformer_qa.reader.encoder import Encoder

SEED = 12
T = TypeVar("T")
ARTICLES_HELD_BACK = 20  # the last of SQuAD train: no reader is trained on them
N_DISTRACTORS = 1500  # paragraphs of five times as many other articles to search among
N_PARAGRAPHS = 2600  # of Natural Questions
N_TABLES = 250
N_QUESTIONS = 1000  # of a kind, at most
N_ROWS = 400  # of a table made up here
_WORD = re.compile(r"[^\W_]{3,}")
_CODE = re.compile(r"\b(?=\w*[-_/]?\w*\d)[A-Za-z]+[-_/.]?\d[\w-]*\b|\b[a-z]+(?:_[a-z]+)+\b")


@dataclass(frozen=True)
class Text:
    """A passage with its document's title, '' if the document has none."""

    title: str
    text: str


@dataclass(frozen=True)
class Asked:
    """A question and the numbers of the passages that answer it."""

    question: str
    gold: frozenset[int]


@dataclass(frozen=True)
class Kind:
    """Questions of one kind; kinds with the same ``corpus`` share passages, kinds of one ``group`` count as one."""

    name: str
    group: str
    corpus: str
    texts: tuple[Text, ...]
    asked: tuple[Asked, ...]


def fitting_kinds(data: Path, encoder: Encoder) -> Iterator[Kind]:
    """Yield the kinds on which weights may be chosen."""
    squad, asked = _squad_train(data / "squad-v1.1-train.json.xz", encoder)
    yield Kind("SQuAD", "SQuAD", "squad", squad, asked)
    yield Kind("key words", "words", "squad", squad, _key_words(squad))
    articles = _content(data / "nq-spans-train.json.xz")["data"]
    texts, asked = _read(_shuffled(articles)[:N_PARAGRAPHS], encoder)
    yield Kind("NQ", "NQ", "nq", texts, _sample(asked, N_QUESTIONS))
    tables, asked = _tables(_content(data / "wikitablequestions-train-dev.json.xz"), encoder)
    yield Kind("tables", "tables", "tables", tables, asked)
    made, asked = _made_tables(encoder, len(tables))
    everything = (*tables, *made)
    yield Kind("codes in questions", "words", "codes", everything, asked)
    yield Kind("codes alone", "words", "codes", everything, _codes(everything))
    yield Kind("one rare word", "words", "codes", everything, _rare_words(everything))


def last_kind(data: Path, encoder: Encoder, n_questions: int) -> Kind:
    """Return SQuAD dev, on which nothing is chosen."""
    texts, asked = _read(_content(data / "squad-v1.1-dev.json.xz")["data"], encoder)
    return Kind("SQuAD dev", "SQuAD", "squad-dev", texts, _sample(asked, n_questions))


def _content(path: Path) -> dict[str, Any]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        content: dict[str, Any] = json.load(file)
    return content


def _sample(asked: Sequence[Asked], n: int) -> tuple[Asked, ...]:
    return tuple(asked) if len(asked) <= n else tuple(random.Random(SEED).sample(list(asked), n))


def _shuffled(items: Sequence[T]) -> list[T]:
    return random.Random(SEED).sample(list(items), len(items))


def _cut(text: str, encoder: Encoder) -> Iterator[tuple[int, int]]:
    """Yield where the indexed passages of a text begin and end."""
    for span in encoder.borders.split(text, encoder.tokenizer):
        yield span.start, span.end


def _read(articles: Sequence[dict[str, Any]], encoder: Encoder) -> tuple[tuple[Text, ...], list[Asked]]:
    """Read passages of SQuAD's form with their articles' titles, and the questions; equal texts are one passage."""
    numbers: dict[Text, int] = {}
    asked = []
    for article in articles:
        title = article["title"].replace("_", " ")
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            spans = list(_cut(context, encoder))
            of_spans = [numbers.setdefault(Text(title, context[a:b]), len(numbers)) for a, b in spans]
            for one in paragraph["qas"]:
                starts = {answer["answer_start"] for answer in one["answers"]}
                gold = {
                    number
                    for number, (a, b) in zip(of_spans, spans, strict=True)
                    if any(a <= start < b for start in starts)
                }
                if gold:
                    asked.append(Asked(one["question"], frozenset(gold)))
    return tuple(numbers), asked


def _squad_train(path: Path, encoder: Encoder) -> tuple[tuple[Text, ...], tuple[Asked, ...]]:
    articles = _content(path)["data"]
    others = _shuffled(articles[:-ARTICLES_HELD_BACK])[: 5 * ARTICLES_HELD_BACK]
    paragraphs = [{"title": one["title"], "paragraphs": [part]} for one in others for part in one["paragraphs"]]
    texts, asked = _read(articles[-ARTICLES_HELD_BACK:], encoder)
    distractors, _ = _read(_shuffled(paragraphs)[:N_DISTRACTORS], encoder)
    return tuple(dict.fromkeys((*texts, *distractors))), _sample(asked, N_QUESTIONS)


def _tables(content: dict[str, Any], encoder: Encoder) -> tuple[tuple[Text, ...], tuple[Asked, ...]]:
    """Lay out tables as the indexer does; passages of a question's table that contain all answers are right."""
    used = sorted({one["table"] for one in content["train"]})
    numbers: dict[str, dict[Text, int]] = {}
    texts: dict[Text, int] = {}
    for name in _shuffled(used)[:N_TABLES]:
        text = laid_out(content["tables"][name])
        numbers[name] = {
            piece: texts.setdefault(piece, len(texts))
            for piece in (Text("", text[a:b]) for a, b in _cut(text, encoder))
        }
    asked = []
    for one in content["train"]:
        if one["answer_is"] == "cell" and one["table"] in numbers:
            gold = {
                number
                for piece, number in numbers[one["table"]].items()
                if all(answer in piece.text for answer in one["answers"])
            }
            if gold:
                asked.append(Asked(one["question"], frozenset(gold)))
    return tuple(texts), _sample(asked, N_QUESTIONS)


def laid_out(rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table as text, one line for each row, each cell after its column's name."""
    layout = Layout()
    lay_out(
        layout, [row(n, [" ".join(cell.split()) for cell in cells]) for n, cells in enumerate(rows, 1)], DEFAULT_LIMITS
    )
    return layout.finish()[0]


def _made_tables(encoder: Encoder, first: int) -> tuple[tuple[Text, ...], tuple[Asked, ...]]:
    """Make tables whose rows have keys, and a question about each of some rows."""
    chance = random.Random(SEED)
    texts: list[Text] = []
    asked = []
    for title, header, made_row, question in _SHAPES:
        rows = [made_row(number, chance) for number in range(1, N_ROWS + 1)]
        text = laid_out([header, *rows])
        pieces = [text[a:b] for a, b in _cut(text, encoder)]
        for cells in chance.sample(rows, 60):
            gold = {
                first + len(texts) + n
                for n, piece in enumerate(pieces)
                if re.search(rf"(?<![\w-]){re.escape(cells[0])}(?![\w-])", piece)
            }
            asked.append(Asked(question.format(chance.choice((cells[0], cells[0], cells[0].lower()))), frozenset(gold)))
        texts += [Text(title, piece) for piece in pieces]
    return tuple(texts), tuple(asked)


_STREETS = ("Mill Lane", "Ferry Road", "Old Quay", "Abbey Hill", "Larch Street", "Station Road")
_PARTS = ("valve", "gasket", "bearing", "filter", "hose", "pump", "sensor", "relay", "bracket", "seal")
_STEMS = ("cache", "session", "worker", "retry", "socket", "batch", "index", "queue", "lock", "shard")
_ENDS = ("timeout", "limit", "size", "interval", "depth", "ratio", "count", "delay")
_UNITS = ("ms", "kB", "rows", "seconds")
_Shape = tuple[str, list[str], Callable[[int, random.Random], list[str]], str]
_SHAPES: tuple[_Shape, ...] = (
    (
        "",
        ["Account", "Street", "Balance", "Opened"],
        lambda n, chance: [
            f"K-{n:05d}",
            chance.choice(_STREETS),
            f"{chance.randint(100, 99_999) / 10:.2f}",
            f"{chance.randint(1990, 2024)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
        ],
        "What is the balance of account {}?",
    ),
    (
        "Spare parts",
        ["Part number", "Part", "Price", "In stock"],
        lambda n, chance: [
            f"PX/{n % 20:02d}-{1000 + n}",
            chance.choice(_PARTS),
            f"{chance.randint(1, 400)}.50 €",
            str(chance.randint(0, 80)),
        ],
        "how many of {} are in stock",
    ),
    (
        "Error codes",
        ["Code", "Raised by", "Severity"],
        lambda n, chance: [
            f"ERR_{3 * n}",
            f"{chance.choice(_STEMS)} {chance.choice(_ENDS)} check",
            chance.choice(("low", "medium", "high")),
        ],
        "How severe is {}?",
    ),
    (
        "Settings",
        ["Setting", "Default", "Unit", "Since version"],
        lambda n, chance: [
            f"{_STEMS[n % 10]}_{_STEMS[n // 10 % 10]}_{_ENDS[n // 100 % 4 + n % 4]}",
            str(chance.randint(1, 5000)),
            chance.choice(_UNITS),
            f"{chance.randint(1, 6)}.{chance.randint(0, 9)}",
        ],
        "what is the default of {}",
    ),
)


def _codes(texts: Sequence[Text]) -> tuple[Asked, ...]:
    """Ask for single names with digits or joined words that occur in at most three passages."""
    holders: dict[str, set[int]] = {}
    for number, one in enumerate(texts):
        for found in set(_CODE.findall(one.text)):
            holders.setdefault(found, set()).add(number)
    rare = [Asked(code, frozenset(gold)) for code, gold in sorted(holders.items()) if len(gold) <= 3 and len(code) > 3]
    return _sample(rare, 300)


def _rare_words(texts: Sequence[Text]) -> tuple[Asked, ...]:
    """Ask for single words that occur in at most three passages."""
    holders: dict[str, set[int]] = {}
    for number, one in enumerate(texts):
        for word in {word.casefold() for word in _WORD.findall(one.text) if word.isalpha()}:
            holders.setdefault(word, set()).add(number)
    rare = [Asked(word, frozenset(gold)) for word, gold in sorted(holders.items()) if len(gold) <= 3]
    return _sample(rare, 300)


def _key_words(texts: Sequence[Text]) -> tuple[Asked, ...]:
    """Ask with two to four of the rarer words of one sentence of a passage, in their order."""
    chance = random.Random(SEED)
    frequency = Counter(word for one in texts for word in {word.casefold() for word in _WORD.findall(one.text)})
    asked = []
    for number in chance.sample(range(len(texts)), 500):
        sentences = [found for part in texts[number].text.split(". ") if len(found := _WORD.findall(part)) >= 8]
        if sentences:
            words = [word for word in chance.choice(sentences) if frequency[word.casefold()] <= 0.05 * len(texts)]
            if len(words) >= 2:
                kept = sorted(chance.sample(range(len(words)), min(len(words), chance.randint(2, 4))))
                asked.append(Asked(" ".join(words[place] for place in kept), frozenset({number})))
    return tuple(asked)
