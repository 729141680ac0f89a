"""A passage's heading is part of what its key is of, and of nothing that is shown as its text."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from parts.damage import contents, files_of_head, flip
from parts.tiny_store import ENCODINGS

from deformer_qa.reader.passages import with_lead
from deformer_qa.store import (
    InvalidRecord,
    PassageDraft,
    RowEncoder,
    Writer,
    block_key,
    encoder_input,
    export_store,
    import_store,
    keyed_input,
    open_snapshot,
    recompute,
    repair,
    verify,
)

TEXT = "It barked at the river. Dogs bark loudly"


def put(writer, tiny, path, headings, *, title="", text=TEXT):
    """A document whose sentences stand below these headings, encoded with them."""
    drafts = []
    for (start, end), heading in zip(tiny.sentences(text), headings, strict=True):
        whole = encoder_input(heading, text[start:end])
        drafts.append(PassageDraft(start, end, heading, block_key(whole)))
        writer.add_row(drafts[-1].key, tiny.vector(whole), tiny.states(whole))
    record = tiny.record(writer.new_document_id(), path, text, title=title)
    writer.put_document(record, drafts)
    return record.id


@pytest.fixture
def headed(store, tiny):
    """A store of both kinds of passages: below headings, and as they were encoded before headings were read."""
    with Writer.open(store, tiny.encoder) as writer:
        put(writer, tiny, "fox.txt", ["The fox", "The fox › Noises"], title="The fox")
        put(writer, tiny, "seal.txt", ["The seal", ""], title="The seal")
        tiny.put(writer, "old.txt", "Hens lay eggs. Owls hunt mice", heading="Birds")
        writer.commit()
    return store


def encoder(tiny):
    return lambda: RowEncoder(tiny.encoder, lambda whole: (tiny.vector(whole), tiny.states(whole)))


def test_the_store_and_the_reader_mean_the_same_input():
    for heading in ("", "Title › Heading"):
        assert encoder_input(heading, "The text.") == with_lead(heading, "The text.")


def test_a_key_is_of_the_input_or_of_the_text_alone():
    whole = "The fox\nIt barked."
    assert keyed_input(block_key(whole), "The fox", "It barked.") == whole
    assert keyed_input(block_key("It barked."), "The fox", "It barked.") == "It barked."
    assert keyed_input(block_key(whole), "The seal", "It barked.") is None
    assert keyed_input(block_key(whole), "", whole) == whole


def test_equal_texts_below_other_headings_are_other_rows_and_below_equal_ones_one(headed):
    with open_snapshot(headed) as snapshot:
        assert snapshot.size_report()["n_rows"] == 6
        passages = [p for id_ in (1, 2, 3) for p in snapshot.document_passages(id_)]
        ids = [p.id for p in passages]
        texts = ["It barked at the river", "Dogs bark loudly"] * 2 + ["Hens lay eggs", "Owls hunt mice"]
        assert snapshot.passage_texts(ids) == texts
        assert snapshot.passage_inputs(ids) == [
            "The fox\nIt barked at the river",
            "The fox › Noises\nDogs bark loudly",
            "The seal\nIt barked at the river",
            "Dogs bark loudly",
            "Hens lay eggs",
            "Owls hunt mice",
        ]
    with Writer.open(headed, None) as writer:
        before = writer.snapshot.size_report()["n_rows"]
        assert writer.has_row(block_key("The fox\nIt barked at the river"))
        assert not writer.has_row(block_key("It barked at the river"))
        assert before == 6


def test_a_key_of_another_heading_is_refused(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        record = tiny.record(writer.new_document_id(), "a.txt", "Some text")
        draft = PassageDraft(0, 4, "The fox", block_key("The seal\nSome"))
        with pytest.raises(InvalidRecord, match="its key is not block_key of the text between its offsets, with its"):
            writer.put_document(record, [draft])
        writer.put_document(record, [dataclasses.replace(draft, heading="The seal")])


def test_the_words_of_a_title_count_once(store, tiny):
    with Writer.open(store, tiny.encoder) as writer:
        put(writer, tiny, "a.txt", ["Zebra crossing › Paint"], title="Zebra   crossing", text="White stripes")
        put(writer, tiny, "b.txt", [""], title="Zebra crossing", text="White stripes")
        put(writer, tiny, "c.txt", ["Zebra crossings"], title="Zebra crossing", text="White stripes")
        writer.commit()
    with open_snapshot(store) as snapshot:
        (catalogue,) = snapshot.catalogues
        lengths = dict(zip(catalogue.files.passage_ids.tolist(), catalogue.files.passage_lengths.tolist(), strict=True))
        assert lengths == {1: 5, 2: 4, 3: 6}
        found = {hit.passage_id for hit in snapshot.bm25("zebra", 10)}
        assert found == {1, 2, 3}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_are_encoded_again_from_what_was_encoded(store, tiny, encoding):
    tiny.fill(store, {"old.txt": "Hens lay eggs. Owls hunt mice"}, encoding)
    with Writer.open(store, tiny.encoder) as writer:
        put(writer, tiny, "fox.txt", ["The fox", "The fox › Noises"])
        writer.commit()
    with open_snapshot(store) as snapshot:
        found = recompute(snapshot, encoder(tiny), 100)
    assert (found.n_rows, found.wrong, found.largest_vector_error) == (4, (), 0)


@pytest.mark.parametrize("name", ["states", "vectors", "keys", "passage_ids", "meta.sqlite"])
def test_a_damaged_store_with_headings_is_repaired_from_what_was_encoded(headed, tiny, name):
    before = tiny.dump_of(headed)
    with open_snapshot(headed) as snapshot:
        ids = [p.id for one in (1, 2, 3) for p in snapshot.document_passages(one)]
        inputs = snapshot.passage_inputs(ids)
    path = files_of_head(headed, name)[0]
    flip(path, random.Random(5))
    assert verify(headed)
    repair(headed, encoder(tiny))
    assert verify(headed) == []
    with open_snapshot(headed) as snapshot:
        kept = [id_ for one in (1, 2, 3) for id_ in _passages(snapshot, one)]
        expected = {id_: whole for id_, whole in zip(ids, inputs, strict=True) if id_ in kept}
        assert dict(zip(kept, snapshot.passage_inputs(kept), strict=True)) == expected
        assert recompute(snapshot, encoder(tiny), 100).wrong == ()
    if name != "meta.sqlite":  # there a document may be lost, by name
        assert tiny.dump_of(headed) == before


def _passages(snapshot, document_id):
    infos = snapshot.document_infos([document_id])
    return [p.id for p in snapshot.document_passages(document_id)] if infos else []


def test_an_export_with_headings_comes_back(headed, tiny, tmp_path):
    with open_snapshot(headed) as snapshot:
        export_store(snapshot, tmp_path / "export")
    import_store(tmp_path / "export", tmp_path / "again")
    assert tiny.dump_of(tmp_path / "again") == tiny.dump_of(headed)
    with open_snapshot(tmp_path / "again") as snapshot:
        assert recompute(snapshot, encoder(tiny), 100).wrong == ()


def test_merging_and_compacting_keep_headings(headed, tiny):
    before = tiny.dump_of(headed)
    with Writer.open(headed, tiny.encoder) as writer:
        put(writer, tiny, "hare.txt", ["The hare", "The hare"])
        writer.commit()
        writer.remove_document(4)
        writer.commit()
        writer.merge()
        writer.compact()
    assert tiny.dump_of(headed) == before
    assert not any(b"The hare" in content for content in contents(headed).values() if isinstance(content, bytes))
    assert np.array_equal(verify(headed), [])
