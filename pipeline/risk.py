"""Look up the confidence from which on answers are given, if only a share of the given ones may be wrong.

``qa train ranking`` fits the thresholds on questions of every kind that a recipe held back. Their articles and tables
differ from those that the ranking is fitted on, and about every fourth has no answer there. ``reader.json`` has the
thresholds by risk. The bound holds for questions drawn like those, with probability 1 - delta over their draw. An
answer counts as right if it equals an annotated one, or stands in the question's own document and has F1 of at least
0.6 with one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deformer_qa.pipeline.errors import RiskNotKnown
from deformer_qa.pipeline.results import RiskLimit


def risk_limit(
    fitted: Mapping[str, Any], max_risk: float, *, n_candidates: int | None = None, max_tokens: int | None = None
) -> RiskLimit:
    """Return the threshold of the highest fitted risk that is at most ``max_risk``.

    :param fitted: ``risk`` of reader.json.
    :param n_candidates, max_tokens: as given to ``Pipeline.ask``; None means as in the fit.
    :raises RiskNotKnown: if there is no such threshold, or the fit used other ``n_candidates`` or ``max_tokens``.
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
                f"this reader cannot guarantee it; the lowest risk that it was calibrated for is {min(known):g}."
                if known
                else "this reader knows no confidence for any risk; fit them with qa train ranking."
            )
        )
    return RiskLimit(max_risk, float(fitted["delta"]), known[max(fit)])


def known_thresholds(fitted: Mapping[str, Any], risks: Sequence[float]) -> dict[float, float | None]:
    """Return the threshold for each risk; None for a risk without one."""
    found: dict[float, float | None] = {}
    for risk in risks:
        try:
            found[risk] = risk_limit(fitted, risk).threshold
        except RiskNotKnown:
            found[risk] = None
    return found
