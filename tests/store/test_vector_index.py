"""A vector index proposes rows and decides nothing: answers stay whole, filtered, checked, whatever becomes of it."""

from __future__ import annotations

import numpy as np
import pytest

from deformer_qa.store import InvalidRecord, Writer, index_choice, open_snapshot, verify
from deformer_qa.store.index_choice import by_size, parsed
from deformer_qa.store.manifest import BlockEntry, CoveredBlock, IndexEntry
from deformer_qa.store.upkeep import reindex

FACTORIES = ("IVF8,SQ8", "IVF8_HNSW4,SQ8")


@pytest.fixture
def few_rows(monkeypatch):
    """Stores of more than 20 rows have an index."""
    monkeypatch.setattr(index_choice, "FLAT_ROWS", 20)


@pytest.fixture
def indexed(store, tiny, few_rows):
    """Forty documents of five passages each, and an index over them."""
    with Writer.open(store, tiny.encoder) as writer:
        for number in range(40):
            tiny.put(writer, f"{number}.txt", ". ".join(f"Document {number} has row {row}" for row in range(5)))
        writer.merge()
    return store


def questions(n=20):
    return np.random.default_rng(5).standard_normal((n, 8)).astype(np.float32)


def ids_of(hits):
    return [hit.passage_id for hit in hits]


def recall_of(snapshot, n=10, among=None):
    """The share of the exact answer found, with every score that of the exact search."""
    n_found = n_wanted = 0
    for question in questions():
        wanted = snapshot.nearest(question, n, among, exact=True)
        found = snapshot.nearest(question, n, among)
        exact_scores = {hit.passage_id: hit.score for hit in snapshot.nearest(question, 10_000, among, exact=True)}
        assert len(found) == len(wanted)
        assert all(exact_scores[hit.passage_id] == hit.score for hit in found)
        assert found == sorted(found, key=lambda hit: (-hit.score, hit.passage_id))
        n_found += len(set(ids_of(found)) & set(ids_of(wanted)))
        n_wanted += len(wanted)
    return n_found / n_wanted


def test_a_merge_makes_an_index_of_a_store_that_is_large_enough(indexed, tiny):
    with open_snapshot(indexed) as snapshot:
        (index,) = snapshot.manifest.indexes
        assert index.factory == str(by_size(200))
        assert index.n_rows == 200
        assert recall_of(snapshot) > 0.9
    assert verify(indexed) == []
    assert tiny.orphans(indexed) == []


def test_a_small_store_has_none(filled, tiny):
    with Writer.open(filled, tiny.encoder) as writer:
        writer.merge()
        assert writer.snapshot is not None
        assert writer.snapshot.manifest.indexes == ()


def test_a_second_merge_has_nothing_to_do(indexed, tiny):
    with Writer.open(indexed, tiny.encoder) as writer:
        assert not writer.merge()


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_factory_string_is_kept_and_used_from_the_first_row_on(filled, tiny, factory):
    with Writer.open(filled, tiny.encoder) as writer:
        writer.set_vector_index(factory)
        assert writer.merge()
    with Writer.open(filled, tiny.encoder) as writer:
        assert writer.snapshot is not None
        assert (writer.snapshot.manifest.vector_index, writer.snapshot.manifest.indexes[0].factory) == (
            factory,
            factory,
        )
        assert recall_of(writer.snapshot, n=3) > 0.9
        tiny.put(writer, "more.txt", "One more text")
        writer.merge()
        assert writer.snapshot.manifest.vector_index == factory
        writer.set_vector_index("flat")
        assert writer.merge()
        assert writer.snapshot.manifest.indexes == ()
    assert verify(filled) == []


@pytest.mark.parametrize(
    "wrong", ["IVF0,SQ8", "IVF8", "IVF8,PQ4", "HNSW32", "IVF9999999,SQ8", "IVF8_HNSW1,SQ8", "", "fast"]
)
def test_a_factory_string_that_a_store_cannot_hold_is_refused(filled, tiny, wrong):
    with Writer.open(filled, tiny.encoder) as writer, pytest.raises(InvalidRecord, match="expected auto, flat, or a"):
        writer.set_vector_index(wrong)


def test_rows_added_after_the_index_are_found_at_once(indexed, tiny):
    with Writer.open(indexed, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "A row that no index knows")
        writer.commit()
        assert writer.snapshot is not None
        assert len(writer.snapshot.manifest.indexes) == 1
        question = tiny.vector("A row that no index knows")
        exact = ids_of(writer.snapshot.nearest(question, 9, exact=True))
        assert 201 in exact
        assert 201 in ids_of(writer.snapshot.nearest(question, 9))


def test_removed_rows_are_found_no_more_and_others_in_their_place(indexed, tiny):
    with Writer.open(indexed, tiny.encoder) as writer:
        for id_ in range(1, 37):
            writer.remove_document(id_)
        writer.commit()
        assert writer.snapshot is not None
        assert len(writer.snapshot.manifest.indexes) == 1
        for question in questions():
            assert sorted(ids_of(writer.snapshot.nearest(question, 20))) == list(range(181, 201))
            assert len(writer.snapshot.nearest(question, 7)) == 7


def test_a_row_that_comes_back_to_life_is_found_again(indexed, tiny):
    text = ". ".join(f"Document 0 has row {row}" for row in range(5))
    with Writer.open(indexed, tiny.encoder) as writer:
        writer.remove_document(1)
        writer.commit()
        tiny.put(writer, "again.txt", text)
        writer.commit()
        assert writer.snapshot is not None
        assert len(writer.snapshot.manifest.blocks) == 1
        question = tiny.vector("Document 0 has row 3")
        assert 204 in ids_of(writer.snapshot.nearest(question, 30, exact=True))
        assert 204 in ids_of(writer.snapshot.nearest(question, 30))


def test_rows_of_blocks_that_were_merged_away_are_found_in_the_new_ones(indexed, tiny):
    with Writer.open(indexed, tiny.encoder) as writer:
        for number in range(60):
            tiny.put(writer, f"more{number}.txt", f"More of it, {number}. And still more, {number}")
        writer.commit()
        before = writer.snapshot
        assert before is not None
        assert writer._merge(before)  # as after a commit that leaves many segments: without indexes
        assert writer.snapshot is not None
        assert writer.snapshot.manifest.indexes == ()  # its only block is gone
        assert recall_of(writer.snapshot) == 1
        assert writer.merge()
        assert sum(index.n_rows for index in writer.snapshot.manifest.indexes) == 320
        assert recall_of(writer.snapshot) > 0.9
    assert verify(indexed) == []
    assert tiny.orphans(indexed) == []


@pytest.mark.parametrize("n_among", [0, 1, 13, 60, 150, 199])
def test_answers_among_some_passages_are_complete(indexed, n_among):
    chance = np.random.default_rng(n_among)
    among = {int(id_) for id_ in chance.choice(np.arange(1, 201), n_among, replace=False)}
    with open_snapshot(indexed) as snapshot:
        for n in (1, 5, 40):
            for question in questions(5):
                hits = snapshot.nearest(question, n, among | {-1, 999})
                assert len(hits) == min(n, len(among))
                assert {hit.passage_id for hit in hits} <= among
        if among:
            assert recall_of(snapshot, n=5, among=among) > 0.9


def test_a_filter_that_only_far_passages_pass_is_answered_in_full(indexed):
    with open_snapshot(indexed) as snapshot:
        for question in questions(5):
            far = ids_of(snapshot.nearest(question, 200, exact=True))[-60:]
            assert ids_of(snapshot.nearest(question, 3, far)) == far[:3]


def index_files(store):
    with open_snapshot(store) as snapshot:
        folders = [store / "seg" / index.segment for index in snapshot.manifest.indexes]
    return sorted(file for folder in folders for file in folder.iterdir())


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("value", [0x00, 0x7F, 0xFF])
def test_damage_to_an_index_costs_hits_at_most(indexed, tiny, factory, value):
    with Writer.open(indexed, tiny.encoder) as writer:
        writer.set_vector_index(factory)
        writer.merge()
    with open_snapshot(indexed) as snapshot:
        exact = [
            {hit.passage_id: hit.score for hit in snapshot.nearest(question, 200, exact=True)}
            for question in questions(3)
        ]
    for file in index_files(indexed):
        whole = file.read_bytes()
        for start in range(0, len(whole), max(1, len(whole) // 7)):
            content = bytearray(whole)
            content[start : start + 9] = bytes([value]) * len(content[start : start + 9])
            file.write_bytes(content)
            with open_snapshot(indexed) as snapshot:
                for question, scores in zip(questions(3), exact, strict=True):
                    hits = snapshot.nearest(question, 10)
                    assert all(scores[hit.passage_id] == hit.score for hit in hits)
                    assert len({hit.passage_id for hit in hits}) == len(hits)
                if file.name == "ann.faiss" and bytes(content) != whole:
                    assert "ann.faiss: the checksum does not match" in (snapshot.notice or "")
            if bytes(content) != whole:
                assert [damage.file for damage in verify(indexed)] == [str(file.relative_to(indexed))]
        file.write_bytes(whole)


@pytest.mark.parametrize("how", ["shorter", "gone", "link"])
def test_an_index_that_cannot_be_opened_is_done_without_and_said(indexed, tmp_path, how):
    file = next(path for path in index_files(indexed) if path.name == "list_codes")
    whole = file.read_bytes()
    file.unlink()
    if how == "shorter":
        file.write_bytes(whole[:-1])
    elif how == "link":
        (tmp_path / "elsewhere").write_bytes(whole)
        file.symlink_to(tmp_path / "elsewhere")
    with open_snapshot(indexed) as snapshot:
        assert snapshot.notice is not None
        assert snapshot.notice.startswith(str(file.relative_to(indexed)))
        assert "searching without this vector index" in snapshot.notice
        assert recall_of(snapshot) == 1


def test_faiss_sees_no_graph_of_another_type(indexed, tiny, monkeypatch):
    """A store that somebody prepared: right checksums, foreign content."""
    import faiss

    from deformer_qa.store.segments import vector_index

    foreign = faiss.serialize_index(faiss.index_factory(8, "PCA4,Flat"))
    monkeypatch.setattr("deformer_qa.store.segments.vector_index.graph_bytes", lambda *_: foreign)
    with Writer.open(indexed, tiny.encoder) as writer:
        writer.set_vector_index("IVF8_HNSW4,SQ8")
        writer.merge()
    monkeypatch.setattr(faiss, "deserialize_index", lambda *_: pytest.fail("FAISS was shown it"))
    with open_snapshot(indexed) as snapshot:
        assert "ann.faiss: found a FAISS index of type b'IxPT', expected b'IHNf'" in (snapshot.notice or "")
        assert recall_of(snapshot) == 1
    assert vector_index.GRAPH_TYPE == b"IHNf"


@pytest.mark.parametrize(
    ("field", "place", "value"),
    [("neighbors", 3, 1_000_000), ("offsets", 1, 10**12), ("levels", 2, 99), ("cum_nneighbor_per_level", 1, -5)],
)
def test_a_graph_that_leads_out_of_itself_is_not_used(indexed, tiny, monkeypatch, field, place, value):
    import faiss

    def leading_out(centroids, n_links):
        graph = faiss.IndexHNSWFlat(centroids.shape[1], n_links, faiss.METRIC_INNER_PRODUCT)
        graph.add(centroids)
        numbers = faiss.vector_to_array(getattr(graph.hnsw, field))
        numbers[place] = value
        faiss.copy_array_to_vector(numbers, getattr(graph.hnsw, field))
        return faiss.serialize_index(graph)

    monkeypatch.setattr("deformer_qa.store.segments.vector_index.graph_bytes", leading_out)
    with Writer.open(indexed, tiny.encoder) as writer:
        writer.set_vector_index("IVF8_HNSW4,SQ8")
        writer.merge()
        assert "ann.faiss: " in ((writer.snapshot and writer.snapshot.notice) or "")
    with open_snapshot(indexed) as snapshot:
        assert "searching without this vector index" in (snapshot.notice or "")
        assert recall_of(snapshot) == 1


# Which rows get an index


def blocks_of(*n_rows: int) -> list[BlockEntry]:
    return [BlockEntry(f"{number}-00000000", n, n, (), {}) for number, n in enumerate(n_rows, start=1)]


def index_of(*blocks: BlockEntry) -> IndexEntry:
    covers = tuple(CoveredBlock(block.segment, block.n_rows) for block in blocks)
    return IndexEntry("9-00000000", "IVF16,SQ8", 1, covers, {})


def test_the_plan_of_a_plans_outcome_changes_nothing():
    chance = np.random.default_rng(3)
    for _ in range(200):
        blocks = blocks_of(*chance.integers(1, 200_000, size=6).tolist())
        indexes = [index_of(*blocks[:2]), index_of(blocks[3], *blocks_of(*[7] * 9)[7:])][: chance.integers(3)]
        planned = reindex.plan(indexes, blocks, "auto")
        outcome = [*planned.kept, *([index_of(*planned.blocks)] if planned.blocks else [])]
        again = reindex.plan(outcome, blocks, "auto")
        assert (again.kept, again.blocks) == (tuple(outcome), ())
        covered = {block.segment for index in outcome for block in index.covers}
        left = sum(block.n_live_rows for block in blocks if block.segment not in covered)
        assert left <= index_choice.FLAT_ROWS


def test_growing_a_store_indexes_each_row_a_few_times_and_leaves_few_indexes():
    blocks: list[BlockEntry] = []
    indexes: list[IndexEntry] = []
    n_indexed, most = 0, 0
    for number in range(1, 101):
        blocks.append(BlockEntry(f"{number}-00000000", 60_000, 60_000, (), {}))
        planned = reindex.plan(indexes, blocks, "auto")
        indexes = [*planned.kept, *([index_of(*planned.blocks)] if planned.blocks else [])]
        n_indexed += sum(block.n_rows for block in planned.blocks)
        most = max(most, len(indexes))
    assert most <= 6
    assert n_indexed <= 6 * 100 * 60_000


def test_lists_grow_with_the_square_root_of_the_rows():
    assert [by_size(n).n_lists for n in (50_000, 200_000, 1_000_000, 10_000_000)] == [1024, 2048, 4096, 16384]
    assert parsed("IVF16384_HNSW32,SQ8").n_links == 32
