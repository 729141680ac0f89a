"""From which confidence on is an answer given, if only a share of those given may be wrong?

``qa train ranking`` fits it on questions of every kind that a recipe held back, of other articles and tables than those
the ranking is fitted on, about every fourth without an answer there. ``reader.json`` has the thresholds by risk.
What is promised holds for questions drawn like those, with probability 1 - delta over their draw (``confidence``).
An answer is right where it equals an annotated one, or stands in the question's own document and shares 0.6 of F1 with
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deformer_qa.pipeline.errors import RiskNotKnown
from deformer_qa.pipeline.results import RiskLimit


def risk_limit(
    fitted: Mapping[str, Any], max_risk: float, *, n_candidates: int | None = None, max_tokens: int | None = None
) -> RiskLimit:
    """The threshold of the highest risk that is known and no higher than ``max_risk``.

    :param fitted: ``risk`` of reader.json.
    :param n_candidates, max_tokens: how the question is asked; None is as the risk was fitted.
    :raises RiskNotKnown: where there is none, or none for asking like this.
    """
    for name, given in (("candidates", n_candidates), ("max_tokens", max_tokens)):
        expected = fitted.get("asked", {}).get(name, given)
        if given is not None and given != expected:
            raise RiskNotKnown(
                f"max risk {max_risk:g}: known for {name} {expected} alone, found {given}; leave it out."
            )
    known = {float(risk): float(threshold) for risk, threshold in fitted.get("thresholds", {}).items()}
    fit = [risk for risk in known if risk <= max_risk + 1e-9]
    if not fit:
        raise RiskNotKnown(
            f"max risk {max_risk:g}: "
            + (
                f"no confidence is known to hold it, the lowest risk that one is known for is {min(known):g}."
                if known
                else "this reader knows no confidence for any risk; fit them with qa train ranking."
            )
        )
    return RiskLimit(max_risk, float(fitted["delta"]), known[max(fit)])


def known_thresholds(fitted: Mapping[str, Any], risks: Sequence[float]) -> dict[float, float | None]:
    """The threshold for each risk; None where none is known."""
    found: dict[float, float | None] = {}
    for risk in risks:
        try:
            found[risk] = risk_limit(fitted, risk).threshold
        except RiskNotKnown:
            found[risk] = None
    return found
