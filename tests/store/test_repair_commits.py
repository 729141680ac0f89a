"""A repair is a commit: all of it or nothing, under the lock, whatever happens; and what it does to manifests."""

from __future__ import annotations

import random
import shutil

import pytest
from parts.damage import (
    Encoding,
    become_a_folder,
    check_repaired,
    contents,
    cut,
    files_of_head,
    flip,
    no_encoder,
    remove,
)

from deformer_qa.store import EncoderInfo, EncoderMismatch, RowEncoder, StoreLocked, Writer, disk, repair, verify
from deformer_qa.store.generations import find_head, read_manifest


@pytest.fixture
def encoding(tiny) -> Encoding:
    return Encoding(tiny)


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
