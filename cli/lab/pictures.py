"""Draws figures as png and svg; matplotlib is needed for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deformer_qa.cli.output import message

_SIZE = (6.4, 4.0)
_INK = ("#1b5e8c", "#c2571a", "#4d7c2a", "#7a4a8c")


def draw(out: Path, name: str, picture: Callable[[Any], None]) -> None:
    """Write ``name``.png and .svg into ``out``; without matplotlib, print a line instead."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        message(f"qa: {name}: no pictures, matplotlib is not installed; pip install 'deformer-qa[analysis]' for them.")
        return
    figure = Figure(figsize=_SIZE, layout="constrained")
    picture(figure)
    for form in ("png", "svg"):
        # No date and no random names inside, so that equal numbers give equal bytes.
        from matplotlib import rc_context

        with rc_context({"svg.hashsalt": name}):
            figure.savefig(out / f"{name}.{form}", dpi=160, metadata={"Date": None} if form == "svg" else None)
    message(f"qa: {out / name}.png, .svg")


def lines(
    figure: Any,
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    over: str,
    measure: str,
    title: str,
    log: bool = False,
) -> None:
    """Draw curves over one axis, with a legend."""
    axes = figure.subplots()
    for (label, values), ink in zip(curves.items(), _INK, strict=False):
        axes.plot(x, values, marker="o", color=ink, label=label)
    axes.set_xticks(list(x))
    axes.set(xlabel=over, ylabel=measure, title=title)
    if log:
        axes.set_yscale("log")
    _plain(axes)
    if len(curves) > 1:
        axes.legend(frameon=False)


def two_lines(
    figure: Any, x: Sequence[float], left: tuple[str, Sequence[float]], right: tuple[str, Sequence[float]], *, over: str
) -> None:
    """Draw two measures over the same axis, side by side."""
    for axes, (measure, values), ink in zip(figure.subplots(1, 2), (left, right), _INK, strict=False):
        axes.plot(x, values, marker="o", color=ink)
        axes.set_xticks(list(x))
        axes.set(xlabel=over, ylabel=measure)
        _plain(axes)


def bars(figure: Any, values: Mapping[str, float], *, measure: str, title: str) -> None:
    """Draw one bar for each name, labelled with its value; the axis begins near the lowest."""
    axes = figure.subplots()
    made = axes.bar(list(values), list(values.values()), color=_INK[0], width=0.6)
    axes.bar_label(made, fmt="%.1f")
    low, high = min(values.values()), max(values.values())
    axes.set_ylim(max(0.0, low - (high - low + 1)), high + 0.25 * (high - low + 1))
    axes.set(ylabel=measure, title=title)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.3)
