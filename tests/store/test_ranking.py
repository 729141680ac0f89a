"""Dense and word search are exact, and answer over many segments as over one."""

from __future__ import annotations

import functools
import math
import sqlite3

import numpy as np
import pytest

from deformer_qa.store import Writer, open_snapshot
from deformer_qa.store.segments.words import spelled

QUERIES = ("the fox at night", "dogs barking loudly", "river", "elan naive facade", "日本の川 🦊", "absent", "", '"*:')


@functools.cache
def words_of(text: str) -> list[str]:
    """The words of a text in order, as FTS5 cuts what ``spelled`` makes of it."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(x, tokenize='porter unicode61 remove_diacritics 2')")
    connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, instance)")
    connection.execute("INSERT INTO t(rowid, x) VALUES (1, ?)", (spelled(text),))
    return [term for (term,) in connection.execute("SELECT term FROM v ORDER BY offset")]


def reference_bm25(snapshot, query: str, n: int, frequent_share: float = 1.1, among=None) -> list[tuple[int, float]]:
    """BM25 in plain Python over what the snapshot says it holds."""
    bags = {}
    for info in snapshot.iter_documents():
        passages = snapshot.document_passages(info.id)
        texts = snapshot.passage_texts([passage.id for passage in passages])
        for passage, text in zip(passages, texts, strict=True):
            bags[passage.id] = words_of(info.title) + words_of(passage.heading) + words_of(text)
    mean = sum(map(len, bags.values())) / len(bags)
    words = {word for word in set(words_of(query)) if any(word in bag for bag in bags.values())}
    frequency = {word: sum(word in bag for bag in bags.values()) for word in words}
    rare = {word for word in words if frequency[word] <= frequent_share * len(bags)}
    scores: dict[int, float] = {}
    for id_, bag in bags.items():
        for word in sorted(rare or words):
            count = bag.count(word)
            if count and (among is None or id_ in among):
                idf = math.log(1 + (len(bags) - frequency[word] + 0.5) / (frequency[word] + 0.5))
                gain = idf * count * 2.2 / (count + 1.2 * (1 - 0.75 + 0.75 * len(bag) / mean))
                scores[id_] = scores.get(id_, 0.0) + gain
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:n]


def assert_bm25_is_the_reference(snapshot, queries=QUERIES, **options):
    for query in queries:
        expected = reference_bm25(snapshot, query, 5, **options)
        hits = snapshot.bm25(query, 5, among=options.get("among"))
        assert [hit.passage_id for hit in hits] == [id_ for id_, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], rel=1e-12)


def reference_nearest(snapshot, query: np.ndarray, n: int, among=None) -> list[tuple[int, float]]:
    scores = {}
    for info in snapshot.iter_documents():
        passages = snapshot.document_passages(info.id)
        for passage, vector in zip(passages, snapshot.vectors([p.key for p in passages]), strict=True):
            if among is None or passage.id in among:
                scores[passage.id] = float(vector.astype(np.float64) @ query.astype(np.float64))
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:n]


def assert_nearest_is_the_reference(snapshot, among=None):
    rng = np.random.default_rng(7)
    for n in (1, 3, 1000):
        query = rng.standard_normal(8).astype(np.float32)
        expected = reference_nearest(snapshot, query, n, among)
        hits = snapshot.nearest(query, n, among)
        assert [hit.passage_id for hit in hits] == [id_ for id_, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], rel=1e-12)


def test_bm25_is_that_of_the_textbook(store, tiny, animals):
    tiny.fill(store, animals)
    with open_snapshot(store) as snapshot:
        assert_bm25_is_the_reference(snapshot)


def test_bm25_counts_title_and_heading(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "a.txt", "Plain words. More words", title="Reynard the fox", heading="On cunning")
        tiny.put(writer, "b.txt", "The fox itself")
        writer.commit()
        assert writer.snapshot is not None
        assert [hit.passage_id for hit in writer.snapshot.bm25("cunning", 9)] == [1, 2]
        assert_bm25_is_the_reference(writer.snapshot, ("reynard", "fox cunning", "words"))


def test_bm25_forgets_what_is_deleted_edited_and_moved(store, tiny, animals):
    fox, dog, owl, *_ = tiny.fill(store, animals)
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(fox)
        tiny.put(writer, "dog.txt", "Dogs bark loudly. A river runs. The dog runs", id_=dog)
        writer.move_document(owl, root=tiny.root, path="o.txt", title="Athena's river owl")
        writer.commit()
        assert writer.snapshot is not None
        assert_bm25_is_the_reference(writer.snapshot, (*QUERIES, "athena", "run"))
        writer.merge()
        assert_bm25_is_the_reference(writer.snapshot, (*QUERIES, "athena", "run"))


def test_bm25_among_some_passages_keeps_the_statistics_of_all(filled):
    with open_snapshot(filled) as snapshot:
        assert_bm25_is_the_reference(snapshot, among={2, 3, 4, 99, -1})
        assert snapshot.bm25("river", 5, among=[]) == []


def test_very_frequent_words_are_dropped_from_large_stores_unless_nothing_else_is_left(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        for number in range(12):
            sentences = [f"Common w{number}x{place}" + (" half" if place % 2 else "") for place in range(100)]
            tiny.put(writer, f"{number}.txt", ". ".join([*sentences, "Common rare"]), title="t")
            if number == 5:
                writer.commit()
        writer.commit()
        snapshot = writer.snapshot
        assert snapshot is not None
        assert snapshot.n_passages == 1212
        for query in ("common rare", "common half", "half rare w3x4", "common nowhere", "nowhere"):
            expected = reference_bm25(snapshot, query, 7, frequent_share=1 / 3)
            hits = snapshot.bm25(query, 7)
            assert [hit.passage_id for hit in hits] == [id_ for id_, _ in expected]
        writer.remove_document(1)
        writer.commit()
        assert writer.snapshot is not None
        assert len(writer.snapshot.bm25("common rare", 2000)) == 11


def test_every_word_leaves_the_passages_that_hold_all_of_them(store, tiny, animals):
    tiny.fill(store, animals)
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "late.txt", "A river at night. The dog of the night", title="Dogs")
        writer.remove_document(1)
        writer.commit()
        snapshot = writer.snapshot
        assert snapshot is not None
        for query in ("dogs river", "night", "the night dog", "owl absent", "the the"):
            every = {hit.passage_id: hit.score for hit in snapshot.bm25(query, 99)}
            bags = {}
            for info in snapshot.iter_documents():
                for passage in snapshot.document_passages(info.id):
                    (text,) = snapshot.passage_texts([passage.id])
                    bags[passage.id] = {*words_of(info.title), *words_of(passage.heading), *words_of(text)}
            holding = {id_ for id_, bag in bags.items() if {*words_of(query)} <= bag}
            hits = snapshot.bm25(query, 99, every_word=True)
            assert {hit.passage_id for hit in hits} == holding
            assert [hit.score for hit in hits] == sorted((every[id_] for id_ in holding), reverse=True)
            among = sorted(holding)[:1]
            assert [hit.passage_id for hit in snapshot.bm25(query, 99, among, every_word=True)] == among
            assert snapshot.bm25(query, 1, every_word=True) == hits[:1]


def test_nearest_is_exact(filled):
    with open_snapshot(filled) as snapshot:
        assert_nearest_is_the_reference(snapshot)


def test_nearest_among_is_exact_and_passes_over_unknown_ids(filled):
    with open_snapshot(filled) as snapshot:
        assert_nearest_is_the_reference(snapshot, among={1, 2, 5, 6, 999, -3})
        assert_nearest_is_the_reference(snapshot, among=[])


def test_passages_of_the_same_text_tie_and_come_in_order_of_id(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        for number in range(40):
            tiny.put(writer, f"{number}.txt", f"Dogs bark loudly. Own words {number}")
        writer.commit()
        query = tiny.vector("Dogs bark loudly")
        assert writer.snapshot is not None
        hits = writer.snapshot.nearest(query, 25)
        assert [hit.passage_id for hit in hits] == [2 * number + 1 for number in range(25)]
        assert len({hit.score for hit in hits}) == 1
        assert [hit.passage_id for hit in writer.snapshot.nearest(query, 2, among={7, 5, 3})] == [3, 5]


def test_rows_that_tie_beyond_the_cut_come_in_order_of_id(store, tiny):
    """Two hundred equal vectors: faiss may propose any of them."""
    with Writer.open(store, tiny.encoder) as writer:
        texts = [f"Text number {number}" for number in range(200)]
        for draft_text in texts:
            writer.add_row(tiny.drafts(draft_text)[0].key, np.ones(8), tiny.states(draft_text))
            writer.put_document(
                tiny.record(writer.new_document_id(), f"{draft_text}.txt", draft_text), tiny.drafts(draft_text)
            )
        writer.commit()
        assert writer.snapshot is not None
        hits = writer.snapshot.nearest(np.ones(8, np.float32), 5)
        assert [(hit.passage_id, hit.score) for hit in hits] == [(number, 8.0) for number in range(1, 6)]


@pytest.mark.parametrize("query", [np.ones(7), np.ones((1, 8)), np.full(8, np.nan)])
def test_a_query_of_another_shape_is_refused(filled, query):
    with open_snapshot(filled) as snapshot, pytest.raises(ValueError, match="expected 8 finite numbers"):
        snapshot.nearest(query, 3)


def test_asking_for_none_gives_none(filled):
    with open_snapshot(filled) as snapshot:
        assert snapshot.nearest(np.ones(8, np.float32), 0) == []
        assert snapshot.bm25("river", 0) == []
