"""Decide the outcome of a question: an answer, a guess, or nothing. The rule stands in the reader's reader.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deformer_qa.pipeline.results import Outcome
from deformer_qa.reader.errors import UnsupportedModel

LEAST_SHOWN = 0.005
"""The least confidence of an answer that is shown: a smaller one would be printed as 0 %."""


@dataclass(frozen=True)
class OutcomeRule:
    """Thresholds that make an answer sure, or the outcome "nothing".

    The outcome is "nothing" only if reader and retrieval agree: the best answer is unlikely, and no passage that was
    read is near the question.

    :ivar sure: the least confidence of an answer that is asserted
    :ivar nothing_confidence: a best answer with less confidence is unlikely
    :ivar nothing_dense: a passage with less similarity to the question is not near it
    """

    sure: float = 0.5
    nothing_confidence: float = 0.05
    nothing_dense: float = 0.3

    @classmethod
    def from_mapping(cls, outcomes: Mapping[str, Any]) -> OutcomeRule:
        """Read ``outcomes`` of reader.json; a reader without them has the defaults above.

        :raises UnsupportedModel: if a value is missing or is not a number.
        """
        if not outcomes:
            return cls()
        nothing = outcomes.get("nothing")
        nothing = nothing if isinstance(nothing, Mapping) else {}
        found = {
            "sure": outcomes.get("sure"),
            "nothing.confidence": nothing.get("confidence"),
            "nothing.dense": nothing.get("dense"),
        }
        missing = [name for name, value in found.items() if not is_number(value)]
        if missing:
            raise UnsupportedModel(
                f"reader.json: outcomes: no number for {', '.join(missing)}; "
                'expected {"sure": c, "nothing": {"confidence": a, "dense": b}}.'
            )
        return cls(*(float(value) for value in found.values() if value is not None))

    def outcome(self, confidence: float | None, nearest: float | None) -> Outcome:
        """Decide the outcome of a question.

        :param confidence: confidence of the best answer; None if there is no answer.
        :param nearest: the highest dense similarity of a passage that was read; None if it is not known.
        :return: "nothing" if there is no answer or the best would be shown as 0 %, or if it is unlikely and the
            nearest passage is known to be far.
        """
        if confidence is None or confidence < LEAST_SHOWN:
            return "nothing"
        if confidence < self.nothing_confidence and nearest is not None and nearest < self.nothing_dense:
            return "nothing"
        return "answer" if confidence >= self.sure else "guess"


def is_number(value: object) -> bool:
    """Whether a value of a JSON file is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
