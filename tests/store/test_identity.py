"""Ids of documents and passages are stable and never come back."""

from __future__ import annotations

import pytest

from deformer_qa.store import DocumentNotFound, Writer, open_snapshot

OLD = "First sentence. Second sentence. Third sentence. First sentence"


def passage_ids(store, document):
    with open_snapshot(store) as snapshot:
        passages = snapshot.document_passages(document)
        return dict(zip(snapshot.passage_texts([p.id for p in passages]), [p.id for p in passages], strict=True))


def ordered_ids(store, document):
    with open_snapshot(store) as snapshot:
        return [passage.id for passage in snapshot.document_passages(document)]


def test_an_edit_keeps_the_ids_of_passages_whose_text_stays(store, tiny):
    (document,) = tiny.fill(store, {"a.txt": OLD})
    assert ordered_ids(store, document) == [1, 2, 3, 4]
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "a.txt", "A new start. First sentence. Third sentence. First sentence. The end", id_=document)
        writer.commit()
    assert ordered_ids(store, document) == [5, 1, 3, 4, 6]


def test_an_edit_of_an_uncommitted_document_keeps_ids_too(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        document = tiny.put(writer, "a.txt", OLD)
        tiny.put(writer, "a.txt", "Third sentence. Another one", id_=document)
        writer.commit()
    assert ordered_ids(store, document) == [3, 5]


def test_a_move_keeps_every_id_and_encodes_nothing(store, tiny, animals):
    fox, dog, *_ = tiny.fill(store, animals)
    before = passage_ids(store, fox)
    with open_snapshot(store) as snapshot:
        old = snapshot.document(fox)
    with Writer.open(store, tiny.encoder) as writer:
        writer.move_document(fox, root="/new", path="reynard.txt", title="Reynard", source_state="1:2")
        writer.move_document(dog, root="/corpus", path="fox.txt")
        assert writer.pending_bytes == 0
        writer.commit()
        assert writer.snapshot is not None
        assert writer.snapshot.size_report()["n_blocks"] == 1
    with open_snapshot(store) as snapshot:
        moved = snapshot.document(fox)
        assert (moved.root, moved.path, moved.title, moved.source_state) == ("/new", "reynard.txt", "Reynard", "1:2")
        assert (moved.text, moved.content_hash, moved.meta) == (old.text, old.content_hash, old.meta)
        assert (snapshot.document(dog).path, snapshot.document(dog).title) == ("fox.txt", "dog")
        assert {hit.passage_id for hit in snapshot.bm25("reynard", 10)} == set(before.values())
    assert passage_ids(store, fox) == before


def test_two_documents_can_swap_places(store, tiny, animals):
    fox, dog, *_ = tiny.fill(store, animals)
    with Writer.open(store, tiny.encoder) as writer:
        writer.move_document(fox, root=tiny.root, path="dog.txt")
        writer.move_document(dog, root=tiny.root, path="fox.txt")
        writer.commit()
    with open_snapshot(store) as snapshot:
        found = snapshot.find_documents(tiny.root)
        assert (found["dog.txt"].id, found["fox.txt"].id) == (fox, dog)


def test_a_document_moved_twice_before_a_commit_ends_at_the_second_place(store, tiny):
    (document,) = tiny.fill(store, {"a.txt": OLD})
    with Writer.open(store, tiny.encoder) as writer:
        writer.move_document(document, root="/r", path="b.txt", title="B")
        writer.move_document(document, root="/r", path="c.txt", source_state="s")
        writer.commit()
    with open_snapshot(store) as snapshot:
        info = snapshot.document_infos([document])[0]
        assert (info.path, info.title, info.source_state) == ("c.txt", "B", "s")


def test_ids_of_removed_documents_and_passages_never_come_back(store, tiny):
    (first,) = tiny.fill(store, {"a.txt": OLD})
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(first)
        writer.commit()
    (second,) = tiny.fill(store, {"a.txt": OLD})
    assert second == first + 1
    assert ordered_ids(store, second) == [5, 6, 7, 8]


def test_merging_changes_no_id(store, tiny, animals):
    for path, text in animals.items():
        tiny.fill(store, {path: text})
    before = tiny.dump_of(store)
    with Writer.open(store, tiny.encoder) as writer:
        assert writer.merge()
    assert tiny.dump_of(store) == before


def test_the_same_text_in_two_documents_is_stored_once_and_lives_until_both_are_gone(store, tiny, animals):
    _, dog, _, hen, _ = tiny.fill(store, animals)
    shared = next(draft.key for draft in tiny.drafts("Dogs bark loudly"))
    with open_snapshot(store) as snapshot:
        assert snapshot.size_report()["n_rows"] == snapshot.n_passages - 1
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(dog)
        writer.commit()
        writer.merge()
        assert writer.has_row(shared)
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(hen)
        writer.commit()
    with Writer.open(store, tiny.encoder) as writer:
        writer.merge()
        assert writer.snapshot is not None
        report = writer.snapshot.size_report()
        assert report["n_rows"] - report["n_dead_rows"] == writer.snapshot.n_passages


def test_a_removed_text_that_returns_needs_no_encoding(store, tiny, animals):
    fox, *_ = tiny.fill(store, animals)
    before = tiny.dump_of(store)
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(fox)
        writer.commit()
        assert all(writer.has_row(draft.key) for draft in tiny.drafts(animals["fox.txt"]))
        tiny.put(writer, "fox.txt", animals["fox.txt"])
        assert writer.pending_bytes < 3000
        writer.commit()
        assert writer.snapshot is not None
        assert writer.snapshot.size_report()["n_blocks"] == 1
        assert writer.snapshot.size_report()["n_dead_rows"] == 0
    after = tiny.dump_of(store)
    assert sorted(after["texts"]) == sorted(before["texts"])


def test_changing_what_is_not_there_is_refused(filled, tiny):
    with Writer.open(filled, tiny.encoder) as writer:
        with pytest.raises(DocumentNotFound, match="document 99: not in this generation"):
            writer.remove_document(99)
        with pytest.raises(DocumentNotFound):
            writer.move_document(99, root="/r", path="p")
        writer.remove_document(1)
        with pytest.raises(DocumentNotFound):
            writer.remove_document(1)
        with pytest.raises(DocumentNotFound):
            writer.move_document(1, root="/r", path="p")


def test_a_document_removed_and_put_again_before_a_commit_is_there(filled, tiny, animals):
    before = tiny.dump_of(filled)
    with Writer.open(filled, tiny.encoder) as writer:
        writer.remove_document(1)
        tiny.put(writer, "fox.txt", animals["fox.txt"], id_=1)
        writer.commit()
    assert tiny.dump_of(filled) == before
