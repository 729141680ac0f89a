"""Who stays sees the newest generation, and opens of it only what is new."""

from __future__ import annotations

import itertools
import shutil

from deformer_qa.store import names
from deformer_qa.store.newest import NewestSnapshot


def test_a_new_generation_shares_the_open_files_of_the_old(tmp_path, tiny):
    tiny.fill(tmp_path, {"a.txt": "A river in a city"})
    newest = NewestSnapshot(tmp_path)
    first = newest.get()
    assert newest.get() is first
    tiny.fill(tmp_path, {"b.txt": "Another river"})
    second = newest.get()
    assert tiny.dump(second) == tiny.dump_of(tmp_path)
    assert first.n_documents == 1
    assert second.blocks[0].files is first.blocks[0].files
    assert second.catalogues[0].files is first.catalogues[0].files
    first.close()
    assert tiny.dump(second) == tiny.dump_of(tmp_path)


def test_a_generation_that_was_closed_is_no_source_of_open_files(tmp_path, tiny):
    tiny.fill(tmp_path, {"a.txt": "A river in a city"})
    newest = NewestSnapshot(tmp_path)
    newest.get().close()
    tiny.fill(tmp_path, {"b.txt": "Another river"})
    assert tiny.dump(newest.get()) == tiny.dump_of(tmp_path)


def test_segments_of_another_store_in_this_place_are_opened_though_they_have_the_same_names(
    tmp_path, tiny, monkeypatch
):
    place, aside = tmp_path / "store", tmp_path / "aside"

    def begin_names_anew():
        numbers = itertools.count()
        monkeypatch.setattr(names, "token_hex", lambda n_bytes: f"{next(numbers):0{2 * n_bytes}x}")

    begin_names_anew()
    tiny.fill(place, {"a.txt": "A river in a city"})
    newest = NewestSnapshot(place)
    old = newest.get()
    begin_names_anew()
    tiny.fill(aside, {"a.txt": "Two dogs at a river"})
    tiny.fill(aside, {"b.txt": "A fox"})
    shutil.rmtree(place)
    aside.rename(place)
    new = newest.get()
    assert old.blocks[0].entry.segment == new.blocks[0].entry.segment
    assert tiny.dump(new) == tiny.dump_of(place)


def test_a_store_put_back_is_opened_anew(tmp_path, tiny):
    place, copy = tmp_path / "store", tmp_path / "copy"
    tiny.fill(place, {"a.txt": "A river in a city"})
    shutil.copytree(place, copy)
    newest = NewestSnapshot(place)
    damaged = newest.get()
    shutil.rmtree(place)
    copy.rename(place)
    assert newest.get().blocks[0].files is not damaged.blocks[0].files
