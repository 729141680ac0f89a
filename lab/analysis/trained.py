"""Train readers for a comparison, and measure them on questions that none was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.lab.data.json_files import sha256_of
from deformer_qa.lab.data.squad import SquadSet
from deformer_qa.lab.measure.reading import SplitPassageReader, figures, predictions
from deformer_qa.lab.train.recipe import Recipe
from deformer_qa.lab.train.run import train_reader
from deformer_qa.reader.checkpoint import WEIGHTS
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.reading import EngineName, SplitReader

Through = Callable[[NDArray[np.float32]], NDArray[np.float32]]
StoredBytes = Callable[[NDArray[np.float32]], int]


def weights_of(*folders: Path) -> dict[str, str]:
    """Identify readers by the hashes of their weights."""
    return {f"weights {number}": sha256_of(folder / WEIGHTS) for number, folder in enumerate(folders, 1)}


@dataclass(frozen=True)
class Bench:
    """The folders in which readers are trained, and the questions on which they are measured.

    :ivar data: the folder of training data
    :ivar out: the folder whose subfolders hold the readers; stopped training continues there
    :ivar measured: the questions to measure on
    :ivar limit: measure only the first ``limit`` questions; 0 is all
    :ivar through: passes a split reader's states through the store's encoding and back
    :ivar stored: counts the bytes of states when stored
    """

    data: Path
    out: Path
    measured: SquadSet
    limit: int
    through: Through
    stored: StoredBytes
    engine: EngineName | None = None
    device: str | None = None
    on_event: Callable[[str], None] = lambda line: None
    on_log: Callable[[dict[str, Any]], None] = lambda line: None

    def trained(self, recipe: Recipe, teacher: Path | None = None, start_from: Path | None = None) -> Path:
        """Train the reader of a recipe unless it is there already; return its folder."""
        self.on_event(f"training {recipe.name}")
        return train_reader(
            recipe,
            self.data,
            self.out / recipe.name,
            teacher=teacher,
            start_from=start_from,
            device=self.device,
            on_log=self.on_log,
            on_event=self.on_event,
        )

    def check_questions(self, encoder: str) -> None:
        """Refuse measured questions that are too long, before readers are trained for them.

        :raises BadTrainingData: if some are too long; it names their number and the first.
        """
        tokenizer = Encoder.load(encoder, k=0).tokenizer
        asked = [question for _, question in self.measured.questions()][: self.limit or None]
        longest = tokenizer.max_tokens - tokenizer.n_special
        long = [question.id for question in asked if tokenizer.count(question.question) > longest]
        if long:
            raise BadTrainingData(f"{len(long):,} questions have over {longest:,} tokens, first question {long[0]}.")

    def measure(self, folder: Path) -> dict[str, Any]:
        """Measure EM and F1 (percent) of a reader on ``n`` questions."""
        self.on_event(f"measuring {folder.name}")
        reader = SplitReader.load(folder).to(self.device or "cpu")
        reader.use(self.engine)
        assert reader.about is not None
        passages = SplitPassageReader(reader, self.through if reader.about.k else None)
        made = []
        for one in predictions(passages, self.measured, limit=self.limit):
            made.append(one)
        found = figures(made, forced=not self.measured.has_impossible)
        return {"exact_match": found.exact_match, "f1": found.f1, "n": found.n}
