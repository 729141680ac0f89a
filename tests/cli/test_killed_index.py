"""A killed ``qa index`` leaves the old answers, and the next run completes. ``make kills`` does it twenty times."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.asking import Pipeline
from deformer_qa.reader.reading import SplitReader
from deformer_qa.store import open_snapshot, verify

N_KILLS = int(os.environ.get("QA_KILLS", "3"))
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
QUESTIONS = ["Who took the X-ray picture known as Photograph 51?", "On what date was Magellan killed?", "What is E4?"]


def _answers(store: Path, reader: SplitReader) -> list[dict[str, Any]]:
    with Pipeline.open(store, reader) as pipeline:
        made = [pipeline.ask(question).json() for question in QUESTIONS]
    for one in made:
        del one["timings_ms"], one["generation"]
    return made


def test_a_killed_index_leaves_the_old_answers_and_the_next_run_completes(
    started: Callable[..., subprocess.Popen[bytes]], shipped_reader: SplitReader, tmp_path: Path
) -> None:
    corpus, base = tmp_path / "corpus", tmp_path / "base"
    shutil.copytree(EXAMPLES / "corpus" / "science", corpus)
    sync(base, shipped_reader.encoder, [corpus])
    old = _answers(base, shipped_reader)
    shutil.copytree(EXAMPLES / "corpus" / "house", corpus / "house")
    (corpus / "dna.md").write_text("# DNA\n\nNothing is left of this page.\n", encoding="utf-8")
    began = time.monotonic()
    shutil.copytree(base, tmp_path / "whole")
    assert started("index", corpus, "--store", tmp_path / "whole").wait(300) == 0
    lifetime = time.monotonic() - began
    new = _answers(tmp_path / "whole", shipped_reader)
    assert new != old
    chance, outcomes = random.Random(5), []
    for number in range(N_KILLS):
        store = tmp_path / f"killed-{number}"
        shutil.copytree(base, store)
        child = started("index", corpus, "--store", store)
        time.sleep(lifetime * chance.uniform(0.3, 1.0))
        child.kill()
        child.wait(60)
        wrote = len(list((store / "seg").iterdir())) > len(list((base / "seg").iterdir()))
        found = _answers(store, shipped_reader)
        assert found in (old, new)
        outcomes.append("new" if found == new else "old, segment begun" if wrote else "old")
        assert verify(store) == []
        assert started("index", corpus, "--store", store).wait(300) == 0
        assert _answers(store, shipped_reader) == new
        assert verify(store) == []
        with open_snapshot(store) as snapshot:
            assert snapshot.n_documents == len(list(snapshot.iter_documents()))
    print({outcome: outcomes.count(outcome) for outcome in outcomes})
