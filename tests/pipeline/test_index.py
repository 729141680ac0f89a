"""The Python interface in one class, on real files and the tiny reader."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deformer_qa import Index
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.errors import BadFilter
from deformer_qa.pipeline.readers import shared_reader
from deformer_qa.store import EncoderMismatch, NothingBefore, StoreMissing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.txt").write_text(f"the river {number} was in the city of {number}{number}")
    return folder


def test_open_index_ask_search_iterate(folder: Path, tmp_path: Path, tiny_reader: Path) -> None:
    with Index(tmp_path / "store", reader=tiny_reader) as index:
        with pytest.raises(StoreMissing):
            index.ask("who")
        assert index.index(folder).files.added == 6
        assert index.index().files.unchanged == 6
        assert [one.path for one in index] == [f"{number}.txt" for number in range(6)]
        assert len(index) == 6
        with Pipeline.open(tmp_path / "store", shared_reader(str(tiny_reader))) as pipeline:
            found, expected = index.ask("where was the river 3"), pipeline.ask("where was the river 3")
            assert found.answers == expected.answers
            assert index.search("city", n=2) == pipeline.search("city", n=2)
            assert index.ask("where was the river 3", where='path == "1.txt"').answers[0].place.path == "1.txt"
            assert {one.place.path for one in index.search("city", where='path < "2"')} == {"0.txt", "1.txt"}
            with pytest.raises(BadFilter, match="column 6: found ="):
                index.search("city", where="path = 2")
        place = found.answers[0].place
        assert index.text(place.document)[place.start : place.end] == place.text


def test_a_commit_is_seen_by_the_next_call(folder: Path, tmp_path: Path, tiny_reader: Path) -> None:
    index = Index(tmp_path / "store", reader=tiny_reader)
    index.index(folder)
    before = index.ask("where was the river").generation
    (folder / "new.txt").write_text("who was in the river")
    Index(tmp_path / "store", reader=tiny_reader).index()
    assert index.ask("where was the river").generation > before
    assert len(index) == 7


def test_threads_ask_while_another_indexes(folder: Path, tmp_path: Path, tiny_reader: Path) -> None:
    index = Index(tmp_path / "store", reader=tiny_reader)
    index.index(folder)
    expected = {n: index.ask(f"where was the river {n}").answers[0].place.text for n in range(6)}

    def write() -> None:
        for number in range(8):
            (folder / "other.txt").write_text("zz " * (number + 1))
            index.index()

    with ThreadPoolExecutor(5) as threads:
        writing = threads.submit(write)
        asked = [threads.submit(index.ask, f"where was the river {n % 6}") for n in range(60)]
        writing.result()
        for number, one in enumerate(asked):
            assert one.result().answers
            assert expected[number % 6]


def test_a_store_of_another_encoder_is_refused(folder: Path, tmp_path: Path, tiny_reader: Path) -> None:
    Index(tmp_path / "store", reader=tiny_reader).index(folder)
    with pytest.raises(EncoderMismatch):
        Index(tmp_path / "store").ask("who")


def test_going_back_and_compacting_are_seen_by_the_next_call(folder: Path, tmp_path: Path, tiny_reader: Path) -> None:
    index = Index(tmp_path / "store", reader=tiny_reader)
    with pytest.raises(StoreMissing):
        index.rollback()
    index.index(folder)
    (folder / "new.txt").write_text("who was in the river")
    index.index()
    assert (index.rollback(), len(index)) == (3, 6)
    assert (index.rollback(), len(index)) == (4, 7)
    assert (index.compact(), len(index)) == (5, 7)
    with pytest.raises(NothingBefore):
        index.rollback()
