"""Many small commits answer as one large one, and a merge leaves few segments without changing an answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deformer_qa.store import StoreDamaged, Writer, open_snapshot, verify
from deformer_qa.store.upkeep import merge

WORDS = ("fox", "dog", "river", "night", "owl", "hen", "trout", "bark", "hunt", "sleep", "quiet", "moon", "wind")


def sixty_texts() -> dict[str, str]:
    rng = np.random.default_rng(3)
    return {
        f"{number}.txt": ". ".join(
            " ".join(rng.choice(WORDS, size=rng.integers(3, 12))) for _ in range(rng.integers(1, 5))
        )
        for number in range(60)
    }


def answers(snapshot, tiny):
    rng = np.random.default_rng(4)
    queries = ["fox", "quiet owl night", "dog river hunt bark", "moon stone wind reed"]
    return [
        [(hit.passage_id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]
        for query in queries
        for hits in (snapshot.bm25(query, 20), snapshot.nearest(rng.standard_normal(8).astype(np.float32), 20))
    ]


def test_sixty_commits_of_one_document_answer_as_one_commit_of_sixty(tmp_path, tiny):
    texts = sixty_texts()
    tiny.fill(tmp_path / "one", texts)
    with open_snapshot(tmp_path / "one") as snapshot:
        expected = answers(snapshot, tiny)
    for path, text in texts.items():
        with Writer.open(tmp_path / "sixty", tiny.encoder) as writer:
            tiny.put(writer, path, text)
            writer.set_roots([tiny.root])
            writer.commit()
    with open_snapshot(tmp_path / "sixty") as snapshot:
        assert snapshot.generation >= 60
        assert answers(snapshot, tiny) == expected
    with Writer.open(tmp_path / "sixty", tiny.encoder) as writer:
        writer.merge()
        assert not writer.merge()
    with open_snapshot(tmp_path / "sixty") as snapshot:
        assert answers(snapshot, tiny) == expected
        assert snapshot.size_report()["n_segments"] <= 4
    assert tiny.dump_of(tmp_path / "sixty") == tiny.dump_of(tmp_path / "one")
    assert verify(tmp_path / "sixty") == []


def test_sixty_commits_each_followed_by_a_merge_leave_a_handful_of_segments(store, tiny):
    texts = sixty_texts()
    with Writer.open(store, tiny.encoder) as writer:
        for path, text in texts.items():
            tiny.put(writer, path, text)
            writer.commit()
            writer.merge()
        assert writer.snapshot is not None
        assert writer.snapshot.size_report()["n_segments"] <= 8
        assert writer.snapshot.n_documents == 60
    assert len(tiny.orphans(store)) == 0


def test_a_merge_leaves_out_what_died_and_changes_no_answer(store, tiny, animals):
    ids = [tiny.fill(store, {path: text})[0] for path, text in animals.items()]
    with Writer.open(store, tiny.encoder) as writer:
        writer.remove_document(ids[0])
        tiny.put(writer, "dog.txt", "Dogs bark loudly. Quite another text", id_=ids[1])
        writer.commit()
    before = tiny.dump_of(store)
    with Writer.open(store, tiny.encoder) as writer:
        writer.merge()
        assert writer.snapshot is not None
        report = writer.snapshot.size_report()
    assert tiny.dump_of(store) == before
    assert (report["n_dead_rows"], report["n_deleted_documents"], report["n_segments"]) == (0, 0, 2)


def test_a_merge_of_fp16_states_copies_them_as_they_are(store, tiny, animals):
    for path, text in animals.items():
        tiny.fill(store, {path: text}, "fp16")
    before = tiny.dump_of(store)
    with Writer.open(store, tiny.encoder) as writer:
        assert writer.merge()
    assert tiny.dump_of(store) == before


def test_a_damaged_segment_is_not_merged(store, tiny, animals):
    for path, text in animals.items():
        tiny.fill(store, {path: text})
    victim = next(store.glob("seg/2-*/states"))
    content = bytearray(victim.read_bytes())
    content[3] ^= 1
    victim.write_bytes(content)
    with Writer.open(store, tiny.encoder) as writer, pytest.raises(StoreDamaged, match="states: the checksum does not"):
        writer.merge()
    with open_snapshot(store) as snapshot:
        assert (snapshot.generation, snapshot.n_documents) == (5, 5)
    assert tiny.orphans(store) == []


def test_large_segments_are_left_alone(store, tiny, animals, monkeypatch):
    monkeypatch.setattr(merge, "SMALL_BLOCK_BYTES", 1)
    monkeypatch.setattr(merge, "SMALL_CATALOGUE_ROWS", 1)
    monkeypatch.setattr(merge, "SMALL_BLOCK_SHARE", 0)
    monkeypatch.setattr(merge, "SMALL_CATALOGUE_SHARE", 0)
    for path, text in animals.items():
        tiny.fill(store, {path: text})
    with Writer.open(store, tiny.encoder) as writer:
        assert not writer.merge()
        assert writer.snapshot is not None
        assert writer.snapshot.size_report()["n_segments"] == 10


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 1000), max_size=120))
def test_merging_after_every_commit_keeps_segments_few_and_copies_little(sizes):
    limit, segments, copied = 10_000, [], 0
    for size in sizes:
        segments.append(size)
        groups = merge.groups_to_merge(segments, segments, limit)
        chosen = {number for group in groups for number in group}
        merged = [sum(segments[number] for number in group) for group in groups]
        copied += sum(merged)
        segments = [size for number, size in enumerate(segments) if number not in chosen] + merged
        small = [size for size in segments if size < limit]
        assert len(small) <= math_log(sum(small), 3) + 1
    assert sum(segments) == sum(sizes)
    assert copied <= sum(sizes) * (math_log(limit, 1.5) + 1)


def math_log(value: float, base: float) -> float:
    return float(np.log(max(value, 1)) / np.log(base))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=12))
def test_a_segment_that_is_mostly_dead_is_written_anew(sizes):
    live = [min(pair) for pair in sizes]
    whole = [sum(pair) for pair in sizes]
    chosen = {number for group in merge.groups_to_merge(live, whole, 10_000) for number in group}
    assert {number for number in range(len(sizes)) if 2 * live[number] < whole[number]} <= chosen


def test_a_store_of_any_size_has_few_segments_and_each_row_was_copied_a_few_times():
    """A thousand commits of a quarter of a gigabyte, merged where a commit leaves more than forty segments."""
    commit, segments, copied = 256 << 20, [], 0
    for _ in range(1000):
        segments.append(commit)
        if len(segments) > 40:
            large = merge.limit(segments, merge.SMALL_BLOCK_BYTES, merge.SMALL_BLOCK_SHARE)
            groups = merge.groups_to_merge(segments, segments, large)
            made = [sum(segments[number] for number in group) for group in groups]
            chosen = {number for group in groups for number in group}
            segments = [size for number, size in enumerate(segments) if number not in chosen] + made
            copied += sum(made)
            assert len(segments) <= 9
    assert sum(segments) == 1000 * commit
    assert copied <= 6 * sum(segments)
