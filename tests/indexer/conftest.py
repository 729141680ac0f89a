"""A corpus folder with a store beside it, for every test that wants one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from parts.tiny_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty corpus folder, and no store yet."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    return World(folder, tmp_path / "store")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes an hour ahead, so that files written now are no longer young."""
    now = time.time_ns
    monkeypatch.setattr("deformer_qa.indexer.files.time.time_ns", lambda: now() + 3600 * 10**9)
