"""A rollback says again what the generation before said, and where there is none it says why."""

from __future__ import annotations

import shutil

import pytest
from parts.interruptions import Killed, interrupted, play_dead

from deformer_qa.store import NothingBefore, StoreDamaged, StoreError, StoreMissing, Writer, open_snapshot, verify


@pytest.fixture
def changed(filled, tiny):
    """What a store of three generations said at its second and its third."""
    before = tiny.dump_of(filled)
    with Writer.open(filled, tiny.encoder) as writer:
        there = writer.snapshot.find_documents(tiny.root)
        tiny.put(writer, "fox.txt", "The fox left. Entirely new", id_=there["fox.txt"].id)
        writer.move_document(there["fish.txt"].id, root=tiny.root, path="trout.txt")
        writer.remove_document(there["birds/owl.txt"].id)
        writer.set_roots([tiny.root, "/other"])
        writer.commit()
    return before, tiny.dump_of(filled)


def rolled_back(store) -> int:
    with Writer.open(store, None) as writer:
        return writer.rollback()


def test_a_rollback_says_what_the_generation_before_said_and_a_second_undoes_it(filled, tiny, changed):
    before, after = changed
    assert before != after
    assert rolled_back(filled) == 4
    assert tiny.dump_of(filled) == before
    assert verify(filled) == []
    assert tiny.orphans(filled) == []
    assert rolled_back(filled) == 5
    assert tiny.dump_of(filled) == after
    assert rolled_back(filled) == 6
    assert tiny.dump_of(filled) == before


def test_ids_and_rows_of_what_was_rolled_back(filled, tiny, changed):
    with open_snapshot(filled) as snapshot:
        next_ids = (snapshot.manifest.next_document_id, snapshot.manifest.next_passage_id)
    with Writer.open(filled, tiny.encoder) as writer:
        writer.rollback()
        assert (writer.snapshot.manifest.next_document_id, writer.snapshot.manifest.next_passage_id) == next_ids
        assert tiny.put(writer, "late.txt", "Entirely new. Another text") == next_ids[0]
        writer.commit()
        assert min(p.id for p in writer.snapshot.document_passages(next_ids[0])) >= next_ids[1]
    assert verify(filled) == []


def test_the_first_generation_has_none_before_it(store, tiny, animals):
    tiny.fill(store, animals)
    says = tiny.dump_of(store)
    with pytest.raises(NothingBefore, match=r"cannot go back from generation 1: it is the first generation\."):
        rolled_back(store)
    with open_snapshot(store) as snapshot:
        assert snapshot.generation == 1
    assert tiny.dump_of(store) == says


def test_a_compaction_removed_the_generation_before(filled, tiny, changed):
    with Writer.open(filled, tiny.encoder) as writer:
        writer.compact()
        with pytest.raises(
            NothingBefore, match=r'from generation 4: the generation before it was removed by "qa compact"\.'
        ):
            writer.rollback()
        tiny.put(writer, "new.txt", "Entirely new")
        writer.commit()
        writer.rollback()
    assert tiny.dump_of(filled) == changed[1]


def test_a_parent_that_is_damaged_or_gone_is_named(filled, tiny, changed):
    parent = filled / "MANIFEST-2"
    parent.write_bytes(parent.read_bytes()[:-1])
    with pytest.raises(NothingBefore, match=r"cannot be read: MANIFEST-2: the checksum does not match"):
        rolled_back(filled)
    parent.unlink()
    with pytest.raises(NothingBefore, match="MANIFEST-2, is not there any more"):
        rolled_back(filled)
    assert tiny.dump_of(filled) == changed[1]


def test_a_parent_whose_files_are_not_there_is_not_gone_back_to(store, tiny):
    ids = tiny.fill(store, {"a.txt": "Words of a"})
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(ids[0])
        tiny.put(writer, "b.txt", "Words of b")
        writer.commit()
    says = tiny.dump_of(store)
    next(store.glob("seg/1-*/meta.sqlite")).unlink()
    with pytest.raises(StoreDamaged, match=r"meta.sqlite: expected .* found no file"):
        rolled_back(store)
    assert tiny.dump_of(store) == says


def test_where_nothing_was_ever_committed_there_is_nothing_to_go_back_from(store, tiny):
    with Writer.open(store, tiny.encoder) as writer, pytest.raises(StoreMissing):
        writer.rollback()
    with pytest.raises(StoreMissing):
        rolled_back(store)


def test_what_is_not_committed_is_not_thrown_away(filled, tiny):
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        with pytest.raises(StoreError, match="found changes that are not committed"):
            writer.rollback()
        assert writer.commit() == 3
        assert writer.rollback() == 4


def test_a_rollback_that_dies_at_any_step_leaves_the_old_or_the_new_answers(filled, tiny, changed):
    before, after = changed
    finished = filled.parent / "finished"
    shutil.copytree(filled, finished)
    with interrupted(-1, None) as counter:
        rolled_back(finished)
    seen = []
    for call in range(1, counter["calls"] + 1):
        store = filled.parent / f"at-{call}"
        shutil.copytree(filled, store)
        with pytest.raises(Killed), interrupted(call, play_dead):
            rolled_back(store)
        seen.append(tiny.dump_of(store) == before)
        assert seen[-1] or tiny.dump_of(store) == after
        Writer.open(store, tiny.encoder).close()
        assert (tiny.dump_of(store) == before) == seen[-1]
        assert tiny.orphans(store) == []
        assert verify(store) == []
    assert seen == sorted(seen)
    assert set(seen) == {False, True}
