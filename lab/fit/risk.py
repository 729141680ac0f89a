"""Fit the thresholds of ``--max-risk``: confidences from which on at most a share of the answers is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deformer_qa.lab.measure.confidence import DELTA, Probabilities, Rights, threshold_at_risk

RISKS: Sequence[float] = tuple(round(0.01 * step, 2) for step in range(1, 51))


def fit_risk(
    confidences: Probabilities, right: Rights, *, n_candidates: int, max_tokens: int, delta: float = DELTA
) -> dict[str, Any]:
    """Find the threshold for each of ``RISKS`` that can be guaranteed, in the form that reader.json keeps.

    :param n_candidates, max_tokens: how the questions were asked; confidences depend on both.
    """
    found = {f"{risk:g}": threshold_at_risk(confidences, right, risk, delta) for risk in RISKS}
    thresholds = {risk: round(one[0], 6) for risk, one in found.items() if one}
    asked = {"candidates": n_candidates, "max_tokens": max_tokens}
    return {"delta": delta, "questions": len(right), "asked": asked, "thresholds": thresholds}
