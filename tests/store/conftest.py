"""A tiny encoder and a shelf of documents, so that thousands of store runs cost seconds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts.tiny_store import ANIMALS, ENCODER, Tiny

from deformer_qa.store import Writer, disk


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can cut the power, so none waits for the disk; that a commit syncs in order is a test of its own."""
    monkeypatch.setattr(disk, "sync_file", lambda fd: None)
    monkeypatch.setattr(disk, "sync_directory", lambda path: None)


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory where the system has one: these tests make and remove thousands of small files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where a test's store is to be; nothing is there yet."""
    return tmp_path / ".qa"


@pytest.fixture
def animals() -> dict[str, str]:
    """Texts of five documents, some of their sentences in two of them."""
    return dict(ANIMALS)


@pytest.fixture
def filled(store: Path, tiny: Tiny, animals: dict[str, str]) -> Path:
    """A store of two generations: the animals, then an edit of one document and a removal."""
    ids = tiny.fill(store, animals)
    with Writer.open(store, ENCODER) as writer:
        tiny.put(writer, "dog.txt", "Dogs bark loudly. The dog wakes near the river bank", id_=ids[1])
        writer.remove_document(ids[3])
        writer.commit()
    return store
