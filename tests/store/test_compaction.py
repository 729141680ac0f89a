"""After a compaction nothing that was removed is in any file, and nothing that is there has changed."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts.interruptions import Killed, interrupted, play_dead

from deformer_qa.store import (
    NotErased,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreMissing,
    Writer,
    block_key,
    commit,
    disk,
    open_snapshot,
    verify,
)
from deformer_qa.store.segments.bm25 import QueryWords
from deformer_qa.store.upkeep import merge

SECRET = "Zyqqravel whispered Quoxamine under the Jubblewock"
WORDS = ("Zyqqravel", "Quoxamine", "Jubblewock")


def contents(store: Path) -> Iterator[bytes]:
    return (file.read_bytes() for file in store.rglob("*") if file.is_file())


def traces(store: Path, tiny) -> set[str]:
    """Which traces of the secret are in a file of the store: words, index terms, its key, its vector, its states."""
    terms = QueryWords().of(SECRET)
    states = disk_states(tiny)
    signs: dict[str, bytes] = {word: word.encode() for word in WORDS}
    signs |= {f"term {term!r}": term for term in terms if term[:3] in (b"zyq", b"quo", b"jub")}
    signs |= {"title": b"hushhush", "path": b"mumcorner", "meta": b"sotto voce", "root": b"/cellar"}
    signs |= {"key": block_key(SECRET), "vector": tiny.vector(SECRET).tobytes(), "states": states}
    found = list(contents(store))
    return {sign for sign, raw in signs.items() if any(raw in content for content in found)}


def disk_states(tiny) -> bytes:
    from deformer_qa.store.encodings import encoding_named

    return bytes(encoding_named("int8").encode(tiny.states(SECRET)).values.data)


@pytest.fixture
def burdened(store, tiny, animals) -> Path:
    """Six generations with a document that was put, moved, replaced and removed, a set-aside head, and leavings."""
    ids = tiny.fill(store, animals)
    with Writer.open(store, tiny.encoder) as writer:
        writer.set_roots([tiny.root, "/cellar"])
        known = {"root": "/cellar", "title": "hushhush", "meta": {"how": "sotto voce"}}
        tiny.put(writer, "friend.txt", "A friend stays")
        secret = tiny.put(writer, "mumcorner.txt", f"{SECRET}. Dogs bark loudly", **known)
        writer.commit()
        tiny.put(writer, "dog.txt", "Dogs bark loudly. The dog wakes near the river bank", id_=ids[1])
        writer.commit()
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(secret)
        writer.remove_document(ids[3])
        writer.set_roots([tiny.root])
        writer.commit()
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "late.txt", f"{SECRET}. It is too late")
        writer.commit()
    head = max(store.glob("MANIFEST-*"), key=lambda file: int(file.name[9:]))
    head.write_bytes(head.read_bytes()[:-1])
    Writer.open(store, tiny.encoder).close()  # sets the head with the late document aside
    assert list(store.glob("MANIFEST-*.damaged"))
    return store


def test_after_a_compaction_no_trace_of_what_was_removed_is_in_any_file(burdened, tiny):
    before = tiny.dump_of(burdened)
    assert len(traces(burdened, tiny)) == 3 + 3 + 4 + 3
    with Writer.open(burdened, tiny.encoder) as writer:
        assert writer.compact() == 6
    assert traces(burdened, tiny) == set()
    assert tiny.dump_of(burdened) == before
    with open_snapshot(burdened) as snapshot:
        report = snapshot.size_report()
        assert snapshot.notice is None
        assert (snapshot.manifest.parent, snapshot.manifest.compacted) == (None, True)
    assert (report["n_segments"], report["n_dead_rows"], report["n_deleted_documents"]) == (2, 0, 0)
    assert tiny.orphans(burdened) == []
    assert verify(burdened) == []


def test_ids_given_out_before_a_compaction_are_not_given_out_after_it(burdened, tiny):
    with open_snapshot(burdened) as snapshot:
        before = (snapshot.manifest.next_document_id, snapshot.manifest.next_passage_id)
    with Writer.open(burdened, tiny.encoder) as writer:
        writer.compact()
        after = (writer.snapshot.manifest.next_document_id, writer.snapshot.manifest.next_passage_id)
        assert after == before
        assert tiny.put(writer, "new.txt", "Entirely new") == before[0]
        writer.commit()
        assert writer.snapshot.manifest.compacted is False


def test_the_words_of_a_removed_document_that_another_has_too_stay_with_that_one(burdened, tiny):
    with Writer.open(burdened, tiny.encoder) as writer:
        tiny.put(writer, "witness.txt", SECRET)
        writer.compact()
        (hit,) = writer.snapshot.bm25("zyqqravel", 10)
        assert writer.snapshot.passage_texts([hit.passage_id]) == [SECRET]
    assert {"Zyqqravel", "vector", "states"} <= traces(burdened, tiny)
    assert "title" not in traces(burdened, tiny)


def test_a_compaction_commits_first_what_is_gathered(filled, tiny):
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        assert writer.compact() == 4
        assert writer.snapshot.n_documents == 5
        assert writer.compact() == 4, "there is nothing more to do"
        tiny.put(writer, "newer.txt", "Newer still")
        assert writer.commit() == 5


def test_rows_that_wait_for_their_document_are_dropped_and_encoded_again(store, tiny, animals):
    tiny.fill(store, animals)
    key = block_key(SECRET)
    with Writer.open(store, tiny.encoder) as writer:
        writer.add_row(key, tiny.vector(SECRET), tiny.states(SECRET))
        writer.commit()
        writer.compact()
        assert not writer.has_row(key)
        tiny.put(writer, "late.txt", SECRET)
        writer.commit()
        assert writer.snapshot.vectors([key]).tolist() == [tiny.vector(SECRET).tolist()]


def test_a_store_of_which_all_was_removed_compacts_to_nothing(store, tiny, animals):
    ids = tiny.fill(store, animals)
    with Writer.open(store, tiny.encoder) as writer:
        for id_ in ids:
            writer.remove_document(id_)
        writer.compact()
        assert writer.snapshot.size_report()["n_segments"] == 0
        assert list((store / "seg").iterdir()) == []
        assert tiny.put(writer, "new.txt", "Entirely new") == ids[-1] + 1
        writer.commit()
    assert tiny.dump_of(store)["counts"] == (1, 1)


def test_nothing_is_not_compacted(store, tiny):
    with Writer.open(store, tiny.encoder) as writer, pytest.raises(StoreMissing):
        writer.compact()


def test_segments_grow_to_their_limit_and_a_whole_one_is_not_copied(store, tiny, animals, monkeypatch):
    for path, text in animals.items():
        tiny.fill(store, {path: text})
    before = tiny.dump_of(store)
    monkeypatch.setattr(merge, "LARGEST_BLOCK", 1)
    monkeypatch.setattr(merge, "LARGEST_CATALOGUE", 8)
    with Writer.open(store, tiny.encoder) as writer:
        blocks = writer.snapshot.manifest.blocks
        writer.compact()
        assert writer.snapshot.manifest.blocks == blocks
        assert 1 < len(writer.snapshot.manifest.catalogues) < 5
    assert tiny.dump_of(store) == before
    assert verify(store) == []


def test_one_segment_in_which_something_died_is_written_anew(store, tiny):
    kept, secret = tiny.fill(store, {"fox.txt": "The fox left", "secret.txt": SECRET})
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(secret)
        writer.commit()
        assert {"Zyqqravel", "vector"} <= traces(store, tiny)
        writer.compact()
        assert traces(store, tiny) == set()
        assert writer.snapshot.document(kept).text == "The fox left"


def test_groups_hold_neighbours_up_to_the_limit():
    assert merge.groups_of([], 10) == []
    assert merge.groups_of([3, 3, 5, 10, 1, 12, 2], 10) == [[0, 1], [2], [3], [4], [5], [6]]


def test_states_of_fp16_are_copied_as_they_are(store, tiny, animals):
    for path, text in animals.items():
        tiny.fill(store, {path: text}, "fp16")
    before = tiny.dump_of(store)
    with Writer.open(store, None) as writer:
        writer.compact()
    assert tiny.dump_of(store) == before


@pytest.mark.parametrize("file", ["states", "meta.sqlite", "lookup"])
def test_a_damaged_segment_is_not_compacted_and_nothing_is_removed(burdened, tiny, file):
    with open_snapshot(burdened) as snapshot:
        segments = [entry.segment for entry in snapshot.manifest.segments if file in entry.files]
    victim = burdened / "seg" / segments[-1] / file
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    files = tiny.files(burdened)
    with Writer.open(burdened, tiny.encoder) as writer, pytest.raises(StoreDamaged, match=f"{file}: the checksum does"):
        writer.compact()
    assert tiny.files(burdened) == files


def test_a_compaction_without_room_is_refused_before_it_writes(burdened, tiny, monkeypatch):
    files = tiny.files(burdened)
    monkeypatch.setattr(disk, "free_bytes", lambda path: commit.ROOM_TO_SPARE + 1000)
    with Writer.open(burdened, tiny.encoder) as writer, pytest.raises(StoreFull, match="the commit needs"):
        writer.compact()
    assert tiny.files(burdened) == files


def test_what_cannot_be_removed_is_told_and_the_next_compaction_removes_it(burdened, tiny, monkeypatch):
    def fail(path):
        raise OSError(errno.EPERM, "Operation not permitted")

    before = tiny.dump_of(burdened)
    with monkeypatch.context() as broken, Writer.open(burdened, tiny.encoder) as writer:
        broken.setattr(disk, "remove_directory", fail)
        with pytest.raises(
            NotErased, match=r"generation 6 is compacted, but .*not permitted.*Run \"qa compact\" again"
        ):
            writer.compact()
    assert tiny.dump_of(burdened) == before
    with Writer.open(burdened, tiny.encoder) as writer:
        assert writer.compact() == 6
    assert traces(burdened, tiny) == set()


def compacted(store, tiny) -> None:
    with Writer.open(store, tiny.encoder) as writer:
        writer.compact()


def test_a_compaction_that_dies_at_any_step_leaves_all_or_nothing_and_the_next_writer_finishes_it(burdened, tiny):
    says = tiny.dump_of(burdened)
    finished = burdened.parent / "finished"
    shutil.copytree(burdened, finished)
    with interrupted(-1, None) as counter:
        compacted(finished, tiny)
    assert counter["calls"] > 40
    seen = []
    for call in range(1, counter["calls"] + 1):
        store = burdened.parent / f"at-{call}"
        shutil.copytree(burdened, store)
        with pytest.raises(Killed), interrupted(call, play_dead):
            compacted(store, tiny)
        assert tiny.dump_of(store) == says
        with Writer.open(store, tiny.encoder) as writer:  # no more than this
            is_new = writer.snapshot.manifest.compacted
        seen.append(is_new)
        assert verify(store) == []
        assert (traces(store, tiny) == set()) == is_new
        assert tiny.dump_of(store) == says
        shutil.rmtree(store)
    assert seen == sorted(seen)
    assert set(seen) == {False, True}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_a_step_of_a_compaction_that_fails_is_told_or_did_no_harm(burdened, tiny, number):
    def fail(step, arguments):
        raise OSError(number, "somewhere")

    says = tiny.dump_of(burdened)
    n_told, is_reached, call = 0, True, 0
    while is_reached:
        call += 3
        store = burdened.parent / f"at-{call}"
        shutil.copytree(burdened, store)
        told = False
        with interrupted(call, fail) as counter:
            try:
                compacted(store, tiny)
            except StoreError:
                told = True
        is_reached = counter["calls"] >= call
        n_told += told
        assert told or traces(store, tiny) == set()
        assert tiny.dump_of(store) == says
        compacted(store, tiny)
        assert traces(store, tiny) == set()
        assert tiny.dump_of(store) == says
        shutil.rmtree(store)
    assert n_told > 8


def test_set_aside_manifests_newer_than_a_compaction_are_kept(store, tiny, animals):
    tiny.fill(store, animals)
    compacted(store, tiny)
    tiny.fill(store, {"new.txt": "Entirely new"})
    (store / "MANIFEST-3").write_bytes(b"damaged")
    Writer.open(store, tiny.encoder).close()
    assert (store / "MANIFEST-3.damaged").read_bytes() == b"damaged"
    assert list(store.glob("seg/3-*"))
