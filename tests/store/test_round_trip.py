"""What goes into a store comes out of it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from deformer_qa.store import (
    DocumentInfo,
    DocumentNotFound,
    InvalidRecord,
    MissingRows,
    PassageDraft,
    PassageNotFound,
    PassageRecord,
    StoreError,
    StoreMissing,
    Writer,
    block_key,
    open_snapshot,
    verify,
)

TEXT = "Première phrase: 🦊. Second sentence here. Third one\x00with a nul"


def test_a_document_comes_back_as_it_was_put(store, tiny):
    record = tiny.record(
        1,
        "deep/fox.txt",
        TEXT,
        title="Le renard – 🦊",
        outline=((0, "Un"), (20, "Deux")),
        meta={"page": 3, "tags": ["a", "ß"], "none": None, "nested": {"x": 1.5}},
        source_state="99:123",
    )
    with Writer.open(store, tiny.encoder) as writer:
        for start, end in tiny.sentences(TEXT):
            writer.add_row(block_key(TEXT[start:end]), tiny.vector(TEXT[start:end]), tiny.states(TEXT[start:end]))
        assert writer.new_document_id() == 1
        writer.put_document(record, tiny.drafts(TEXT, heading="Überschrift"))
        writer.set_roots(["/corpus", "/elsewhere"])
        assert writer.commit() == 1
    with open_snapshot(store, encoder_id="tiny-encoder-1") as snapshot:
        keys = [block_key(TEXT[start:end]) for start, end in tiny.sentences(TEXT)]
        assert snapshot.document(1) == record
        assert list(snapshot.iter_documents()) == [
            DocumentInfo(
                id=1,
                root="/corpus",
                path="deep/fox.txt",
                title="Le renard – 🦊",
                content_hash=record.content_hash,
                meta=record.meta,
                source_state="99:123",
                n_passages=3,
            )
        ]
        assert snapshot.document_passages(1) == [
            PassageRecord(number + 1, 1, number, start, end, "Überschrift", keys[number])
            for number, (start, end) in enumerate(tiny.sentences(TEXT))
        ]
        assert snapshot.passage_texts([3, 1, 2]) == [
            "Third one\x00with a nul",
            "Première phrase: 🦊",
            "Second sentence here",
        ]
        assert (snapshot.generation, snapshot.n_documents, snapshot.n_passages) == (1, 1, 3)
        assert (snapshot.encoder, snapshot.encoding, snapshot.notice) == (tiny.encoder, "int8", None)
        assert snapshot.roots == ("/corpus", "/elsewhere")
    assert verify(store) == []


@pytest.mark.parametrize(("encoding", "tolerance"), [("int8", 0.02), ("fp16", 0.002)])
def test_states_and_vectors_come_back_within_the_encodings_tolerance(store, tiny, animals, encoding, tolerance):
    tiny.fill(store, animals, encoding)
    with open_snapshot(store) as snapshot:
        passages = [p for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)]
        texts = snapshot.passage_texts([passage.id for passage in passages])
        states = snapshot.states([passage.key for passage in passages])
        vectors = snapshot.vectors([passage.key for passage in passages])
        assert snapshot.encoding == encoding
        for text, decoded, vector in zip(texts, states, vectors, strict=True):
            assert decoded.dtype == np.float32
            np.testing.assert_allclose(decoded, tiny.states(text), atol=tolerance)
            np.testing.assert_array_equal(vector, tiny.vector(text))


def test_a_store_may_lie_in_a_folder_of_any_name(tmp_path, tiny, animals):
    odd = tmp_path / "a?b#c %20 é'\";" / ".qa"
    for path, text in animals.items():
        tiny.fill(odd, {path: text})
    tiny.fill(tmp_path / "plain", animals)
    with Writer.open(odd, tiny.encoder) as writer:
        assert writer.merge()
    assert tiny.dump_of(odd) == tiny.dump_of(tmp_path / "plain")
    assert verify(odd) == []


def test_answers_come_in_the_order_asked_for_and_may_repeat(filled, tiny):
    with open_snapshot(filled) as snapshot:
        first, second = snapshot.document_passages(1)[:2]
        assert snapshot.passages([second.id, first.id, second.id]) == [second, first, second]
        assert [info.id for info in snapshot.document_infos([5, 1, 5])] == [5, 1, 5]
        one, other, again = snapshot.states([second.key, first.key, second.key])
        np.testing.assert_array_equal(one, again)
        assert one.shape != other.shape


def test_documents_of_a_root_are_found_by_path(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        for root, path in (("/a", "x.txt"), ("/a", "y/z.txt"), ("/b", "x.txt")):
            tiny.put(writer, path, f"Text of {root}", root=root)
        writer.commit()
        assert writer.snapshot is not None
        found = writer.snapshot.find_documents("/a")
        assert {path: info.id for path, info in found.items()} == {"x.txt": 1, "y/z.txt": 2}
        assert writer.snapshot.find_documents("/nowhere") == {}


def test_a_removed_document_is_gone_with_its_passages(store, tiny, animals):
    fox, *_ = tiny.fill(store, animals)
    with open_snapshot(store) as before:
        passage_ids = [passage.id for passage in before.document_passages(fox)]
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(fox)
        writer.commit()
    with open_snapshot(store) as snapshot:
        assert (snapshot.n_documents, snapshot.n_passages) == (4, 10)
        with pytest.raises(DocumentNotFound):
            snapshot.document(fox)
        with pytest.raises(DocumentNotFound):
            snapshot.document_passages(fox)
        with pytest.raises(PassageNotFound, match=f"passage {passage_ids[1]}: not in this generation"):
            snapshot.passages([passage_ids[1]])
        assert not set(passage_ids) & {hit.passage_id for hit in snapshot.bm25("fox river", 100)}
        assert not set(passage_ids) & {hit.passage_id for hit in snapshot.nearest(np.ones(8, np.float32), 100)}


def test_an_open_snapshot_keeps_answering_from_its_generation(filled, tiny):
    with open_snapshot(filled) as snapshot:
        before = tiny.dump(snapshot)
        with Writer.open(filled, tiny.encoder) as writer:
            for number in range(3):
                writer.remove_document([1, 2, 3][number])
                writer.commit()
            writer.merge()
        assert tiny.dump(snapshot) == before
        assert snapshot.generation == 2


def test_a_commit_of_nothing_commits_nothing(filled, tiny):
    files = tiny.files(filled)
    with Writer.open(filled, tiny.encoder) as writer:
        assert writer.commit() is None
        writer.set_roots([tiny.root])
        assert writer.commit() is None
        assert writer.snapshot is not None
        assert writer.snapshot.generation == 2
    assert tiny.files(filled) == files


def test_a_new_store_has_no_generation_until_the_first_commit(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        assert writer.snapshot is None
        assert writer.commit() is None
        assert not writer.merge()
    with pytest.raises(StoreMissing, match="holds no committed index"):
        open_snapshot(store)


def test_uncommitted_changes_are_forgotten(filled, tiny):
    before = tiny.dump_of(filled)
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Never committed")
        writer.remove_document(1)
    assert tiny.dump_of(filled) == before


def test_a_document_without_passages_is_kept(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "empty.txt", "")
        writer.commit()
    with open_snapshot(store) as snapshot:
        assert (snapshot.n_documents, snapshot.n_passages) == (1, 0)
        assert snapshot.document(1).text == ""
        assert snapshot.document_passages(1) == []
        assert snapshot.nearest(np.ones(8, np.float32), 5) == []
        assert snapshot.bm25("anything", 5) == []
    assert verify(store) == []


def test_the_last_document_can_be_removed(store, tiny):
    (only,) = tiny.fill(store, {"a.txt": "Only sentence"})
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(only)
        writer.commit()
        writer.merge()
        assert writer.snapshot is not None
        assert writer.snapshot.size_report()["n_segments"] == 0
        assert writer.new_document_id() == only + 1
    with open_snapshot(store) as snapshot:
        assert (snapshot.n_documents, snapshot.n_passages) == (0, 0)
        assert snapshot.nearest(np.ones(8, np.float32), 5) == []
        assert snapshot.bm25("only", 5) == []


def test_passages_without_rows_are_refused_and_nothing_is_committed(filled, tiny):
    before = tiny.dump_of(filled)
    with Writer.open(filled, tiny.encoder) as writer:
        id_ = writer.new_document_id()
        text = "This was never encoded"
        writer.put_document(tiny.record(id_, "x.txt", text), tiny.drafts(text))
        with pytest.raises(MissingRows, match="1 passages have no vector and states"):
            writer.commit()
        assert tiny.dump_of(filled) == before
        writer.add_row(block_key(text), tiny.vector(text), tiny.states(text))
        assert writer.commit() == 3


def test_rows_can_be_committed_before_their_document(store, tiny):
    text = "A long document. Encoded over. Several commits"
    with Writer.open(store, tiny.encoder) as writer:
        for start, end in tiny.sentences(text):
            writer.add_row(block_key(text[start:end]), tiny.vector(text[start:end]), tiny.states(text[start:end]))
            writer.commit()
        writer.merge()
    with Writer.open(store, tiny.encoder) as writer:
        assert all(writer.has_row(draft.key) for draft in tiny.drafts(text))
        writer.merge()
        writer.put_document(tiny.record(writer.new_document_id(), "long.txt", text), tiny.drafts(text))
        writer.commit()
        assert writer.snapshot is not None
        assert writer.snapshot.size_report()["n_dead_rows"] == 0
        assert len(writer.snapshot.nearest(np.ones(8, np.float32), 10)) == 3


def test_rows_that_wait_for_their_document_are_not_copied_by_every_merge(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        for number in range(3):
            text = f"Row number {number}"
            writer.add_row(block_key(text), tiny.vector(text), tiny.states(text))
            writer.commit()
        assert writer.merge()
        assert not writer.merge()
        assert writer.snapshot is not None
        assert (writer.snapshot.size_report()["n_rows"], writer.snapshot.n_passages) == (3, 0)


def test_rows_that_no_document_ever_needed_go_with_a_later_writers_merge(store, tiny):
    tiny.fill(store, {"a.txt": "Needed sentence"})
    lost = ("Lost for good", "Lost as well")
    with Writer.open(store, tiny.encoder) as writer:
        for text in lost:
            writer.add_row(block_key(text), tiny.vector(text), tiny.states(text))
        writer.commit()
        writer.merge()
        assert all(writer.has_row(block_key(text)) for text in lost)
    with Writer.open(store, tiny.encoder) as writer:
        writer.merge()
        assert not any(writer.has_row(block_key(text)) for text in lost)
        assert writer.has_row(block_key("Needed sentence"))


def test_pending_bytes_say_what_the_next_commit_holds(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        assert writer.pending_bytes == 0
        tiny.put(writer, "a.txt", "One sentence. Another sentence")
        assert writer.pending_bytes > 2 * 4 * 6
        writer.commit()
        assert writer.pending_bytes == 0


def test_a_long_run_of_small_commits_without_merge_stays_in_few_segments(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        for number in range(30):
            tiny.put(writer, f"{number}.txt", f"Sentence number {number}. Dogs bark loudly")
            writer.commit()
        assert writer.snapshot is not None
        assert writer.snapshot.n_passages == 60
        assert writer.snapshot.size_report()["n_segments"] <= 40
        assert len(writer.snapshot.bm25("bark", 100)) == 30


@pytest.mark.parametrize(
    ("fields", "drafts", "problem"),
    [
        ({"meta": {"x": float("nan")}}, None, "metadata is not json"),
        ({"meta": {"x": object()}}, None, "metadata is not json"),
        ({"title": "\ud800"}, None, "no valid Unicode"),
        ({"path": "../x"}, None, "expected a path relative to a root"),
        ({"path": "/x"}, None, "expected a path relative to a root"),
        ({"outline": ((99, "x"),)}, None, "found a heading at 99"),
        ({}, [PassageDraft(0, 99, "", block_key("Some text"))], "found offsets 0 to 99"),
        ({}, [PassageDraft(3, 3, "", block_key(""))], "found offsets 3 to 3"),
        ({}, [PassageDraft(0, 4, "", block_key("Other"))], "its key is not block_key"),
        ({}, [PassageDraft(0, 4, "", b"short")], "its key is not block_key"),
        ({}, [PassageDraft(0, 4, "\ud800", block_key("Some"))], "heading is no valid Unicode"),
    ],
)
def test_a_record_that_breaks_a_rule_is_refused_whole(store, tiny, fields, drafts, problem):
    with Writer.open(store, tiny.encoder) as writer:
        id_ = writer.new_document_id()
        record = tiny.record(id_, **{"path": "x.txt", "text": "Some text", **fields})
        with pytest.raises(InvalidRecord, match=problem):
            writer.put_document(record, drafts or [])
        assert writer.pending_bytes == 0
        assert writer.commit() is None


@pytest.mark.parametrize(
    ("vector", "states", "problem"),
    [
        (np.ones(7), np.ones((2, 6)), r"a vector of shape \(7,\)"),
        (np.ones(8), np.ones((2, 5)), r"states of shape \(2, 5\)"),
        (np.ones(8), np.ones((0, 6)), r"states of shape \(0, 6\)"),
        (np.ones(8), np.ones(6), r"states of shape \(6,\)"),
        (np.full(8, np.nan), np.ones((2, 6)), "not finite"),
        (np.ones(8), np.full((2, 6), np.inf), "not finite"),
    ],
)
def test_a_row_of_another_shape_or_without_numbers_is_refused(store, tiny, vector, states, problem):
    with Writer.open(store, tiny.encoder) as writer, pytest.raises(InvalidRecord, match=problem):
        writer.add_row(block_key("x"), vector, states)


def test_states_beyond_fp16_are_refused_rather_than_clamped(store, tiny):
    with Writer.open(store, tiny.encoder, "fp16") as writer, pytest.raises(InvalidRecord, match="fp16 holds up to"):
        writer.add_row(block_key("x"), np.ones(8), np.full((2, 6), 1e5))


def test_an_id_that_was_never_given_out_is_refused(store, tiny):
    with Writer.open(store, tiny.encoder) as writer, pytest.raises(InvalidRecord, match="not an id of this store"):
        writer.put_document(tiny.record(1, "x.txt", "Text"), [])


def test_two_documents_at_one_place_are_refused(filled, tiny):
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "fox.txt", "Another fox")
        with pytest.raises(InvalidRecord, match=r"documents 1 and 6 both have the path 'fox\.txt'"):
            writer.commit()
        writer.remove_document(1)
        assert writer.commit() == 3


def test_a_closed_snapshot_or_writer_says_so(filled, tiny):
    snapshot = open_snapshot(filled)
    snapshot.close()
    with pytest.raises(StoreError, match="this snapshot is closed"):
        snapshot.nearest(np.ones(8, np.float32), 1)
    writer = Writer.open(filled, tiny.encoder)
    writer.close()
    with pytest.raises(StoreError, match="this writer is closed"):
        writer.remove_document(1)
    Writer.open(filled, tiny.encoder).close()


def test_importing_the_store_loads_nothing_heavy():
    heavy = ("torch", "transformers", "haystack", "faiss", "sqlite_utils", "sentence_transformers")
    code = f"import sys, deformer_qa.store; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
