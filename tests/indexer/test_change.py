"""A corpus that changes costs what changed of it; what was removed is gone: at once from answers, then from disk."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from parts.tiny_world import WIDTH, TinyEncoder, World

from deformer_qa.indexer import FileCounts
from deformer_qa.reader.encoder import Encoder
from deformer_qa.store import NothingBefore, Snapshot, Writer, open_snapshot
from deformer_qa.store.newest import NewestSnapshot

SYLLABLES = ("ba", "re", "lo", "mi", "ku", "san", "tor", "vel", "nim", "dra")
SECRET = "Zyqqravel whispered Quoxamine under the Jubblewock."


@pytest.fixture
def real_world(tmp_path: Path, default_encoder: Encoder) -> World:
    """A corpus that is divided into passages as a real one is, and encoded at no cost."""
    (tmp_path / "corpus").mkdir()
    encoder = TinyEncoder(borders=default_encoder.borders, tokenizer=default_encoder.tokenizer)
    return World(tmp_path / "corpus", tmp_path / "store", encoder)


def paragraph(random_: random.Random) -> str:
    def sentence() -> str:
        words = ["".join(random_.choices(SYLLABLES, k=random_.randint(1, 3))) for _ in range(random_.randint(5, 20))]
        return " ".join(words).capitalize() + "."

    return " ".join(sentence() for _ in range(random_.randint(2, 8)))


def test_a_paragraph_inserted_at_the_top_of_a_thousand_passages_encodes_at_most_three(real_world: World) -> None:
    random_ = random.Random(5)
    text = "\n\n".join(paragraph(random_) for _ in range(1200))
    real_world.write("long.txt", text)
    n_passages = real_world.sync(real_world.folder).n_passages
    assert n_passages >= 1000
    ids = {passage.key: passage.id for passage in real_world.passages("long.txt")}
    real_world.write("long.txt", f"{paragraph(random_)}\n\n{text}")
    report = real_world.sync()
    assert report.files == FileCounts(updated=1)
    assert 1 <= report.n_passages_encoded <= 3
    kept = [passage for passage in real_world.passages("long.txt") if ids.get(passage.key) == passage.id]
    assert len(kept) >= n_passages - 3


def finds(snapshot: Snapshot) -> set[str]:
    """The paths of the documents that a search for the secret finds, by its words or among the nearest."""
    hits = [*snapshot.bm25("zyqqravel quoxamine", 100), *snapshot.nearest(np.ones(WIDTH, dtype=np.float32), 100)]
    passages = snapshot.passages([hit.passage_id for hit in hits])
    return {snapshot.document(passage.document_id).path for passage in passages}


def traces(store: Path) -> list[str]:
    contents = [file.read_bytes() for file in store.rglob("*") if file.is_file()]
    words = ("Zyqqravel", "zyqqravel", "Quoxamine", "quoxamin", "Jubblewock", "jubblewock", "cellar")
    return [word for word in words if any(word.encode() in content for content in contents)]


def test_a_folder_moved_encodes_nothing_then_deleted_answers_no_more_then_compacted_is_in_no_file(world: World) -> None:
    world.write_small_corpus()
    world.write("cellar/secret.txt", f"{SECRET}\nSecond line of one.\n")
    world.write("cellar/deep/more.md", f"# Hidden\n\nAlso {SECRET}\n")
    world.sync(world.folder)
    newest = NewestSnapshot(world.store)
    assert {"cellar/secret.txt", "cellar/deep/more.md"} < finds(newest.get())

    (world.folder / "cellar").rename(world.folder / "vault")
    report = world.sync()
    assert (report.files, report.n_passages_encoded) == (FileCounts(moved=2, unchanged=4), 0)

    for file in ("vault/secret.txt", "vault/deep/more.md"):
        (world.folder / file).unlink()
    assert world.sync().files == FileCounts(removed=2, unchanged=4)
    assert not any(path.startswith("vault") for path in finds(newest.get()))
    with open_snapshot(world.store) as snapshot:
        assert not any(path.startswith("vault") for path in finds(snapshot))
        before = world.answers()
    assert traces(world.store), "a removal is a note in the manifest: the text is erased by a compaction"

    with Writer.open(world.store, None) as writer:
        writer.compact()
    assert traces(world.store) == []
    assert world.answers() == before
    assert not any(path.startswith("vault") for path in finds(newest.get()))
    assert world.sync().files == FileCounts(unchanged=4)
    with Writer.open(world.store, None) as writer, pytest.raises(NothingBefore, match='removed by "qa compact"'):
        writer.rollback()
    newest.close()


def test_after_a_rollback_the_next_sync_brings_the_index_up_to_date_again(world: World) -> None:
    world.write_small_corpus()
    world.sync(world.folder)
    before = world.answers()
    other = world.folder.with_name("other")
    other.mkdir()
    (other / "x.txt").write_text("Text of x.")
    world.write("one.txt", "First line of one.\nAnother second line.\n")
    world.sync(world.folder, other)
    after = world.answers()
    with Writer.open(world.store, None) as writer:
        writer.rollback()
    assert (world.answers(), world.roots()) == (before, (str(world.folder),))
    report = world.sync(world.folder, other)
    assert report.files == FileCounts(added=1, updated=1, unchanged=3)
    assert world.answers() == after


def test_a_document_that_waits_for_its_last_passages_is_encoded_anew_after_a_compaction(world: World) -> None:
    world.write("long.txt", "".join(f"Line {number} of it.\n" for number in range(20)))
    world.write("short.txt", "A short one.")
    world.sync(world.folder / "short.txt")

    def interrupt(text: str) -> None:
        if text == "Line 15 of it.":
            raise KeyboardInterrupt

    world.encoder.fail_at = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.sync(world.folder)
    world.encoder.fail_at = lambda text: None
    with Writer.open(world.store, None) as writer:
        writer.compact()
    assert world.sync(world.folder).n_passages_encoded == 20
    assert len(world.answers()["long.txt"]) == 20
