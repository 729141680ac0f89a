"""The description of a reader, ``reader.json`` in its folder, readable without loading torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deformer_qa.reader.errors import ModelNotFound

DESCRIPTION = "reader.json"
_KINDS: dict[str, type] = {
    "encoder": str,
    "encoder_id": str,
    "k": int,
    "n_joint_layers": int,
    "ranking": dict,
    "training": dict,
}
_LATER_KINDS: dict[str, type] = {
    "ranking_given": dict,
    "ranking_passages": dict,
    "ranking_fit": dict,
    "retrieval": dict,
    "confidence": dict,
    "risk": dict,
    "outcomes": dict,
    "yes_no": dict,
    "max_tokens": int,
    "passage_first": bool,
}
"""Fields that older readers lack; qa train ranking adds fitted weights."""


@dataclass(frozen=True)
class ReaderDescription:
    """The content of ``reader.json``.

    :ivar encoder: name of the encoder the reader was trained on
    :ivar encoder_id: its id; the reader cannot use states of another encoder
    :ivar k: layers that run apart; 0 for a whole reader, all of whose layers are joint
    :ivar ranking: weights to compare spans of retrieved passages
    :ivar ranking_given: the same for passages without retrieval scores
    :ivar ranking_passages: weights to compare passages as evidence for a yes or no
    :ivar ranking_fit: number of held-back questions that the ranking was fitted on
    :ivar retrieval: weights of the other retrieval scores relative to the dense one, see ``pipeline.retrieve``
    :ivar confidence: weights of the first answer's confidence, see ``pipeline.rank.ConfidenceWeights``
    :ivar risk: confidences that guarantee a share of wrong answers, see ``pipeline.risk``
    :ivar outcomes: confidences for a sure answer and for finding nothing, see ``pipeline.outcomes``
    :ivar yes_no: the confidence for saying yes or no, see ``pipeline.yes_no``
    :ivar max_tokens: of a text, as its encoder counts them; None takes the value of the encoder's folder
    :ivar passage_first: the passage is read before the question
    """

    folder: Path
    encoder: str
    encoder_id: str
    k: int
    n_joint_layers: int
    ranking: dict[str, float]
    training: dict[str, Any]
    ranking_given: dict[str, float] = field(default_factory=dict)
    ranking_passages: dict[str, float] = field(default_factory=dict)
    ranking_fit: dict[str, Any] = field(default_factory=dict)
    retrieval: dict[str, float] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)
    risk: dict[str, Any] = field(default_factory=dict)
    outcomes: dict[str, Any] = field(default_factory=dict)
    yes_no: dict[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    passage_first: bool = False

    @property
    def knows_spans(self) -> bool:
        """Whether it was trained on questions that have an answer in a passage."""
        sources = self.training.get("recipe", {}).get("sources", [])
        return not sources or any(source.get("answerable") or source.get("unanswerable") for source in sources)

    @property
    def reads_titles(self) -> bool:
        """Whether it was trained on passages below the titles of their articles."""
        return any(source.get("titles") for source in self.training.get("recipe", {}).get("sources", []))

    @property
    def name(self) -> str:
        """The name of its recipe, else of its folder."""
        return str(self.training.get("recipe", {}).get("name", self.folder))


def describe_reader(folder: Path) -> ReaderDescription:
    """Read the description in a reader's folder.

    :raises ModelNotFound: if it is not a reader's folder.
    """
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        for key, kind in [*_KINDS.items(), *((key, kind) for key, kind in _LATER_KINDS.items() if key in content)]:
            if not isinstance(content[key], kind) or (kind is int and isinstance(content[key], bool)):
                raise ValueError(f"{key}: expected {kind.__name__}, found {content[key]!r}")
        encoder = content["encoder"]
        if encoder.startswith("./"):  # inside the reader's own folder
            content["encoder"] = str(folder / encoder)
        later = {key: content[key] for key in _LATER_KINDS if key in content}  # older readers lack them
        return ReaderDescription(folder=folder, **{key: content[key] for key in _KINDS}, **later)
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFound(f"{folder}: no {DESCRIPTION} there; a reader is a folder made by qa train.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelNotFound(
            f"{folder / DESCRIPTION}: not a reader's description ({error}); make it again with qa train."
        ) from error


def set_fitted(folder: Path, **parts: dict[str, Any]) -> None:
    """Write fitted values into a reader's description: ``ranking`` and other fields of it."""
    describe_reader(folder)
    content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    (folder / DESCRIPTION).write_text(json.dumps(content | parts, indent=1) + "\n", encoding="utf-8")
