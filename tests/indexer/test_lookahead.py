"""Passages are encoded on several threads ahead of the writer, and nobody sees it in the store."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from parts.tiny_world import Encoded, Span, TinyEncoder, WordBorders, World

from deformer_qa.indexer import Event, FileCounts, FileDone
from deformer_qa.indexer.sync import sync
from deformer_qa.reader.encoder import Encoder


@pytest.mark.usefixtures("later")
def test_the_store_is_the_same_to_the_byte_on_one_thread_and_on_four(
    world: World, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write_small_corpus()
    for number in range(12):
        lines = [f"The river of city {number % 7} and word {number * line}, of what was." for line in range(1, 60)]
        world.write(f"more/{number}.txt", "\n".join(lines))
    world.write("refused.txt", "poison of the city")
    encode = tiny_encoder.encode

    def refuse(text: str) -> Any:
        if "poison" in text:
            raise ValueError
        return encode(text)

    monkeypatch.setattr(tiny_encoder, "encode", refuse)
    found = []
    for n_threads in (1, 4):
        numbers = count()
        monkeypatch.setattr("deformer_qa.store.names.token_hex", lambda n: f"{next(numbers):0{2 * n}x}")  # noqa: B023
        store = tmp_path / str(n_threads)
        report = sync(store, tiny_encoder, [world.folder], n_threads=n_threads, commit_bytes=200_000)
        assert report.files == FileCounts(added=16, skipped=1)
        assert report.generation is not None
        assert report.generation > 2, "it also commits in between"
        files = (file for file in store.rglob("*") if file.is_file() and file.name != "LOCK")
        found.append(({str(file.relative_to(store)): file.read_bytes() for file in files}, report))
    assert found[0] == found[1]


class Meeting(TinyEncoder):
    """Encodes only while as many threads do so as are wanted."""

    def __init__(self, n_threads: int) -> None:
        super().__init__()
        self._barrier = threading.Barrier(n_threads, timeout=60)

    def encode(self, text: str) -> Encoded:
        self._barrier.wait()
        return super().encode(text)


@pytest.mark.parametrize("n_threads", [4, None])
def test_as_many_threads_encode_at_once_as_are_wanted(
    world: World, monkeypatch: pytest.MonkeyPatch, n_threads: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 7}, raising=False)
    world.encoder = Meeting(n_threads or 3)
    for number in range(4):
        world.write(f"{number}.txt", "".join(f"Line {line} of {number}.\n" for line in range(3)))
    assert world.sync(world.folder, n_threads=n_threads).files == FileCounts(added=4)
    assert world.answers()["3.txt"] == ["Line 0 of 3.", "Line 1 of 3.", "Line 2 of 3."]


def test_a_text_that_many_documents_hold_is_encoded_once(world: World) -> None:
    for number in range(9):
        world.write(f"{number}.txt", f"Words of all.\nWords of {number}.\n")
    assert world.sync(world.folder, n_threads=2).n_passages_encoded == 10
    assert len(world.encoder.encoded) == 10


class Counted(WordBorders):
    """Counts the documents that it divides."""

    n_documents = 0

    def split(self, text: str, tokenizer: Any) -> list[Span]:
        self.n_documents += 1
        return super().split(text, tokenizer)


@pytest.mark.parametrize(("most", "n_files_ahead"), [("_MOST_STEPS", 20), ("_MOST_CHARACTERS", 2)])
def test_only_so_much_is_read_ahead(
    world: World, monkeypatch: pytest.MonkeyPatch, most: str, n_files_ahead: int
) -> None:
    monkeypatch.setattr(f"deformer_qa.indexer.lookahead.{most}", 20)
    borders = Counted()
    world.encoder = replace(world.encoder, borders=borders)
    for number in range(50):
        world.write(f"{number}.txt", f"Words of {number}.")
    ahead = []

    def watch(event: Event) -> None:
        if isinstance(event, FileDone):
            ahead.append(borders.n_documents - len(ahead))

    world.sync(world.folder, on_event=watch)
    assert len(ahead) == 50
    assert max(ahead) <= n_files_ahead


def test_the_rest_of_a_refused_document_is_not_encoded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deformer_qa.indexer.lookahead._MOST_STEPS", 20)

    def fail(text: str) -> None:
        if text == "Line 3.":
            raise ValueError

    world.encoder.fail_at = fail
    world.write("long.txt", "".join(f"Line {line}.\n" for line in range(500)))
    world.write("short.txt", "Words.")
    assert world.sync(world.folder).files == FileCounts(added=1, skipped=1)
    assert len(world.encoder.encoded) < 50
    assert world.answers() == {"short.txt": ["Words."]}
