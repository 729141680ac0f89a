"""Every answer comes from one whole generation, while another process commits, merges and collects."""

from __future__ import annotations

import os
import threading
import time

import numpy as np

from deformer_qa.store import StoreMissing, Writer, open_snapshot, verify

N_COMMITS = 25


def keep_writing(store, tiny) -> None:
    """Commits in which all three documents speak of the same number."""
    with Writer.open(store, tiny.encoder) as writer:
        ids = [writer.new_document_id() for _ in range(3)]
        for number in range(N_COMMITS):
            for place, id_ in enumerate(ids):
                text = f"Number {number} stands here. Place {place} says {number}"
                tiny.put(writer, f"{place}.txt", text, id_=id_, title=f"Number {number}")
            writer.commit()
            if number % 4 == 3:
                writer.merge()


def read_once(store, tiny) -> tuple[int, int]:
    """A generation and its number; asserts that all that is read is of that generation."""
    with open_snapshot(store) as snapshot:
        assert snapshot.notice is None
        infos = list(snapshot.iter_documents())
        (title,) = {info.title for info in infos}
        number = int(title.split()[1])
        for place, info in enumerate(infos):
            passages = snapshot.document_passages(info.id)
            expected = [f"Number {number} stands here", f"Place {place} says {number}"]
            assert snapshot.passage_texts([passage.id for passage in passages]) == expected
            for states, text in zip(snapshot.states([p.key for p in passages]), expected, strict=True):
                np.testing.assert_allclose(states, tiny.states(text), atol=0.02)
        assert len(snapshot.bm25(f"{number}", 100)) == 6
        assert len(snapshot.nearest(np.ones(8, np.float32), 100)) == 6
        return snapshot.generation, number


def test_readers_see_whole_generations_while_a_writer_commits_and_collects(store, tiny):
    tiny.fill(store.with_name("warm"), {"a.txt": "Load the lazy imports before the fork"})
    tiny.dump_of(store.with_name("warm"))
    child = os.fork()
    if child == 0:
        try:
            keep_writing(store, tiny)
            os._exit(0)
        except BaseException:
            os._exit(1)
    seen: list[list[tuple[int, int]]] = [[], [], []]
    problems: list[BaseException] = []
    finished = threading.Event()

    def keep_reading(answers):
        try:
            while not finished.is_set():
                try:
                    answers.append(read_once(store, tiny))
                except StoreMissing:
                    time.sleep(0.001)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=keep_reading, args=(answers,)) for answers in seen]
    for thread in threads:
        thread.start()
    _, status = os.waitpid(child, 0)
    finished.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert os.waitstatus_to_exitcode(status) == 0
    for answers in seen:
        assert answers == sorted(answers)
    assert len({number for answers in seen for _, number in answers}) > 3
    assert read_once(store, tiny)[1] == N_COMMITS - 1
    assert verify(store) == []


def test_threads_share_a_snapshot(filled, tiny):
    with open_snapshot(filled) as snapshot:
        expected = tiny.dump(snapshot)
        found: list[object] = []
        threads = [
            threading.Thread(target=lambda: found.extend(tiny.dump(snapshot) for _ in range(10))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 40
    assert all(dump == expected for dump in found)
