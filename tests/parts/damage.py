"""Ways to damage a store, and what must be so after its repair."""

from __future__ import annotations

import os

import numpy as np

from deformer_qa.store import RowEncoder, names, open_snapshot, verify
from deformer_qa.store.generations import find_head
from parts.tiny_store import tiny_codebook

BLOCK_FILES = ("vectors", "states", "scales", "offsets", "keys", "lookup", "sums")
CATALOGUE_FILES = ("meta.sqlite", *sorted(names.CATALOGUE_FILES - {names.CATALOGUE}))


class Encoding:
    """The tiny encoder as the store sees it; counts what it is asked."""

    def __init__(self, tiny) -> None:
        self.tiny = tiny
        self.texts: list[str] = []

    def __call__(self) -> RowEncoder:
        return RowEncoder(self.tiny.encoder, self._encode, tiny_codebook())

    def _encode(self, text):
        self.texts.append(text)
        return self.tiny.vector(text), self.tiny.states(text)


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
