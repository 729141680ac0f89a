"""How the figures of a user's own questions are printed: a table for people, lines of fields for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table

from deformer_qa.cli.display import printable
from deformer_qa.cli.output import console, print_plain
from deformer_qa.pipeline.question_scoring import Figures, Judged, Report, Share

_COLUMNS = (
    ("right_first", "right first"),
    ("right_in_first_3", "in first 3"),
    ("right_and_given", "sure, right"),
    ("found_nothing", "none found"),
    ("unanswerable_not_given", "held back"),
    ("right_file", "right file"),
    ("wrong_at_half", "wrong >=0.5"),
    ("wrong_above_0_8", "wrong >0.8"),
    ("expected_calibration_error", "ECE"),
)
_COUNTED = ("wrong_at_half", "wrong_above_0_8")
"""Shares of a number that no column shows; the table has them as counts, the others as percents."""
_GOLDS_SHOWN = 2


def print_report(report: Report, wrong: Sequence[Judged], form: str) -> None:
    """The rows, then the answers that are not right; ``form`` is human or plain."""
    if form == "human":
        _print_table(report, wrong)
        return
    print_plain("", "", "n", *(title for _, title in _COLUMNS))
    for kind, name, figures in _rows(report):
        print_plain(kind, name, figures.n, *(_counted(figures, key) for key, _ in _COLUMNS))
    for one in wrong:
        said = _said(one)
        print_plain(
            "wrong", one.question.id, one.question.question, said.what, said.how_sure, said.file, _expected(one)
        )


def _print_table(report: Report, wrong: Sequence[Judged]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    for title in ("n", "with answer", *(title for _, title in _COLUMNS)):
        table.add_column(title, justify="right", vertical="bottom")
    before = None
    for kind, name, figures in _rows(report):
        if before not in (None, kind):
            table.add_row()
        before = kind
        cells = [_counted(figures, key) if key in _COUNTED else _percent(figures, key) for key, _ in _COLUMNS]
        table.add_row(printable(name or kind), f"{figures.n:,}", f"{figures.right_first.of:,}", *cells)
    out = console()
    out.print(table)
    for one in wrong:
        said = _said(one)
        out.print()
        out.print(f"{one.question.id}  {printable(one.question.question)}", style="bold")
        out.print(f"   said {said.what}, {said.how_sure}   {said.file}")
        out.print(f"   expected {_expected(one)}", style="dim")


def _rows(report: Report) -> Iterator[tuple[str, str, Figures]]:
    """What the row is of, its name, and its figures."""
    yield from (("type", name, one) for name, one in report.by_type.items())
    yield from (("collection", name, one) for name, one in report.by_collection.items())
    yield "all", "", report.all


def _counted(figures: Figures, key: str) -> str:
    value = getattr(figures, key)
    if not isinstance(value, Share):
        return f"{value:.3f}"
    return f"{value.n}/{value.of}" if value.of else "-"


def _percent(figures: Figures, key: str) -> str:
    value = getattr(figures, key)
    if not isinstance(value, Share):
        return f"{value:.3f}"
    return "-" if value.percent is None else f"{value.percent:.0f}%"


@dataclass(frozen=True)
class _Said:
    what: str
    how_sure: str
    file: str


def _said(one: Judged) -> _Said:
    """The first answer, how it was given and where it stands."""
    first = one.reply.answers[0] if one.reply.answers else None
    if first is None:
        return _Said("nothing", "no answer", "")
    what = f'{first.label}: "{first.text}"' if first.label else f'"{first.text}"'
    how = "nothing found" if one.reply.found_nothing else "asserted" if one.reply.is_given else "not asserted"
    return _Said(printable(what), f"{first.confidence:.0%} {how}", printable(first.file))


def _expected(one: Judged) -> str:
    """What would have been right, and where."""
    if one.question.unanswerable:
        return "no answer"
    label = [] if one.question.yes_no is None else ["yes" if one.question.yes_no else "no"]
    golds = " | ".join([*label, *(f'"{gold}"' for gold in one.question.golds[:_GOLDS_SHOWN])])
    return printable(golds + (f" in {one.question.files[0]}" if one.question.files else ""))
