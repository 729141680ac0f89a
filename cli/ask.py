"""``qa ask``: one question, or a session of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deformer_qa.cli import exit_codes
from deformer_qa.cli.output import format_option, message, print_json, print_plain
from deformer_qa.cli.readers import loaded, reader_option
from deformer_qa.cli.stores import located, store_option
from deformer_qa.cli.where import NOTHING_MATCHES, parsed, where_option
from deformer_qa.pipeline.questions import checked_question

if TYPE_CHECKING:
    from deformer_qa.pipeline.asking import Pipeline
    from deformer_qa.pipeline.filters import Filter
    from deformer_qa.pipeline.results import Answers


@click.command()
@click.argument("question", required=False)
@store_option
@reader_option
@where_option
@click.option(
    "-n",
    "--answers",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    metavar="N",
    help="Answers shown at most.",
)
@click.option(
    "-k",
    "--candidates",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help="Passages read.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1, 200),
    default=30,
    show_default=True,
    metavar="N",
    help="Longest answer, in word pieces.",
)
@click.option(
    "--max-risk",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="R",
    help="Answer only where it is sure enough that at most a share R of such answers is wrong, for questions like "
    "those it was fitted on (docs/cli.md says what is promised); else say so, with exit code 1.",
)
@click.option("--strict-answers", is_flag=True, help="A best guess that is not sure is no answer: exit code 1.")
@format_option
def ask(
    question: str | None,
    store: Path | None,
    reader_folder: Path | None,
    where: str | None,
    answers: int,
    candidates: int,
    max_tokens: int,
    max_risk: float | None,
    strict_answers: bool,
    form: str,
) -> int:
    """Answer QUESTION from the index; "-" reads it from stdin, none at all opens a session.

    A question may have up to 254 word pieces. A best guess is marked as not sure. Exit code 1 means: nothing was found,
    or, with --max-risk or --strict-answers, nothing that is sure enough.
    """
    if question == "-":
        from deformer_qa.cli.stdin import question_on_stdin

        question = question_on_stdin()
    if question is None and not sys.stdin.isatty():
        raise click.UsageError('a QUESTION is needed (or "-" to read it from stdin).', click.get_current_context())
    if question is not None:
        question = checked_question(question)
    wanted = parsed(where)
    with opened(store, reader_folder) as pipeline:
        options = AskOptions(answers, candidates, max_tokens, max_risk, wanted, strict_answers)
        if question is None:
            from deformer_qa.cli.session import Session

            return Session(pipeline, options).run()
        made = options.ask(pipeline, question)
        print_answers(made, form, strict=strict_answers)
        return exit_codes.OK if is_answered(made, strict=strict_answers) else exit_codes.NEGATIVE


@dataclass
class AskOptions:
    """How questions are asked; a session changes them."""

    n_answers: int
    n_candidates: int
    max_tokens: int
    max_risk: float | None
    where: Filter | None = None
    strict: bool = False

    def ask(self, pipeline: Pipeline, question: str) -> Answers:
        """The answers to one question."""
        return pipeline.ask(
            question,
            n_answers=self.n_answers,
            n_candidates=self.n_candidates,
            max_tokens=self.max_tokens,
            max_risk=self.max_risk,
            where=self.where,
        )


def opened(store: Path | None, reader_folder: Path | None) -> Pipeline:
    """The pipeline over the store meant; what is loud about the store goes to stderr."""
    from deformer_qa.reader.description import describe_reader
    from deformer_qa.reader.shipped import SHIPPED
    from deformer_qa.store import open_snapshot

    folder = reader_folder or SHIPPED
    # The store first, no model is needed for it: one that is missing or of another encoder is told at once.
    snapshot = open_snapshot(located(store), encoder_id=describe_reader(folder).encoder_id)
    if snapshot.notice:
        message(f"qa: {snapshot.notice}")
    from deformer_qa.pipeline.asking import Pipeline

    return Pipeline(snapshot, loaded(reader_folder))


def is_answered(answers: Answers, *, strict: bool) -> bool:
    """Whether there is an answer; a guess is one too, unless --max-risk or --strict-answers ask for more."""
    if strict and not answers.sure:
        return False
    return answers.is_given if answers.risk else answers.outcome != "nothing"


def print_answers(answers: Answers, form: str, *, strict: bool = False) -> None:
    """In one of the output forms."""
    if answers.nothing_matches and form != "human":
        message(f"qa: {NOTHING_MATCHES}")
    if form == "json":
        print_json(answers.json())
    elif form == "ndjson":
        print_json(answers.json(), indent=False)
    elif form == "human":
        from deformer_qa.cli.answers_shown import show_answers

        show_answers(answers, strict=strict)
    elif not answers.nothing_matches:
        _print_lines(answers, strict)


def _print_lines(answers: Answers, strict: bool) -> None:
    """One line an answer; what is not sure of them goes to stderr."""
    caution = words_of_caution(answers, strict=strict)
    if answers.outcome == "nothing":
        places = dict.fromkeys(place.path for place in answers.nearest)
        message(f"qa: {caution}" + (f" Nearest: {', '.join(places)}" if places else ""))
        return
    if caution:
        message(f"qa: {caution}")
    for answer in answers.answers:
        place = answer.place
        span, where = f"{place.path}:{place.start}-{place.end}", place.location_in_words
        more = answer.label or (answer.long.text if answer.long else None)
        print_plain(place.text, f"{answer.confidence:.3f}", span, where, *([more] if more else []))


def words_of_caution(answers: Answers, *, strict: bool) -> str:
    """What is said before answers that are not asserted; "" where the best one is."""
    if answers.outcome == "nothing":
        return "Nothing found about this."
    best, risk = answers.answers[0].confidence, answers.risk
    if answers.abstains and risk is not None:
        if answers.asked == "yes_no":
            return "No answer given: for yes/no questions no risk is known (--max-risk). The best guess:"
        return (
            f"No answer given: --max-risk {risk.max_risk:g} needs a confidence of at least {risk.threshold:.0%}, "
            f"the best guess has {best:.0%}:"
        )
    if strict and not answers.sure:
        return f"No sure answer (--strict-answers); the best guess has a confidence of {best:.0%}:"
    return "" if answers.is_given else "Best guess, not sure:"
