"""``qa eval questions``: measure answers to a user's own questions about their own documents."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from deformer_qa.cli.lab.run import fail_under_option
from deformer_qa.cli.lab.run import judged as judged_figure
from deformer_qa.cli.options import loaded, reader_option
from deformer_qa.cli.output import console, emit, format_option, message
from deformer_qa.cli.terminal.progress import counting
from deformer_qa.cli.terminal.streams import printable
from deformer_qa.pipeline import N_CANDIDATES
from deformer_qa.reader.shipped import SHIPPED

if TYPE_CHECKING:
    from deformer_qa.lab.measure.questions import GoldQuestion
    from deformer_qa.lab.measure.replies import ReplyFile, Setting
    from deformer_qa.lab.measure.scores import Figures, Judged, Reply, Report
    from deformer_qa.reader.encoder import Encoder
    from deformer_qa.reader.reading import SplitReader


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
"""Shares of a total that no column shows; the table prints them as counts, the others as percentages."""
_GOLDS_SHOWN = 2


def _lines(report: Report, wrong: Sequence[Judged]) -> Iterator[tuple[object, ...]]:
    """Yield the rows, then the answers that are not right."""
    yield "", "", "n", *(title for _, title in _COLUMNS)
    for kind, name, figures in _rows(report):
        yield kind, name, figures.n, *(_counted(figures, key) for key, _ in _COLUMNS)
    for one in wrong:
        said = _said(one)
        yield "wrong", one.question.id, one.question.question, said.what, said.how_sure, said.file, _expected(one)


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
    """Yield the kind of each row, its name, and its figures."""
    yield from (("type", name, one) for name, one in report.by_type.items())
    yield from (("collection", name, one) for name, one in report.by_collection.items())
    yield "all", "", report.all


def _counted(figures: Figures, key: str) -> str:
    value = getattr(figures, key)
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value.n}/{value.of}" if value.of else "-"


def _percent(figures: Figures, key: str) -> str:
    value = getattr(figures, key)
    if isinstance(value, float):
        return f"{value:.3f}"
    return "-" if value.percent is None else f"{value.percent:.0f}%"


@dataclass(frozen=True)
class _Said:
    what: str
    how_sure: str
    file: str


def _said(one: Judged) -> _Said:
    """Describe the first answer: its text, how it was given, and its file."""
    first = one.reply.answers[0] if one.reply.answers else None
    if first is None:
        return _Said("nothing", "no answer", "")
    what = f'{first.label}: "{first.text}"' if first.label else f'"{first.text}"'
    how = "nothing found" if one.reply.found_nothing else "asserted" if one.reply.is_given else "not asserted"
    return _Said(printable(what), f"{first.confidence:.0%} {how}", printable(first.file))


def _expected(one: Judged) -> str:
    """Describe the right answer and its file."""
    if one.question.unanswerable:
        return "no answer"
    label = [] if one.question.yes_no is None else ["yes" if one.question.yes_no else "no"]
    golds = " | ".join([*label, *(f'"{gold}"' for gold in one.question.golds[:_GOLDS_SHOWN])])
    return printable(golds + (f" in {one.question.files[0]}" if one.question.files else ""))


@click.command(name="questions")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, readable=False),
    metavar="DIR",
    help="The documents. Default: the folder corpus beside the questions.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path, readable=False),
    metavar="DIR",
    help="Keep the index there, for these documents alone; with --by-collection, DIR holds one index for each "
    "collection. Default: a temporary index.",
)
@reader_option
@click.option(
    "--together/--by-collection",
    default=True,
    show_default=True,
    help="Search all documents for each question, or only those of its collection.",
)
@click.option(
    "-k",
    "--candidates",
    type=click.IntRange(1, 1000),
    default=N_CANDIDATES,
    show_default=True,
    metavar="N",
    help="Read N passages for each question.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N questions of each collection.")
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="NAME",
    help="Only the questions of this collection. May be given several times.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Write each reply there, one JSON object per line; questions with a reply in FILE are not asked again.",
)
@click.option(
    "--wrong",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Also print the N most confident answers that are not right.",
)
@fail_under_option("PERCENT")
@format_option
def questions_(
    folder: Path,
    corpus: Path | None,
    store: Path | None,
    reader_folder: Path | None,
    together: bool,
    candidates: int,
    limit: int | None,
    collections: tuple[str, ...],
    out: Path | None,
    wrong: int,
    fail_under: float | None,
    form: str,
) -> int:
    """Answer the questions of DIR/questions.jsonl from the documents in DIR/corpus, and count the right answers.

    docs/how-to/measure-your-own-questions.md says how to write them. Figures are given by type, by collection and for
    all questions. --fail-under is compared with the share of answerable questions whose first answer is right.
    """
    from deformer_qa.lab.measure.questions import CORPUS, QUESTIONS, read_gold_questions
    from deformer_qa.lab.measure.replies import ReplyFile
    from deformer_qa.lab.measure.scores import report, worst
    from deformer_qa.reader.checkpoint import reader_digest
    from deformer_qa.reader.description import describe_reader

    corpus = corpus or folder / CORPUS
    asked = _chosen(read_gold_questions(folder / QUESTIONS, corpus), collections, limit)
    if fail_under is not None and all(one.unanswerable for one in asked):
        raise click.UsageError("--fail-under: none of these questions is answerable.")
    about = describe_reader(reader_folder or SHIPPED)
    run = _Run(reader_folder, reader_digest(about.folder), candidates, together, ReplyFile(out))
    with _groups(asked, corpus, store, together=together) as groups:
        made = run.judged(groups)
    found = report(made)
    shown = worst(made, wrong)
    result = {"reader": about.name, "candidates": candidates, "together": together, **found.json()}
    result["wrong"] = [_wrong_json(one) for one in shown]
    emit(form, result, _lines(found, shown), human=lambda: _print_table(found, shown))
    return judged_figure("right first", found.all.right_first.percent or 0.0, fail_under)


def _chosen(questions: list[GoldQuestion], collections: Sequence[str], limit: int | None) -> list[GoldQuestion]:
    """The questions that the options select, in order."""
    there = dict.fromkeys(one.collection for one in questions)
    for name in collections:
        if name not in there:
            known = ", ".join(filter(None, there)) or "none"
            raise click.UsageError(f"--collection {name}: no question has it; collections in the file: {known}.")
    taken: dict[str, int] = {}
    chosen = []
    for one in questions:
        if collections and one.collection not in collections:
            continue
        taken[one.collection] = taken.get(one.collection, 0) + 1
        if limit is None or taken[one.collection] <= limit:
            chosen.append(one)
    return chosen


@dataclass(frozen=True)
class _Group:
    """Questions to ask about one folder, through one store."""

    root: Path
    store: Path
    questions: Sequence[GoldQuestion]


@contextmanager
def _groups(
    questions: Sequence[GoldQuestion], corpus: Path, store: Path | None, *, together: bool
) -> Iterator[list[_Group]]:
    """Group all questions over the corpus, or those of each collection over its folder.

    :param store: where to keep the stores; None for a temporary folder, removed at the end.
    """
    with ExitStack() as removed:
        if store is None:
            store = Path(removed.enter_context(tempfile.TemporaryDirectory(prefix="qa-eval-"))) / "store"
        if together:
            yield [_Group(corpus, store, questions)]
            return
        by_name: dict[str, list[GoldQuestion]] = {}
        for one in questions:
            if not one.collection:
                raise click.UsageError(f"--by-collection: the question of line {one.line} names no collection.")
            by_name.setdefault(one.collection, []).append(one)
        yield [_Group(corpus / name, store / name, those) for name, those in by_name.items()]


@dataclass
class _Run:
    """Indexes, asks and judges; the reader is loaded for the first question."""

    reader_folder: Path | None
    reader_digest: str
    candidates: int
    together: bool
    kept: ReplyFile
    reader: SplitReader | None = None

    def judged(self, groups: Sequence[_Group]) -> list[Judged]:
        """The judged replies, in the order of the groups. Kept replies are counted before any question is asked."""
        from deformer_qa.lab.measure.replies import Setting, folder_digest
        from deformer_qa.lab.measure.scores import judged

        settings = [
            Setting(self.reader_digest, self.candidates, self.together, folder_digest(group.root)) for group in groups
        ]
        for group, setting in zip(groups, settings, strict=True):
            n_kept = sum(self.kept.reply(one, setting) is not None for one in group.questions)
            if n_kept:
                message(f"{group.root.name}: {n_kept:,} of {len(group.questions):,} replies are kept from before")
        return [
            judged(question, reply)
            for group, setting in zip(groups, settings, strict=True)
            for question, reply in zip(group.questions, self._replies(group, setting), strict=True)
        ]

    def _replies(self, group: _Group, setting: Setting) -> list[Reply]:
        """The reply to each question; if all are kept, nothing is indexed and no model loaded."""
        from deformer_qa.lab.measure.replies import replies
        from deformer_qa.pipeline.ask import Pipeline

        kept = [self.kept.reply(one, setting) for one in group.questions]
        if None not in kept:
            return [reply for reply in kept if reply is not None]
        check_own_store(group.store, group.root)
        if self.reader is None:
            self.reader = loaded(self.reader_folder)
        index_corpus(group.root, group.store, self.reader.encoder)
        with Pipeline.open(group.store, self.reader) as pipeline, counting(len(group.questions)) as advance:
            began = time.perf_counter()
            made = list(replies(pipeline, group.questions, setting, self.kept, lambda: advance("ask")))
        asked = f"asked {kept.count(None):,} of {len(made):,} questions"
        message(f"{group.root.name}: {asked} in {time.perf_counter() - began:.0f} s")
        return made


def check_own_store(store: Path, root: Path) -> None:
    """Refuse a store that holds documents from elsewhere, because answers would come from them too.

    :raises click.UsageError: naming the first of their roots.
    """
    from deformer_qa.store import StoreMissing, open_snapshot

    try:
        with open_snapshot(store) as snapshot:
            roots = {*snapshot.roots, *(one.root for one in snapshot.iter_documents())}
    except StoreMissing:
        return
    elsewhere = sorted(roots - {str(root.resolve())})
    if elsewhere:
        raise click.UsageError(
            f"--store {store}: found documents of {elsewhere[0]} there, expected those of {root} alone; "
            "give a folder of its own."
        )


def index_corpus(root: Path, store: Path, encoder: Encoder) -> None:
    """Bring a store up to date with a folder; report on stderr what was done and skipped."""
    from deformer_qa.cli.terminal.progress import Outcomes, print_reasons, summary, watching
    from deformer_qa.indexer.sync import sync

    with watching("plain", Outcomes(None)) as on_event:
        done = sync(store, encoder, [root], on_event=on_event)
    message(f"{root.name}: {summary(done)}")
    print_reasons(done)
    if not done.n_passages:
        raise click.UsageError(f"{root}: contains no document that can be indexed.")


def _wrong_json(one: Judged) -> dict[str, Any]:
    first = one.reply.answers[0] if one.reply.answers else None
    return {
        "id": one.question.id,
        "question": one.question.question,
        "answer": first.text if first else None,
        "label": first.label if first else None,
        "file": first.file if first else None,
        "confidence": one.reply.confidence,
        "given": one.reply.is_given,
        "answers": list(one.question.golds),
        "yes_no": one.question.yes_no,
        "unanswerable": one.question.unanswerable,
        "files": list(one.question.files),
    }
