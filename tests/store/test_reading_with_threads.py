"""A snapshot stands threads. That readers see whole generations while a writer commits is in ``tests/torture``."""

from __future__ import annotations

import threading

from deformer_qa.store import open_snapshot


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
