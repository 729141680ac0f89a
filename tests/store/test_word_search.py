"""BM25 leaves postings unread and says the same; what is damaged in them costs hits at most."""

from __future__ import annotations

import numpy as np
import pytest

from deformer_qa.store import Writer, open_snapshot, verify
from deformer_qa.store.segments.catalogue_writer import posting_arrays, postings_of_texts

N_WORDS = 60


@pytest.fixture(params=range(3))
def shelves(request, store, tiny):
    """Three catalogues of documents with words in Zipf's proportions, some of the documents removed since."""
    chance = np.random.default_rng(request.param)
    shares = 1 / np.arange(1, N_WORDS + 1)
    with Writer.open(store, tiny.encoder) as writer:
        ids = []
        for number in range(60):
            most = 4 if number < 10 else 50  # the first catalogue's passages are shorter than the others'
            n_sentences = int(chance.integers(1, 6))
            sentences = [
                " ".join(
                    f"w{word}" for word in chance.choice(N_WORDS, chance.integers(1, most), p=shares / shares.sum())
                )
                for _ in range(n_sentences)
            ]
            ids.append(tiny.put(writer, f"{number}.txt", ". ".join(sentences), title=f"w{number % 7}"))
            if number in (9, 39):
                writer.commit()
        writer.commit()
        for id_ in chance.choice(ids, 15, replace=False).tolist():
            writer.remove_document(id_)
        writer.commit()
    return store


def queries(n=30):
    chance = np.random.default_rng(11)
    return [" ".join(f"w{word}" for word in chance.integers(0, N_WORDS + 5, chance.integers(1, 9))) for _ in range(n)]


def test_what_is_left_unread_changes_no_answer_to_the_last_bit(shelves):
    with open_snapshot(shelves) as snapshot:
        assert len(snapshot.catalogues) == 3
        for query in queries():
            for n in (1, 3, 20, 1000):
                assert snapshot.bm25(query, n) == snapshot.bm25(query, n, exact=True)


def test_among_some_passages_what_is_left_unread_changes_no_answer(shelves):
    chance = np.random.default_rng(2)
    with open_snapshot(shelves) as snapshot:
        every = snapshot.passage_ids()
        for query in queries(15):
            among = {int(id_) for id_ in chance.choice(every, chance.integers(0, len(every)), replace=False)} | {-1}
            whole = [hit for hit in snapshot.bm25(query, 1000, exact=True) if hit.passage_id in among]
            for n in (1, 4, 1000):
                assert snapshot.bm25(query, n, among | {10**9}) == whole[:n]


def test_no_passage_gets_more_for_a_word_than_its_bound(shelves):
    from deformer_qa.store.segments import bm25

    with open_snapshot(shelves) as snapshot:
        mean = sum(c.entry.n_live_terms for c in snapshot.catalogues) / snapshot.n_passages
        for word in range(N_WORDS):
            term = bm25._term(snapshot.catalogues, b"w%d" % word, snapshot.n_passages, mean)
            for number, catalogue in enumerate(snapshot.catalogues):
                if term.numbers[number] is not None:
                    _, gains = bm25._all_gains(catalogue, number, term, catalogue.live_passages, mean)
                    assert gains.max(initial=0) <= term.bounds[number]


def test_long_postings_are_left_unread(shelves, monkeypatch):
    from deformer_qa.store.segments import bm25

    read = []
    all_gains = bm25._all_gains
    monkeypatch.setattr(bm25, "_all_gains", lambda *given: read.append(given[2].frequency) or all_gains(*given))
    with open_snapshot(shelves) as snapshot:
        snapshot.bm25("w0 w1 w50 w55", 1, exact=True)
        n_exact = sum(read)
        read.clear()
        snapshot.bm25("w0 w1 w50 w55", 1)
        assert sum(read) < n_exact / 2


def test_merged_postings_are_those_of_the_live_texts(shelves, tiny):
    with Writer.open(shelves, tiny.encoder) as writer:
        writer.merge()
        assert writer.snapshot is not None
        (catalogue,) = writer.snapshot.catalogues
        titles = {info.id: info.title for info in writer.snapshot.iter_documents()}
        ids = writer.snapshot.passage_ids().tolist()
        texts = writer.snapshot.passage_texts(ids)
        records = writer.snapshot.passages(ids)
        rows = [(p.id, titles[p.document_id], p.heading, text) for p, text in zip(records, texts, strict=True)]
        expected = posting_arrays([*postings_of_texts(rows)], catalogue.files.passage_ids)
        for file, array in expected.items():
            found = np.fromfile(shelves / "seg" / catalogue.entry.segment / file, array.dtype)
            np.testing.assert_array_equal(found, array.ravel())


def test_texts_cut_into_words_in_parts_give_the_same_postings(monkeypatch):
    texts = [(id_, "A title", f"head {id_}", f"same words and word{id_ % 3}, n° {id_}") for id_ in range(3, 40)]
    ids = np.arange(3, 40, dtype=np.uint64)
    whole = posting_arrays([*postings_of_texts(texts)], ids)
    monkeypatch.setattr("deformer_qa.store.segments.catalogue_writer.PASSAGES_AT_ONCE", 7)
    parts = [*postings_of_texts(reversed(texts))]
    assert len(parts) == 6
    for file, array in posting_arrays(parts, ids).items():
        np.testing.assert_array_equal(array, whole[file])


def test_passages_without_a_word_and_words_longer_than_fts5_takes_are_kept(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "a.txt", "!!! ???", title="--")
        tiny.put(writer, "b.txt", "é" * 40_000, title="--")
        writer.commit()
        assert writer.snapshot is not None
        assert [hit.passage_id for hit in writer.snapshot.bm25("é" * 40_000, 5)] == [2]
        assert writer.snapshot.bm25("!!! --", 5) == []
    assert verify(store) == []


@pytest.mark.parametrize("file", ["words", "word_offsets", "word_bounds", "posting_places", "posting_counts"])
@pytest.mark.parametrize("value", [0x00, 0x7F, 0xFF])
def test_damaged_postings_lead_to_no_passage_that_is_not_there(filled, tiny, file, value):
    with open_snapshot(filled) as snapshot:
        known = set(snapshot.passage_ids().tolist())
        damaged = [filled / "seg" / entry.segment / file for entry in snapshot.manifest.catalogues]
    for path in damaged:
        whole = path.read_bytes()
        for start in range(0, len(whole), max(1, len(whole) // 9)):
            content = bytearray(whole)
            content[start : start + 8] = bytes([value]) * len(content[start : start + 8])
            path.write_bytes(content)
            with open_snapshot(filled) as snapshot:
                for query in ("the fox at night", "dogs barking loudly", "river", "elan naive facade"):
                    assert {hit.passage_id for hit in snapshot.bm25(query, 100)} <= known
                    assert {hit.passage_id for hit in snapshot.bm25(query, 1, known)} <= known
        path.write_bytes(whole)
    assert verify(filled) == []
