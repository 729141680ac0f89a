"""The sum of scores by which passages are ranked, on a real store of passages whose vectors are chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from parts.tiny_store import ENCODER, Tiny

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.pipeline.retrieve import RetrievalWeights, Scores, candidates, retrieve
from deformer_qa.reader.description import describe_reader, set_fitted
from deformer_qa.reader.errors import ModelNotFound, UnsupportedModel
from deformer_qa.reader.reading import SplitReader
from deformer_qa.store import PassageDraft, Snapshot, Writer, block_key, open_snapshot

AXIS = np.eye(8, dtype=np.float32)
TEXTS = (
    ("The harbour master keeps the keys", 0.7),  # 1
    ("Keys of the lighthouse hang in the hall", 0.2),  # 2
    ("Boats are painted in spring", 0.6),  # 3
    ("The lighthouse was built by Orla Finn", 0.5),  # 4
    ("How many of the gulls nest there", 0.1),  # 5
    ("Boats are painted in spring again", 0.6),  # 6
    ("Berth C-00087 is let to Ada. Berth C 12 has the number 00087 on it", 0.05),  # 7
    ("Berth C-00088: number 00087 is no C 12, and 00087 no C", 0.4),  # 8
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Each text is a document of one passage; its vector has the given inner product with the first axis."""
    tiny, path = Tiny(), tmp_path / ".qa"
    with Writer.open(path, ENCODER) as writer:
        for number, (text, dense) in enumerate(TEXTS):
            vector = dense * AXIS[0] + 0.01 * number * AXIS[1]
            writer.add_row(block_key(text), vector, tiny.states(text))
            draft = PassageDraft(0, len(text), "", block_key(text))
            record = tiny.record(writer.new_document_id(), f"{number}.txt", text, title="")
            writer.put_document(record, [draft])
        writer.commit()
    return path


@pytest.fixture
def snapshot(store: Path) -> Iterator[Snapshot]:
    with open_snapshot(store) as found:
        yield found


def test_the_sum_is_the_dense_score_and_weighted_shares(snapshot: Snapshot) -> None:
    weights = RetrievalWeights(bm25_share=0.4, exact=2.0)
    found = retrieve(snapshot, "lighthouse keys", AXIS[0], weights=weights)
    words = {hit.passage_id: hit.score for hit in snapshot.bm25("lighthouse keys", 100)}
    assert set(words) == {1, 2, 4}
    for id_, (_, dense) in enumerate(TEXTS, start=1):
        share = words.get(id_, 0.0) / max(words.values())
        assert found.scores[id_] == Scores(pytest.approx(dense), words.get(id_), pytest.approx(share), 0.0)
        assert found.scores[id_].fused(weights) == pytest.approx(dense + 0.4 * share)
    sums = {id_: one.fused(weights) for id_, one in found.scores.items()}
    assert found.fused == tuple(sorted(sums, key=lambda id_: (-sums[id_], id_)))
    assert found.dense == (1, 3, 6, 4, 8, 2, 5, 7)
    chosen = candidates(found, found.fused[:3])
    assert [one.passage_id for one in chosen] == list(found.fused[:3])
    assert [one.fused for one in chosen] == [sums[one.passage_id] for one in chosen]
    assert [one.key for one in chosen] == [record.key for record in snapshot.passages(found.fused[:3])]


def test_passages_that_one_ranking_does_not_reach_get_their_own_score_of_it(snapshot: Snapshot) -> None:
    """At depth 1 dense finds passage 1 alone and BM25 passage 2 alone; both have all scores."""
    deep, found = (retrieve(snapshot, "keys hall", AXIS[0], depth) for depth in (100, 1))
    assert (found.dense, found.bm25) == ((1,), (2,))
    assert found.scores == {id_: deep.scores[id_] for id_ in (1, 2)}
    assert found.scores[1].bm25 is not None
    assert found.scores[2].dense == pytest.approx(0.2)


def test_equal_sums_are_in_order_of_id(snapshot: Snapshot) -> None:
    found = retrieve(snapshot, "nothing known", AXIS[0])
    assert found.bm25 == ()
    assert found.fused.index(6) == found.fused.index(3) + 1
    assert retrieve(snapshot, "nothing known", AXIS[0], among=[6, 3]).fused == (3, 6)


def test_function_words_weigh_nothing_though_they_are_rare_here(snapshot: Snapshot) -> None:
    """ "How", "many" and "there" stand in one passage alone, as in a store of tables."""
    assert retrieve(snapshot, "How many keys are there?", None).bm25 == retrieve(snapshot, "keys", None).bm25
    assert 5 in [hit.passage_id for hit in snapshot.bm25("How many keys are there?", 9)]


def test_a_question_of_function_words_alone_still_finds(snapshot: Snapshot) -> None:
    assert retrieve(snapshot, "how many there", None).bm25[0] == 5


def test_a_name_leads_to_the_passage_that_has_it_as_a_whole(snapshot: Snapshot) -> None:
    """By its parts passage 8 is the better one, and its vector lies nearer."""
    assert [hit.passage_id for hit in snapshot.bm25("C-00087", 9)] == [8, 7]
    for question in ("C-00087", "Who rents berth c-00087?"):
        found = retrieve(snapshot, question, AXIS[0])
        assert found.fused[0] == 7
        assert {id_ for id_, one in found.scores.items() if one.exact} == {7}
    assert found.scores[7].exact == 1.0


def test_a_name_is_found_though_no_ranking_reaches_it(snapshot: Snapshot) -> None:
    found = retrieve(snapshot, "Which town is C-00087 in?", AXIS[0], depth=1)
    assert 7 not in (*found.dense, *found.bm25)
    assert found.fused[0] == 7


def test_a_name_counts_by_its_rarity(snapshot: Snapshot) -> None:
    found = retrieve(snapshot, "boats", AXIS[0])
    rarity = 1 - math.log(2) / math.log(len(TEXTS))
    assert {id_: one.exact for id_, one in found.scores.items() if one.exact} == pytest.approx({3: rarity, 6: rarity})
    both = retrieve(snapshot, "C-00087 or C-00088 or C-99999", AXIS[0])
    assert {id_: one.exact for id_, one in both.scores.items() if one.exact} == {7: 0.5, 8: 0.5}


def test_only_passages_among_those_of_a_filter_are_found(snapshot: Snapshot) -> None:
    found = retrieve(snapshot, "C-00087 lighthouse", AXIS[0], among=[2, 5, 8])
    assert {*found.dense, *found.bm25, *found.fused} == {2, 5, 8}
    assert all(one.exact == 0 for one in found.scores.values())
    alone = retrieve(snapshot, "C-00087", AXIS[0], among=[7])
    assert (alone.fused, alone.scores[7].exact) == ((7,), 1.0)
    assert retrieve(snapshot, "C-00087", AXIS[0], among=[]).fused == ()


def test_without_a_vector_words_and_names_alone_rank(snapshot: Snapshot) -> None:
    found = retrieve(snapshot, "C-00087 berth", None)
    assert found.dense == ()
    assert found.fused == (7, 8)
    assert [one.dense for one in found.scores.values()] == [0.0, 0.0]


def test_a_search_by_words_encodes_nothing(example_store: Path, shipped_reader: SplitReader) -> None:
    with Pipeline.open(example_store, shipped_reader) as pipeline:
        before = shipped_reader.encoder.n_passes
        found = pipeline.search("keys of Magellan", method="bm25")
        assert shipped_reader.encoder.n_passes == before
        assert [(one.dense, one.fused) for one in found] == [(None, None)] * len(found)
        assert [one.score for one in found] == sorted((one.bm25 or 0.0 for one in found), reverse=True)
        assert pipeline.search("keys of Magellan")[0].dense is not None
        assert shipped_reader.encoder.n_passes == before + 1


def test_a_rows_key_finds_the_row_first_alone_and_in_a_question(tmp_path: Path, shipped_reader: SplitReader) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    rows = [(f"L-{number:05d}", f"{(37 * number) % 900}.{number % 10}", 1950 + number % 60) for number in range(120)]
    lines = ["Buoy,Depth,Laid", *(f"{key},{depth},{year}" for key, depth, year in rows)]
    (corpus / "buoys.csv").write_text("\n".join(lines), encoding="utf-8")
    sync(tmp_path / "store", shipped_reader.encoder, [corpus])
    with Pipeline.open(tmp_path / "store", shipped_reader) as pipeline:
        assert pipeline.snapshot.n_passages > 10
        for key, *_ in rows[3::6]:
            for query in (key, f"In what year was buoy {key} laid?"):
                assert key in pipeline.search(query, n=1)[0].place.text


def test_weights_come_from_the_readers_description(tiny_reader: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    for file in tiny_reader.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    assert describe_reader(folder).retrieval == {}
    set_fitted(folder, retrieval={"bm25_share": 0.7})
    assert RetrievalWeights.from_mapping(describe_reader(folder).retrieval) == RetrievalWeights(bm25_share=0.7)
    set_fitted(folder, retrieval=[0.7])  # type: ignore[arg-type]
    with pytest.raises(ModelNotFound, match="retrieval: expected dict"):
        describe_reader(folder)


@pytest.mark.parametrize("wrong", [{"bm25": 0.3}, {"bm25_share": "0.3"}, {"exact": -1}, {"exact": True}])
def test_weights_that_are_none_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(UnsupportedModel, match=f"found {next(iter(wrong))}: .*bm25_share, exact"):
        RetrievalWeights.from_mapping(wrong)


def test_passages_asked_for_are_scored_though_no_ranking_reaches_them(snapshot: Snapshot) -> None:
    vector = np.ones(ENCODER.vector_width, np.float32)
    everything = retrieve(snapshot, "words", vector, 1_000)
    last = everything.fused[-1]
    few = retrieve(snapshot, "words", vector, 1)
    assert last not in few.fused
    found = retrieve(snapshot, "words", vector, 1, also=[last])
    assert last in found.fused
    (candidate,) = candidates(found, [last])
    assert candidate.dense == pytest.approx(everything.scores[last].dense)
