"""Readers trained for a comparison, and what they make of questions nobody trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.reader.evaluation import SplitPassageReader, figures, predictions
from deformer_qa.reader.reading import Precision, SplitReader
from deformer_qa.reader.squad import SquadSet
from deformer_qa.reader.training.recipe import Recipe
from deformer_qa.reader.training.run import train_reader

Through = Callable[[NDArray[np.float32]], NDArray[np.float32]]
StoredBytes = Callable[[NDArray[np.float32]], int]


@dataclass(frozen=True)
class Bench:
    """Where readers are trained and on what they are measured.

    :ivar data: the folder of training data
    :ivar out: readers go to folders below it, and training that was stopped goes on there
    :ivar measured: the questions that figures are of
    :ivar limit: only so many of them, the first; 0 is all
    :ivar through: what storing does to a split reader's states
    :ivar stored: how many bytes it takes for them
    """

    data: Path
    out: Path
    measured: SquadSet
    limit: int
    through: Through
    stored: StoredBytes
    precision: Precision = "fp32"
    device: str | None = None
    on_event: Callable[[str], None] = lambda line: None
    on_log: Callable[[dict[str, Any]], None] = lambda line: None
    on_question: Callable[[], None] = lambda: None

    def trained(self, recipe: Recipe, teacher: Path | None = None, start_from: Path | None = None) -> Path:
        """The folder of the reader that the recipe makes; made now unless it is there."""
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

    def measure(self, folder: Path) -> dict[str, Any]:
        """EM and F1 (percent) of a reader, ``n`` questions."""
        self.on_event(f"measuring {folder.name}")
        reader = SplitReader.load(folder).to(self.device or "cpu")
        reader.precision = self.precision
        assert reader.about is not None
        passages = SplitPassageReader(reader, self.through if reader.about.k else None)
        made = []
        for one in predictions(passages, self.measured, limit=self.limit):
            made.append(one)
            self.on_question()
        found = figures(made, forced=not self.measured.has_impossible)
        return {"exact_match": found.exact_match, "f1": found.f1, "n": found.n}
