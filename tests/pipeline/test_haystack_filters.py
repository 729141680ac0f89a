"""Filters: what they find is what Haystack's own function finds, and SQL finds it, however many documents there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from haystack import Document
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter
from hypothesis import given, settings
from hypothesis import strategies as st

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.haystack.filters import PlaceField, condition_of
from deformer_qa.pipeline.readers import shared_reader
from deformer_qa.pipeline.retrieve import Method
from deformer_qa.store.conditions import where
from haystack_integrations.components.retrievers.deformer import DeformerRetriever
from haystack_integrations.document_stores.deformer import DeformerDocumentStore


@pytest.fixture
def document_store(tmp_path: Path, tiny_reader: Path) -> DeformerDocumentStore:
    return DeformerDocumentStore(tmp_path / "store", reader=tiny_reader)


@pytest.mark.parametrize("n", [300, 1_500, 40_000])
def test_filters_may_be_long(document_store: DeformerDocumentStore, n: int) -> None:
    documents = [Document(id=f"{one}", content="the river", meta={"n": one, "s": f"s{one}"}) for one in (0, 7, n + 5)]
    document_store.write_documents(documents)
    for name, values in (("meta.n", list(range(n))), ("meta.s", [f"s{one}" for one in range(n)])):
        found = document_store.filter_documents({"field": name, "operator": "in", "value": values})
        assert [one.id for one in found] == ["0", "7"]
    parts = [{"field": "meta.n", "operator": "==", "value": one} for one in range(min(n, 1_500))]
    assert len(document_store.filter_documents({"operator": "OR", "conditions": parts})) == 2


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "meta.n", "operator": ">", "value": "soon"},
        {"field": "meta.n", "operator": "<", "value": [1]},
        {"field": "meta.n", "operator": "in", "value": "abc"},
        {"field": "meta.n", "operator": "=", "value": 1},
        {"operator": "XOR", "conditions": []},
        {"operator": "AND", "conditions": {}},
        {"field": "meta.n", "value": 1},
        {"operator": "AND", "conditions": ["x"]},
    ],
)
def test_a_malformed_filter_is_refused_even_by_an_empty_store(
    document_store: DeformerDocumentStore, filters: dict[str, Any]
) -> None:
    for call in (
        document_store.filter_documents,
        document_store.count_documents_by_filter,
        document_store.delete_by_filter,
    ):
        with pytest.raises(FilterError):
            call(filters)


_dates = st.sampled_from(["2020-01-02", "2020-01-02T00:00:00", "2020-01-02T01:00:00+01:00", "2021-05-05 10:00:00"])
_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**53, 2**63, -(2**70), 10**400, 1.0, 0.5, -2.0, 1e300, 88.6764444228616]),
    st.sampled_from(["", "a", "1", "[1]", "2020", "true", "Ä", 'q"\\', "n", "n\0l", "2020-13-77"]),
    _dates,
    st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 2), max_size=2),
)
_metas = st.dictionaries(st.sampled_from(["a", "b", "odd.key", 'q"uote', "path"]), _values, max_size=4)
_fields = st.sampled_from(
    ["meta.a", "a", "meta.b", "meta.a.x", "meta.odd.key", 'meta.q"uote', "meta.path", "id", "id", "content", "meta"]
)
_comparisons = st.one_of(
    st.fixed_dictionaries({"field": _fields, "operator": st.sampled_from(["==", "!="]), "value": _values}),
    st.fixed_dictionaries(
        {"field": _fields, "operator": st.sampled_from(["in", "not in"]), "value": st.lists(_values, max_size=3)}
    ),
    st.fixed_dictionaries(
        {
            "field": _fields,
            "operator": st.sampled_from([">", ">=", "<", "<="]),
            "value": st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 2**53]), _dates, st.none()),
        }
    ),
)
_filters = st.recursive(
    _comparisons,
    lambda inner: st.fixed_dictionaries(
        {"operator": st.sampled_from(["AND", "OR", "NOT"]), "conditions": st.lists(inner, max_size=3)}
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def filtered_store(tmp_path_factory: pytest.TempPathFactory, tiny_reader: Path) -> DeformerDocumentStore:
    return DeformerDocumentStore(tmp_path_factory.mktemp("filtered") / "store", reader=str(tiny_reader))


@settings(max_examples=25, deadline=None)
@given(
    metas=st.lists(_metas, min_size=1, max_size=12),
    filters=st.lists(_filters, min_size=20, max_size=20),
    strict=st.booleans(),
)
def test_filters_find_what_haystack_finds(
    filtered_store: DeformerDocumentStore, metas: list[dict[str, Any]], filters: list[dict[str, Any]], strict: bool
) -> None:
    filtered_store.strict_datetime_comparison = strict
    filtered_store.delete_all_documents()
    documents = [Document(id=f"{n}", content="the river", meta=meta) for n, meta in enumerate(metas)]
    filtered_store.write_documents(documents)
    for one in filters:
        try:
            expected = [
                document.id
                for document in documents
                if document_matches_filter(one, document, strict_datetime_comparison=strict)
            ]
        except (FilterError, TypeError):  # values that have no order: found out at the first such document
            continue
        assert [document.id for document in filtered_store.filter_documents(one)] == expected, one


def test_dates_with_and_without_a_time_zone_match_as_the_store_is_told(document_store: DeformerDocumentStore) -> None:
    document_store.write_documents([Document(id="aware", content="the river", meta={"at": "2026-01-01T12:00Z"})])
    strict = DeformerDocumentStore(document_store.path, document_store.reader, strict_datetime_comparison=True)
    for store, n_found in ((document_store, 1), (strict, 0), (DeformerDocumentStore.from_dict(strict.to_dict()), 0)):
        for operator in ("==", ">="):
            filters = {"field": "meta.at", "operator": operator, "value": "2026-01-01T12:00:00"}
            assert store.count_documents_by_filter(filters) == n_found
            assert store.count_documents_by_filter({**filters, "value": "2026-01-01T12:00:00+00:00"}) == 1


_places = st.sampled_from(["river.txt", "a.txt", "river", "", "own", "1", None, 1, "2020-01-02"])
_place_filters = st.one_of(
    st.fixed_dictionaries(
        {
            "field": st.sampled_from([f"{before}{name}" for before in ("", "meta.") for name in get_args(PlaceField)]),
            "operator": st.sampled_from(["==", "!="]),
            "value": _places,
        }
    ),
    st.fixed_dictionaries(
        {
            "field": st.sampled_from([f"meta.{name}" for name in get_args(PlaceField)]),
            "operator": st.sampled_from(["in", "not in"]),
            "value": st.lists(_places, max_size=3),
        }
    ),
)


@pytest.fixture(scope="module")
def mixed_store(tmp_path_factory: pytest.TempPathFactory, tiny_reader: Path) -> DeformerDocumentStore:
    """Files of a folder, with and without metadata of their own, beside documents that were written."""
    folder = tmp_path_factory.mktemp("mixed")
    for name in ("river", "a", "1", "2020-01-02"):
        (folder / f"{name}.txt").write_text("the river was in the city")
    store = DeformerDocumentStore(folder.with_name("mixed store"), reader=tiny_reader)
    sync(Path(store.path), shared_reader(str(tiny_reader)).encoder, [folder])
    for path, title in (("a.txt", None), ("1.txt", "own")):
        store.update_by_filter({"field": "meta.path", "operator": "==", "value": path}, {"title": title})
    metas = [{}, {"title": "river"}, {"path": "river.txt", "root": "own"}, {"title": 1}, {"path": None}, {"title": ""}]
    store.write_documents([Document(id=f"{n}", content="the city", meta=meta) for n, meta in enumerate(metas)])
    return store


@settings(max_examples=200, deadline=None)
@given(filters=_place_filters)
def test_filters_by_place_find_what_haystack_finds(mixed_store: DeformerDocumentStore, filters: dict[str, Any]) -> None:
    expected = [one for one in mixed_store.filter_documents() if document_matches_filter(filters, one)]
    assert mixed_store.filter_documents(filters) == expected


@pytest.mark.parametrize("name", get_args(PlaceField))
def test_sql_alone_decides_on_the_texts_of_a_place(name: str) -> None:
    for operator, value in (("==", "river"), ("!=", "river"), ("in", ["river", "a"]), ("not in", [])):
        assert where(condition_of({"field": f"meta.{name}", "operator": operator, "value": value})).is_exact


def test_a_filter_that_five_of_fifty_thousand_passages_meet_finds_the_five(
    document_store: DeformerDocumentStore,
) -> None:
    documents = [
        Document(id=f"{n}", content=f"the {n % 7}", meta={"n": n, "rare": n % 10_000 == 0}) for n in range(50_000)
    ]
    document_store.write_documents(documents)
    snapshot = document_store.snapshot()
    assert snapshot is not None
    assert snapshot.n_passages == 50_000

    def found(filters: dict[str, Any], mode: Method) -> Sequence[Document]:
        retriever = DeformerRetriever(document_store, filters=filters, mode=mode, top_k=20)
        return retriever.run("0 1 2 4 5")["documents"]

    five = documents[::10_000]
    rare = {"field": "meta.rare", "operator": "==", "value": True}
    last = {"field": "meta.n", "operator": ">=", "value": 49_995}
    assert document_store.filter_documents(rare) == five
    assert document_store.filter_documents(last) == documents[-5:]
    for mode in get_args(Method):
        assert {one.id for one in found(rare, mode)} == {one.id for one in five}
    assert {one.id for one in found(last, "dense")} == {one.id for one in documents[-5:]}
