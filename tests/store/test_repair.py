"""A damaged store is made whole again: nothing is said otherwise than before, but for documents that it names."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3

import numpy as np
import pytest

from deformer_qa.store import (
    EncoderInfo,
    EncoderMismatch,
    RowEncoder,
    StoreLocked,
    Writer,
    disk,
    open_snapshot,
    repair,
    verify,
)
from deformer_qa.store.encodings import ENCODING_NAMES
from deformer_qa.store.generations import find_head, read_manifest

BLOCK_FILES = ("vectors", "states", "scales", "offsets", "keys", "lookup", "sums")
CATALOGUE_FILES = ("meta.sqlite", "passage_ids", "passage_documents", "passage_lengths")


class Encoding:
    """The tiny encoder as the store sees it; counts what it is asked."""

    def __init__(self, tiny) -> None:
        self.tiny = tiny
        self.texts: list[str] = []

    def __call__(self) -> RowEncoder:
        return RowEncoder(self.tiny.encoder, self._encode)

    def _encode(self, text):
        self.texts.append(text)
        return self.tiny.vector(text), self.tiny.states(text)


@pytest.fixture
def encoding(tiny) -> Encoding:
    return Encoding(tiny)


def no_encoder() -> RowEncoder:
    raise AssertionError("nothing here needs the encoder")


def flip(file, rng) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def cut(file, rng) -> None:
    os.truncate(file, rng.randrange(file.stat().st_size))


def zero(file, rng) -> None:
    content = bytearray(file.read_bytes())
    start = rng.randrange(0, len(content), 4096)
    end = min(start + 4096, len(content))
    content[start:end] = bytes(end - start)
    file.write_bytes(content)


def lengthen(file, rng) -> None:
    file.write_bytes(file.read_bytes() + b"\1" * rng.randrange(1, 100))


def remove(file, rng) -> None:
    file.unlink()


def become_a_folder(file, rng) -> None:
    file.unlink()
    file.mkdir()
    (file / "something").write_text("else")


def become_a_link(file, rng) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


DAMAGES = (flip, cut, zero, lengthen, remove, become_a_folder, become_a_link)


def files_of_head(store, name):
    segments = [entry for entry in find_head(store).manifest.segments if name in entry.files]
    return [store / "seg" / entry.segment / name for entry in segments]


def without(dump, dropped):
    """What a dump says of the documents that stay, but for what hangs on all passages together: BM25's scores."""
    ids = {one.id for one in dropped}
    passages = [place for place, passage in enumerate(dump["passages"]) if passage.document_id not in ids]
    stays = {dump["passages"][place].id for place in passages}
    return {
        "roots": dump["roots"],
        "documents": [document for document in dump["documents"] if document.id not in ids],
        "infos": [info for info in dump["infos"] if info.id not in ids],
        **{name: [dump[name][place] for place in passages] for name in ("passages", "texts", "vectors", "states")},
        "nearest": [hit for hit in dump["nearest"] if hit.passage_id in stays],
        "bm25": {hit.passage_id for hit in dump["bm25"] if hit.passage_id in stays},
    }


def check_repaired(store, tiny, done, before) -> None:
    """The store is healthy, says what it said but for what it named, and the next writer finds nothing amiss."""
    assert verify(store) == []
    assert done.unrepaired == ()
    after = tiny.dump_of(store)
    n_before, n_after = before["counts"][0], after["counts"][0]
    assert n_before - n_after == done.n_dropped
    if done.n_dropped == 0:
        assert after == before
    elif not done.n_dropped_unknown:
        assert without(after, ()) == without(before, done.dropped)
    check_bookkeeping(store)


def check_bookkeeping(store) -> None:
    """Each live key is in one block, and a row is dead if and only if no live passage refers to it."""
    with open_snapshot(store) as snapshot:
        assert snapshot.notice is None
        live = {p.key for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)}
        found = []
        for block in snapshot.blocks:
            for row in range(block.entry.n_rows):
                is_live = bool(block.are_live(np.array([row]))[0])
                assert is_live == (block.files.key(row) in live)
                if is_live:
                    found.append(block.files.key(row))
        assert sorted(found) == sorted(live)


def contents(store):
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.name != "LOCK"
    }


def test_a_healthy_store_stays_as_it_is(filled):
    before = contents(filled)
    done = repair(filled, no_encoder)
    assert (done.generation, done.mended, done.n_dropped) == (None, (), 0)
    assert contents(filled) == before


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", BLOCK_FILES + CATALOGUE_FILES)
@pytest.mark.parametrize("state_encoding", ENCODING_NAMES)
def test_each_kind_of_damage_to_each_kind_of_file_is_repaired(
    store, tiny, animals, encoding, name, damage, state_encoding
):
    if name == "scales" and state_encoding != "int8":
        pytest.skip("only int8 has scales")
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


def test_a_damaged_head_gives_way_to_its_parent(filled, tiny):
    flip(filled / "MANIFEST-2", random.Random(1))
    done = repair(filled, no_encoder)
    assert [mended.file for mended in done.mended] == ["MANIFEST-2"]
    assert "generation 1 answers" in done.mended[0].action
    assert done.generation is None
    assert verify(filled) == []
    assert (filled / "MANIFEST-2.damaged").exists()


@pytest.mark.parametrize("damage", [flip, cut, remove, become_a_folder])
def test_a_damaged_parent_is_let_go(filled, tiny, damage):
    before = tiny.dump_of(filled)
    damage(filled / "MANIFEST-1", random.Random(1))
    done = repair(filled, no_encoder)
    assert [mended.action for mended in done.mended] == ["let go with the parent generation"]
    check_repaired(filled, tiny, done, before)
    assert find_head(filled).manifest.parent == 2
    with Writer.open(filled, tiny.encoder) as writer:  # nothing stands in the way of the next one
        tiny.put(writer, "new.txt", "Entirely new")
        assert writer.commit() == 4


def test_damage_that_only_the_parent_has_lets_it_go(store, tiny, animals):
    tiny.fill(store, animals)
    with Writer.open(store, tiny.encoder) as writer:
        for id_ in (1, 2, 3, 4, 5):
            writer.remove_document(id_)
        tiny.put(writer, "new.txt", "Entirely new")
        writer.commit()
    before = tiny.dump_of(store)
    parent = read_manifest(store, 1).catalogues[0].segment
    flip(store / "seg" / parent / "meta.sqlite", random.Random(1))
    done = repair(store, no_encoder)
    check_repaired(store, tiny, done, before)
    assert find_head(store).manifest.parent == 2
    assert not (store / "seg" / parent).exists()


def test_a_whole_parent_stays_beside_a_repaired_head(store, tiny, animals, encoding):
    tiny.fill(store, dict(list(animals.items())[:3]))
    tiny.fill(store, dict(list(animals.items())[3:]))
    before = tiny.dump_of(store)
    flip(files_of_head(store, "states")[1], random.Random(1))  # the parent has no part in it
    done = repair(store, encoding)
    check_repaired(store, tiny, done, before)
    assert (find_head(store).manifest.generation, find_head(store).manifest.parent) == (3, 1)


def test_what_cannot_be_repaired_is_said_and_nothing_is_changed(filled):
    for name in ("MANIFEST-1", "MANIFEST-2"):
        flip(filled / name, random.Random(1))
    before = contents(filled)
    done = repair(filled, no_encoder)
    assert [damage.file for damage in done.unrepaired] == ["MANIFEST-2", "MANIFEST-1"]
    assert contents(filled) == before


def test_a_repair_does_not_follow_a_link_out_of_the_store(filled, tmp_path):
    (filled / "seg").rename(tmp_path / "outside")
    (filled / "seg").symlink_to(tmp_path / "outside")
    before = contents(tmp_path / "outside")
    done = repair(filled, no_encoder)
    assert [damage.file for damage in done.unrepaired] == ["seg"]
    assert contents(tmp_path / "outside") == before


def test_another_encoder_is_refused_and_the_store_stays_as_it_was(filled, tiny):
    flip(files_of_head(filled, "vectors")[0], random.Random(1))
    before = contents(filled)
    other = EncoderInfo("another", 8, 6, {})
    with pytest.raises(EncoderMismatch, match="another"):
        repair(filled, lambda: RowEncoder(other, lambda text: (tiny.vector(text), tiny.states(text))))
    assert contents(filled) == before


def test_a_repair_waits_for_no_other_writer(filled, tiny):
    with Writer.open(filled, tiny.encoder), pytest.raises(StoreLocked):
        repair(filled, no_encoder)


class Killed(BaseException):
    """Stands for the death of the process."""


def dying_at(call, monkeypatch):
    """From the i-th step of the disk on, nothing is done any more; gives the counter."""
    counter = {"calls": 0}

    def wrapped(function):
        def run(*arguments):
            counter["calls"] += 1
            if counter["calls"] >= call:
                raise Killed
            return function(*arguments)

        return run

    for step in disk.STEPS:
        monkeypatch.setattr(disk, step, wrapped(getattr(disk, step)))
    return counter


def test_a_repair_that_dies_at_any_step_leaves_the_store_as_it_was_or_repaired(filled, tiny, encoding, tmp_path):
    before = tiny.dump_of(filled)
    rng = random.Random(5)
    for name in ("states", "meta.sqlite", "lookup"):
        for file in files_of_head(filled, name):
            flip(file, rng)
    damages = verify(filled)
    finished = shutil.copytree(filled, tmp_path / "finished")
    with pytest.MonkeyPatch.context() as patch:
        counter = dying_at(1 << 30, patch)
        expected = repair(finished, encoding)
    after = tiny.dump_of(finished)
    check_repaired(finished, tiny, expected, before)
    outcomes = []
    for call in range(1, counter["calls"] + 1):
        store = shutil.copytree(filled, tmp_path / f"at-{call}")
        with pytest.MonkeyPatch.context() as patch:
            dying_at(call, patch)
            with pytest.raises(Killed):
                repair(store, encoding)
        found = verify(store)
        outcomes.append(found == [])
        assert found in ([], damages)
        done = repair(store, encoding)
        assert (done.generation is None) == outcomes[-1]
        assert tiny.dump_of(store) == after
        with Writer.open(store, tiny.encoder):
            assert tiny.orphans(store) == []
        shutil.rmtree(store)
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


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
        tiny.fill(origin, {name: texts[name] for name in names[start : start + 4]}, ENCODING_NAMES[seed % 2])
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
