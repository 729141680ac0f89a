"""A store under any sequence of changes says what a plain dict says."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from deformer_qa.store import DocumentNotFound, Writer, block_key, open_snapshot, verify

SENTENCES = [f"{who} {did} {place}" for who in ("fox", "dog", "Élan") for did in ("ran", "slept") for place in "ab"]
TEXTS = st.lists(st.sampled_from(SENTENCES), max_size=5).map(". ".join)


def make_machine(tiny):
    class StoreAgainstDict(RuleBasedStateMachine):
        documents = Bundle("documents")

        def __init__(self) -> None:
            super().__init__()
            self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
            self.store = self.folder / ".qa"
            self.writer = Writer.open(self.store, tiny.encoder)
            self.model: dict[int, tuple[str, str, list[int]]] = {}  # id: path, text, passage ids
            self.committed: dict[int, tuple[str, str, list[int]]] | None = None
            self.used_ids: set[int] = set()
            self.n_paths = 0

        def teardown(self) -> None:
            self.writer.close()
            shutil.rmtree(self.folder)

        def new_path(self) -> str:
            self.n_paths += 1
            return f"{self.n_paths}.txt"

        def passage_ids(self, text: str, before: list[tuple[bytes, int]]) -> list[int]:
            """Ids as the store promises them: kept in order where the key stays, else unknown (0)."""
            left = list(before)
            ids = []
            for start, end in tiny.sentences(text):
                kept = next((pair for pair in left if pair[0] == block_key(text[start:end])), None)
                if kept:
                    left.remove(kept)
                ids.append(kept[1] if kept else 0)
            return ids

        @rule(target=documents, text=TEXTS)
        def add(self, text):
            path = self.new_path()
            id_ = tiny.put(self.writer, path, text)
            assert id_ not in self.used_ids
            self.model[id_] = (path, text, [0] * len(tiny.sentences(text)))
            return id_

        @rule(id_=documents, text=TEXTS)
        def edit(self, id_, text):
            if id_ not in self.model:
                return
            path, old, ids = self.model[id_]
            keys = [block_key(old[start:end]) for start, end in tiny.sentences(old)]
            tiny.put(self.writer, path, text, id_=id_)
            self.model[id_] = (path, text, self.passage_ids(text, list(zip(keys, ids, strict=True))))

        @rule(id_=documents)
        def move(self, id_):
            path = self.new_path()
            if id_ in self.model:
                self.writer.move_document(id_, root=tiny.root, path=path)
                self.model[id_] = (path, *self.model[id_][1:])
            else:
                with pytest.raises(DocumentNotFound):
                    self.writer.move_document(id_, root=tiny.root, path=path)

        @rule(id_=documents)
        def remove(self, id_):
            if id_ in self.model:
                self.writer.remove_document(id_)
                del self.model[id_]

        @rule()
        def commit(self):
            self.writer.commit()
            self.now_committed()

        @rule()
        def merge(self):
            self.writer.merge()
            self.now_committed()

        @precondition(lambda self: self.writer.snapshot is not None)
        @rule()
        def compact(self):
            self.writer.compact()
            self.now_committed()
            report = self.writer.snapshot.size_report()
            assert (report["n_dead_rows"], report["n_deleted_documents"], len(tiny.orphans(self.store))) == (0, 0, 0)

        @rule()
        def reopen(self):
            self.writer.close()
            self.writer = Writer.open(self.store, tiny.encoder)
            self.model = dict(self.committed or {})

        def now_committed(self) -> None:
            """Learn the ids of new passages, which must be new indeed."""
            if self.writer.snapshot is None:
                assert not self.model
                return
            for id_, (path, text, ids) in self.model.items():
                found = [passage.id for passage in self.writer.snapshot.document_passages(id_)]
                assert [a if b else 0 for a, b in zip(found, ids, strict=True)] == [b for b in ids]
                self.model[id_] = (path, text, found)
            every_id = [passage for _, _, ids in self.model.values() for passage in ids]
            assert len(every_id) == len(set(every_id))
            self.committed = dict(self.model)
            self.used_ids |= self.model.keys()  # an id never committed was never seen, so may come again

        @precondition(lambda self: self.committed is not None)
        @invariant()
        def the_last_commit_is_what_is_read(self):
            expected = self.committed
            with open_snapshot(self.store) as snapshot:
                found = {info.id: info.path for info in snapshot.iter_documents()}
                assert found == {id_: path for id_, (path, _, _) in expected.items()}
                for id_, (path, text, ids) in expected.items():
                    document = snapshot.document(id_)
                    assert (document.path, document.text) == (path, text)
                    passages = snapshot.document_passages(id_)
                    assert [passage.id for passage in passages] == ids
                    sentences = [text[start:end] for start, end in tiny.sentences(text)]
                    assert snapshot.passage_texts(ids) == sentences
                    for states, sentence in zip(snapshot.states([p.key for p in passages]), sentences, strict=True):
                        np.testing.assert_allclose(states, tiny.states(sentence), atol=0.02)
                assert snapshot.n_documents == len(expected)
                assert snapshot.n_passages == sum(len(ids) for _, _, ids in expected.values())
                report = snapshot.size_report()
                distinct = {block_key(t[a:b]) for _, t, _ in expected.values() for a, b in tiny.sentences(t)}
                assert report["n_rows"] - report["n_dead_rows"] == len(distinct)
                self.searches_find_what_is_there(snapshot, expected)

        def searches_find_what_is_there(self, snapshot, expected):
            query = tiny.vector("a question")
            scores = {}
            holding = set()
            for _, text, ids in expected.values():
                for id_, (start, end) in zip(ids, tiny.sentences(text), strict=True):
                    vector = tiny.vector(text[start:end]).astype(np.float64)
                    scores[id_] = float(vector @ query.astype(np.float64))
                    if "fox" in text[start:end] or "Élan" in text[start:end]:
                        holding.add(id_)
            nearest = sorted(scores, key=lambda id_: (-scores[id_], id_))
            assert [hit.passage_id for hit in snapshot.nearest(query, 4)] == nearest[:4]
            assert {hit.passage_id for hit in snapshot.bm25("foxes elan", 1000)} == holding

        @precondition(lambda self: self.committed is not None)
        @rule()
        def verify(self):
            assert verify(self.store) == []

    return StoreAgainstDict


def test_a_store_is_a_dict_that_survives(tiny):
    run_state_machine_as_test(
        make_machine(tiny),
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
