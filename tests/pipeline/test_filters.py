"""Filters on metadata: what SQL and Python find is what plain Python says, and a bad filter is told its place."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from deformer_qa.pipeline.errors import BadFilter
from deformer_qa.pipeline.filter_language import DEEPEST, MOST_CHARACTERS, MOST_COMPARISONS, parsed_filter
from deformer_qa.store import DocumentRecord, EncoderInfo, PassageDraft, Snapshot, Writer, block_key, open_snapshot
from deformer_qa.store.conditions import where
from deformer_qa.store.records import to_json

ENCODER = EncoderInfo("tiny", 4, 4, {"name": "tiny", "k": 1})


def fill(folder: Path, metas: list[dict[str, Any]]) -> Snapshot:
    """A store of one document for each metadata: ``0.txt``, titled "title 0", below "/docs", and so on."""
    with Writer.open(folder, ENCODER) as writer:
        for info in list(writer.snapshot.iter_documents()) if writer.snapshot else []:
            writer.remove_document(info.id)
        for number, meta in enumerate(metas):
            text = f"Text of {number}."
            if not writer.has_row(block_key(text)):
                writer.add_row(block_key(text), np.ones(4, np.float32), np.ones((3, 4), np.float32))
            place = ("/docs", f"{number}.txt", f"title {number}")
            record = DocumentRecord(writer.new_document_id(), *place, "00", text, (), meta)
            writer.put_document(record, [PassageDraft(0, len(text), "", block_key(text))])
        writer.commit()
    return open_snapshot(folder)


METAS: list[dict[str, Any]] = [
    {"year": 2019, "lang": "en", "tags": ["a", "b", 3], "date": "2019-05-01", "done": True},
    {"year": 2020, "lang": "de", "tags": [], "date": "2020-01-01T10:00", "done": False, "path": "own.txt"},
    {"year": 2021.5, "lang": None, "tags": "a", "a": {"b": {"c": 1}}, "odd key": 1, "a.b": 2, "tick`": 1},
    {"year": "2020", "done": 1, "a": [1], "title": None},
    {},
]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return fill(tmp_path_factory.mktemp("filters") / "store", METAS)


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ("year >= 2020", {1, 2}),
        ("year>2020", {2}),
        ("year < 2020.5", {0, 1}),
        ("year == 2020", {1}),
        ("year == 2020.0", {1}),
        ("year != 2020", {0, 2, 3, 4}),
        ('year == "2020"', {3}),
        ('year < "3"', {3}),
        ("year >= -1e300", {0, 1, 2}),
        ("year in [2019, 2021.5, null]", {0, 2, 4}),
        ("year not in [2019, 2021.5]", {1, 3, 4}),
        ("year in []", set()),
        ("year not in []", {0, 1, 2, 3, 4}),
        ("lang == \"en\" or lang == 'de'", {0, 1}),
        ("lang == null", {2, 3, 4}),
        ("lang != null", {0, 1}),
        ("missing == null", {0, 1, 2, 3, 4}),
        ("missing == 0 or missing < 5 or missing >= 'a' or missing contains '' or 1 in missing", set()),
        ("missing != 0 and not missing < 5 and 1 not in missing", {0, 1, 2, 3, 4}),
        ('"a" in tags', {0}),
        ('"a" not in tags', {1, 2, 3, 4}),
        ("3 in tags", {0}),
        ('"3" in tags', set()),
        ("null in tags", set()),
        ('date >= "2020"', {1}),
        ('date < "2020-01-01"', {0}),
        ("done == true", {0}),
        ("done == 1", {3}),
        ("done != true", {1, 2, 3, 4}),
        ("a.b.c == 1", {2}),
        ("`a.b` == 2", {2}),
        ("a.b == 2", set()),
        ("`odd key` == 1 and `tick``` == 1", {2}),
        ('path == "0.txt"', {0}),
        ('path == "1.txt"', set()),
        ('path == "own.txt"', {1}),
        ('path contains ".txt" and root == "/docs"', {0, 1, 2, 3, 4}),
        ('title contains "title"', {0, 1, 2, 4}),
        ("title == null", {3}),
        ('title >= "title 2"', {2, 4}),
        ('"x" in path or path < 3', set()),
        ("not (year >= 2020) and not not lang == 'en'", {0}),
        ("year >= 2021 or year < 2020 and lang == 'en'", {0, 2}),
        ("(year >= 2021 or year < 2020) and lang == 'en'", {0}),
        ("YEAR == 2020", set()),
        ("year == 2019 AND NOT lang IN ['de'] OR done == FALSE", {0, 1}),
        ("year == 100000000000000000000000000", set()),
        ('lang == "e\\n" or lang == "\0" or lang contains "\\""', set()),
    ],
)
def test_what_a_filter_means(snapshot: Snapshot, filter_: str, expected: set[int]) -> None:
    documents = parsed_filter(filter_).documents(snapshot)
    assert {int(one.path.removesuffix(".txt")) for one in documents} == expected
    assert parsed_filter(filter_).passages(snapshot) == (
        len(documents),
        snapshot.passages_of_documents([one.id for one in documents]),
    )


@pytest.mark.parametrize(
    ("filter_", "column", "found", "expected"),
    [
        ("", 0, "nothing", "a comparison such as year >= 2020"),
        ("year", 5, "the end", '==, !=, <, <=, >, >=, in, "not in" or contains'),
        ("year = 3", 6, "=", "==, !="),
        ("lang == en", 9, "the name en", "a text in quotes, a number, true, false or null"),
        ("1 < year", 3, "<", "a comparison begins with its field"),
        ("(a == 1", 8, "the end", "and, or or )"),
        ("a == 1)", 7, ")", "and, or or the end"),
        ("a == 1 && b == 2", 8, "&", "and, or or the end"),
        ("a == 1 and", 11, "the end", "a comparison"),
        ('a in "x"', 6, 'the text "x"', "a list"),
        ("a in [1 2]", 9, "the number 2", ", or ]"),
        ("a in [1,]", 9, "]", "a text in quotes"),
        ("a not == 3", 7, "==", "in"),
        ("a <\nnull", 5, "the word null", "a text in quotes or a number"),
        ("a contains 3", 12, "the number 3", "a text in quotes"),
        ("a..b == 1", 3, ".", "the name of a field"),
        ("and == 1", 1, "the word and", "a comparison"),
        ('a == "x', 6, 'a text without its closing "', "one"),
        ('a == "\\q"', 7, "\\q", "for a backslash"),
        ('a == "\\', 6, 'a text without its closing "', "one"),
        ("`` == 1", 1, "a name without its closing `, or an empty one", "a name"),
        ("a == 1e999", 6, "the number 1e999", "one below"),
        ("a == " + "9" * 400, 6, "a number of 400 digits", "at most 300"),
        ("\ud800 == 1", 1, "a byte that is not UTF-8", "Unicode text"),
        ("a\0 == 1", 2, "'\\x00'", "=="),
        ("a" * (MOST_CHARACTERS + 1), 0, "10,001 characters", "at most 10,000"),
        ("(" * (DEEPEST + 1) + "a == 1" + ")" * (DEEPEST + 1), DEEPEST + 1, "(", "at most 50 parentheses"),
        ("not " * (DEEPEST + 1) + "a == 1", 4 * DEEPEST + 1, "the word not", "at most 50 parentheses and nots"),
        ("a == 1 or " * MOST_COMPARISONS + "b > 2", 1001, "the name b", "at most 100 comparisons"),
    ],
)
def test_a_bad_filter_is_told_its_place(filter_: str, column: int, found: str, expected: str) -> None:
    with pytest.raises(BadFilter) as raised:
        parsed_filter(filter_)
    error = raised.value
    assert (error.column, error.found) == (column, found)
    assert expected in error.expected
    assert "\n" not in str(error)
    assert len(str(error)) < 350
    if column:
        before, after = str(error).split(">>>", 1)
        assert before.startswith(f"filter, column {column:,}: found {found}, expected {error.expected}: ")
        shown = filter_.replace("\n", " ").replace("\ud800", "?")
        assert shown[column - 1 :].startswith(after.removesuffix("…"))
        assert shown[: column - 1].endswith(
            before[before.index(error.expected) + len(error.expected) + 2 :].lstrip("…")
        )


def test_limits_are_reached_not_passed() -> None:
    assert parsed_filter("(" * DEEPEST + "a == 1" + ")" * DEEPEST)
    assert parsed_filter(" or ".join(["a == 1"] * MOST_COMPARISONS))
    assert parsed_filter("a in [" + "1," * ((MOST_CHARACTERS - 8) // 2) + "1]")
    assert parsed_filter("a == 1" + " " * (MOST_CHARACTERS - 6))


# Against plain Python: metadata and filters at random, each filter with what it means as a function.

_texts = st.sampled_from(["", "a", "1", "Ä🦊", 'q"\\', "n\nl", "n", "n\0l"])
_numbers = st.sampled_from([0, 1, -2, 2**53, -(2**70), 10**40, 1.0, 0.5, 88.6764444228616])
_scalars = st.one_of(_texts, _numbers, st.sampled_from([None, True, False]))
_values = st.one_of(
    _scalars,
    _scalars,
    st.lists(_scalars, max_size=3),
    st.dictionaries(st.sampled_from(["x", "odd key"]), _scalars, max_size=2),
    st.just([[1], {"x": 1}]),
)
_metas = st.fixed_dictionaries({"a": _values}, optional=dict.fromkeys(["b", "a.x", 'q"', "path", "title"], _values))
_fields = st.sampled_from(
    [("a",)] * 6 + [("b",), ("a", "x"), ("a", "odd key"), ('q"',), ("a.x",), ("path",), ("root",)]
)
Meaning = Any
_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def _look(document: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def _same(one: Any, other: Any) -> bool:
    return _kind(one) == _kind(other) and one == other and not isinstance(one, list | dict)


def _spelled(value: Any) -> str:
    if isinstance(value, str):
        escaped = "".join({"\\": "\\\\", '"': '\\"', "\n": "\\n"}.get(one, one) for one in value)
        return f'"{escaped}"'
    return to_json(value)


def _field(keys: tuple[str, ...]) -> str:
    return ".".join(key if key.isidentifier() else f"`{key}`" for key in keys)


def _equal(keys: tuple[str, ...], value: Any) -> tuple[str, Meaning]:
    return f"{_field(keys)} == {_spelled(value)}", lambda document: _same(_look(document, keys), value)


def _unequal(keys: tuple[str, ...], value: Any) -> tuple[str, Meaning]:
    return f"{_field(keys)} != {_spelled(value)}", lambda document: not _same(_look(document, keys), value)


def _ordered(keys: tuple[str, ...], order: str, value: Any) -> tuple[str, Meaning]:
    def holds(document: Mapping[str, Any]) -> bool:
        found = _look(document, keys)
        return _kind(found) == _kind(value) and _ORDERS[order](found, value)

    return f"{_field(keys)} {order} {_spelled(value)}", holds


def _in(keys: tuple[str, ...], values: list[Any], word: str) -> tuple[str, Meaning]:
    text = f"{_field(keys)} {word} [{', '.join(map(_spelled, values))}]"
    return text, lambda document: any(_same(_look(document, keys), one) for one in values) == (word == "in")


def _member(keys: tuple[str, ...], value: Any, word: str) -> tuple[str, Meaning]:
    def holds(document: Mapping[str, Any]) -> bool:
        found = _look(document, keys)
        return (isinstance(found, list) and any(_same(one, value) for one in found)) == (word == "in")

    return f"{_spelled(value)} {word} {_field(keys)}", holds


def _contains(keys: tuple[str, ...], text: str) -> tuple[str, Meaning]:
    def holds(document: Mapping[str, Any]) -> bool:
        found = _look(document, keys)
        return isinstance(found, str) and text in found

    return f"{_field(keys)} contains {_spelled(text)}", holds


def _joined(parts: list[tuple[str, Meaning]], word: str) -> tuple[str, Meaning]:
    text = f" {word} ".join(f"({part})" for part, _ in parts)
    decide = all if word == "and" else any
    return text, lambda document: decide(holds(document) for _, holds in parts)


_words = st.sampled_from(["in", "not in"])
_orderable = st.one_of(_numbers, _texts)
_filters = st.recursive(
    st.one_of(
        st.builds(_equal, _fields, _scalars),
        st.builds(_unequal, _fields, _scalars),
        st.builds(_ordered, _fields, st.sampled_from(list(_ORDERS)), _orderable),
        st.builds(_in, _fields, st.lists(_scalars, max_size=4), _words),
        st.builds(_member, _fields, _scalars, _words),
        st.builds(_contains, _fields, _texts),
    ),
    lambda inner: st.one_of(
        st.builds(_joined, st.lists(inner, min_size=1, max_size=3), st.sampled_from(["and", "or"])),
        inner.map(lambda part: (f"not ({part[0]})", lambda document: not part[1](document))),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random") / "store"


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])  # to shrink takes minutes
@given(metas=st.lists(_metas, min_size=1, max_size=12), filters=st.lists(_filters, min_size=60, max_size=60))
@example(metas=[{"a": "n\0l"}, {"a": ["n\0l"]}], filters=[_ordered(("a",), ">", "n"), _member(("a",), "n\0l", "in")])
def test_filters_find_what_plain_python_finds(
    store: Path, metas: list[dict[str, Any]], filters: list[tuple[str, Meaning]]
) -> None:
    places = [{"root": "/docs", "path": f"{n}.txt", "title": f"title {n}"} for n in range(len(metas))]
    with fill(store, metas) as snapshot:
        for text, holds in filters:
            expected = {place["path"] for place, meta in zip(places, metas, strict=True) if holds({**place, **meta})}
            made = parsed_filter(text)
            assert {one.path for one in made.documents(snapshot)} == expected, text
            in_sql = where(made.part)
            found = {one.path for one in snapshot.documents_where(in_sql)}
            assert found == expected if in_sql.is_exact else found >= expected, text
