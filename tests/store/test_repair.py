"""A damaged store is made whole again: nothing is said otherwise than before, but for documents that it names."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3

import numpy as np
import pytest
from parts.damage import (
    BLOCK_FILES,
    CATALOGUE_FILES,
    DAMAGES,
    Encoding,
    check_bookkeeping,
    check_repaired,
    contents,
    files_of_head,
    flip,
    no_encoder,
)
from parts.tiny_store import ENCODINGS

from deformer_qa.store import Writer, open_snapshot, repair, verify
from deformer_qa.store.generations import read_manifest


@pytest.fixture
def encoding(tiny) -> Encoding:
    return Encoding(tiny)


def test_a_healthy_store_stays_as_it_is(filled):
    before = contents(filled)
    done = repair(filled, no_encoder)
    assert (done.generation, done.mended, done.n_dropped) == (None, (), 0)
    assert contents(filled) == before


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", BLOCK_FILES + CATALOGUE_FILES)
@pytest.mark.parametrize("state_encoding", ENCODINGS)
def test_each_kind_of_damage_to_each_kind_of_file_is_repaired(
    store, tiny, animals, encoding, name, damage, state_encoding
):
    if name == "scales" and state_encoding in ("fp16", "pq6"):
        pytest.skip("it has no scales")
    tiny.fill(store, dict(list(animals.items())[:3]), state_encoding)
    tiny.fill(store, dict(list(animals.items())[3:]))
    before = tiny.dump_of(store)
    untouched = [path for path in files_of_head(store, name)[1:]]
    as_was = [path.read_bytes() for path in untouched]
    damaged = files_of_head(store, name)[0]
    damage(damaged, random.Random(name + damage.__name__))
    done = repair(store, encoding)
    assert [mended.file for mended in done.mended] == [str(damaged.relative_to(store))]
    check_repaired(store, tiny, done, before)
    assert [path.read_bytes() for path in untouched] == as_was
    assert not damaged.parent.exists()
    assert tiny.orphans(store) == []
    if name != "meta.sqlite":
        assert done.n_dropped == 0
    if name in (*CATALOGUE_FILES, "lookup", "offsets", "keys", "sums"):
        if name == "keys" and state_encoding:
            assert len(encoding.texts) == len(done.reencoded) <= 1 + (damage is not flip)
        else:
            assert encoding.texts == []
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new. Dogs bark loudly")
        writer.commit()
        writer.merge()
    assert verify(store) == []


def test_only_damaged_rows_are_encoded_again(store, tiny, animals, encoding):
    tiny.fill(store, animals)
    before = tiny.dump_of(store)
    with open_snapshot(store) as snapshot:
        (block,) = snapshot.blocks
        n_rows, first = block.entry.n_rows, int(block.files.offsets[3])
        wanted = {block.files.key(2), block.files.key(3)}
        texts = {
            snapshot.passage_texts([p.id])[0]
            for info in snapshot.iter_documents()
            for p in snapshot.document_passages(info.id)
            if p.key in wanted
        }
    vectors, states = files_of_head(store, "vectors")[0], files_of_head(store, "states")[0]
    for file, place in ((vectors, 2 * 8 * 4), (states, first * 6)):
        content = bytearray(file.read_bytes())
        content[place] ^= 1
        file.write_bytes(content)
    done = repair(store, encoding)
    assert set(encoding.texts) == texts
    assert (len(encoding.texts), done.n_rows_kept) == (2, n_rows - 2)
    check_repaired(store, tiny, done, before)


def test_a_damaged_row_is_repaired_though_an_index_run_would_pass_it_over(store, tiny, animals, encoding):
    tiny.fill(store, animals)
    before = tiny.dump_of(store)
    (vectors,) = files_of_head(store, "vectors")
    vectors.write_bytes(bytes(vectors.stat().st_size))
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "fox.txt", animals["fox.txt"], id_=1)
        writer.commit()
    assert verify(store) != []
    check_repaired(store, tiny, repair(store, encoding), before)


@pytest.mark.parametrize("files", [("keys",), ("offsets",), ("sums",), ("lookup",), ("sums", "lookup"), ()])
def test_a_block_of_many_rows_loses_none_with_its_small_files(store, tiny, files):
    texts = {f"{n}.txt": ". ".join(f"sentence {i} of {n} " + "x " * (i % 9) for i in range(40)) for n in range(10)}
    tiny.fill(store, texts)
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(3)  # dead rows lie between the others
        writer.commit()
    before = tiny.dump_of(store)
    for name in files:
        files_of_head(store, name)[0].unlink()
    done = repair(store, no_encoder)
    check_repaired(store, tiny, done, before)
    assert bool(done.mended) == bool(files)


@pytest.mark.parametrize("name", BLOCK_FILES + CATALOGUE_FILES)
def test_files_swapped_between_two_segments_are_put_in_order_without_loss(store, tiny, animals, name):
    tiny.fill(store, dict(list(animals.items())[:3]))
    tiny.fill(store, dict(list(animals.items())[3:]))
    before = tiny.dump_of(store)
    one, other = files_of_head(store, name)
    whole = one.read_bytes(), other.read_bytes()
    one.write_bytes(whole[1])
    other.write_bytes(whole[0])
    done = repair(store, no_encoder)
    assert done.n_dropped == 0
    check_repaired(store, tiny, done, before)


@pytest.mark.parametrize("names", [(name,) for name in BLOCK_FILES + CATALOGUE_FILES] + [BLOCK_FILES, CATALOGUE_FILES])
@pytest.mark.parametrize("kind", ["another corpus", "another encoder"])
def test_files_of_another_store_are_not_believed(store, tiny, animals, encoding, tmp_path, names, kind):
    """Also where they fit together, and every checksum within them is right."""
    texts = animals
    if kind == "another corpus":
        texts = {name: text.replace("dog", "cat").replace("night", "noon") for name, text in animals.items()}
    else:
        tiny.vector, tiny.states = (
            lambda text, real=tiny.vector: real(text) + 1,
            lambda text, real=tiny.states: real(text) + 1,
        )
    foreign = tmp_path / "foreign"
    tiny.fill(foreign, texts)
    vars(tiny).clear()
    tiny.fill(store, animals)
    before = tiny.dump_of(store)
    n_changed = 0
    for name in names:
        (file,), (other,) = files_of_head(store, name), files_of_head(foreign, name)
        n_changed += file.read_bytes() != other.read_bytes()
        file.write_bytes(other.read_bytes())
    done = repair(store, encoding)
    assert bool(done.mended) == bool(n_changed)
    check_repaired(store, tiny, done, before)


def test_dropped_documents_are_named_with_their_place_and_their_rows_wait_for_them(store, tiny, animals):
    tiny.fill(store, animals)
    before = tiny.dump_of(store)
    (file,) = files_of_head(store, "meta.sqlite")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE texts SET text = x'00' WHERE document_id = 2")
        connection.execute("UPDATE documents SET title = 'other' WHERE id = 4")
    connection.close()
    done = repair(store, no_encoder)
    check_repaired(store, tiny, done, before)
    assert [(one.id, one.root, one.path) for one in done.dropped] == [(2, tiny.root, "dog.txt"), (4, None, None)]
    with Writer.open(store, tiny.encoder) as writer:
        there = writer.snapshot.find_documents(tiny.root)
        assert writer.snapshot.roots == (tiny.root,)
        assert set(animals) - set(there) == {"dog.txt", "birds/hen.txt"}
        assert all(writer.has_row(draft.key) for draft in tiny.drafts(animals["dog.txt"]))
        for name in sorted(set(animals) - set(there)):
            tiny.put(writer, name, animals[name])
        writer.commit()
        assert {info.id for info in writer.snapshot.iter_documents()} == {1, 3, 5, 6, 7}


def test_a_catalogue_of_which_nothing_is_left_drops_its_documents_and_keeps_the_roots(filled, tiny, encoding):
    for name in CATALOGUE_FILES:
        for file in files_of_head(filled, name):
            file.unlink()
    done = repair(filled, no_encoder)
    assert (done.dropped, done.n_dropped_unknown) == ((), 4)
    assert verify(filled) == []
    with open_snapshot(filled) as snapshot:
        assert (snapshot.n_documents, snapshot.roots) == (0, (tiny.root,))
        assert snapshot.nearest(np.ones(8, np.float32), 5) == []
    check_bookkeeping(filled)


def test_a_document_that_was_removed_does_not_come_back_with_a_repair(filled, tiny, encoding):
    before = tiny.dump_of(filled)
    for name in CATALOGUE_FILES[1:]:
        for file in files_of_head(filled, name):
            flip(file, random.Random(1))
    one, other = files_of_head(filled, "meta.sqlite")
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content + b"x")  # no longer what was committed anywhere
    done = repair(filled, encoding)
    assert verify(filled) == []
    said = {document.id for document in tiny.dump_of(filled)["documents"]}
    assert said <= {document.id for document in before["documents"]}
    assert len(said) + done.n_dropped == len(before["documents"])
    check_bookkeeping(filled)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("both", [True, False])
def test_a_document_is_not_found_twice_where_a_catalogue_is_a_copy_of_another(store, tiny, animals, place, both):
    tiny.fill(store, dict(list(animals.items())[:3]))
    tiny.fill(store, dict(list(animals.items())[3:]))
    before = tiny.dump_of(store)
    files = files_of_head(store, "meta.sqlite")
    files[place].write_bytes(files[1 - place].read_bytes())
    for number, file in enumerate(files_of_head(store, "passage_ids")):
        if both or number == place:
            flip(file, random.Random(number))
    done = repair(store, no_encoder)
    assert done.n_dropped == (3, 2)[place]
    check_repaired(store, tiny, done, before)


@pytest.mark.parametrize("place", [0, 1])
def test_a_row_is_not_found_twice_where_a_block_is_a_copy_of_another(store, tiny, animals, encoding, place):
    tiny.fill(store, dict(list(animals.items())[:3]))
    tiny.fill(store, dict(list(animals.items())[3:]))
    before = tiny.dump_of(store)
    for name in BLOCK_FILES:
        files = files_of_head(store, name)
        files[place].write_bytes(files[1 - place].read_bytes())
    done = repair(store, encoding)
    assert done.n_rows_kept == 0
    check_repaired(store, tiny, done, before)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_damaged_at_once_the_repaired_store_says_nothing_else(tmp_path, tiny, encoding, animals, seed):
    """Random damage to up to five files of a store of several generations, with the same rows in many documents."""
    rng = random.Random(seed)
    origin = tmp_path / "origin"
    words = ["the", "fox", "and", "a", "dog", "bark", "at", "night", "by", "river", "while", "owls", "hunt", "mice"]
    sentences = [" ".join(rng.choices(words, k=rng.randrange(2, 9))) for _ in range(60)]
    texts = {f"{n}.txt": ". ".join(rng.choices(sentences, k=rng.randrange(1, 8))) for n in range(16)}
    names = sorted(texts)
    for start in range(0, 16, 4):
        tiny.fill(origin, {name: texts[name] for name in names[start : start + 4]}, ENCODINGS[seed % 4])
    with Writer.open(origin, tiny.encoder) as writer:
        for id_ in rng.sample(range(1, 17), 3):
            writer.remove_document(id_)
        tiny.put(writer, names[0], "An edited text. the fox barks", id_=1)
        writer.commit()
    before = tiny.dump_of(origin)
    for _ in range(30):
        store = shutil.copytree(origin, tmp_path / "store")
        files = [file for file in tiny.files(store) if file.parts[0] == "seg"]
        damaged = rng.sample(files, rng.randrange(1, 6))
        for file in damaged:
            if (store / file).stat().st_size:
                rng.choice(DAMAGES)(store / file, rng)
        assert verify(store) != []
        done = repair(store, encoding)
        check_repaired(store, tiny, done, before)
        if not any(file.name == "meta.sqlite" for file in damaged):
            assert done.n_dropped == 0
        shutil.rmtree(store)


def test_a_bad_place_of_the_disk_costs_only_the_rows_that_lie_there(store, tiny, encoding, monkeypatch):
    texts = {f"{n}.txt": ". ".join(f"sentence {i} of {n}" for i in range(60)) for n in range(10)}
    tiny.fill(store, texts)
    before = tiny.dump_of(store)
    (vectors,) = files_of_head(store, "vectors")
    inode, real = vectors.stat().st_ino, os.preadv

    def preadv(fd, buffers, offset):
        end = offset + sum(len(buffer) for buffer in buffers)
        if os.fstat(fd).st_ino == inode and offset < 12288 and end > 8192:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    done = repair(store, encoding)
    assert "cannot be read (Input/output error)" in done.mended[0].problem
    assert len(encoding.texts) == len(done.reencoded) == 4096 // (4 * tiny.encoder.vector_width)
    check_repaired(store, tiny, done, before)


def test_a_damaged_head_over_a_damaged_parent_leaves_a_whole_parent(store, tiny, animals, encoding):
    tiny.fill(store, animals)
    before = tiny.dump_of(store)
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        writer.commit()
    parent = read_manifest(store, 1)
    flip(store / "MANIFEST-2", random.Random(1))
    flip(store / "seg" / parent.blocks[0].segment / "states", random.Random(1))
    flip(store / "seg" / parent.catalogues[0].segment / "passage_ids", random.Random(1))
    done = repair(store, encoding)
    assert {mended.file.split("/")[-1] for mended in done.mended} == {"MANIFEST-2", "states", "passage_ids"}
    assert (done.generation, len(done.reencoded), done.n_dropped) == (3, 1, 0)
    check_repaired(store, tiny, done, before)


def test_a_catalogue_that_would_make_sqlite_compute_is_not_asked(store, tiny, animals):
    """A view in the place of a table could keep a query busy for ever."""
    tiny.fill(store, animals)
    (file,) = files_of_head(store, "meta.sqlite")
    file.unlink()
    with sqlite3.connect(file) as connection:
        numbers = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n"
        for table in ("documents", "texts", "passages"):
            connection.execute(f"CREATE VIEW {table} AS {numbers}")
    connection.close()
    done = repair(store, no_encoder)
    assert (done.n_dropped, verify(store)) == (5, [])
