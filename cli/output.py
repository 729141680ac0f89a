"""Prints results to stdout in the requested form, and messages to stderr; defines the exit codes."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from deformer_qa.cli.terminal.streams import NamedStream, behind, harmless, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    from deformer_qa.pipeline.results import Answer, Answers, Place


class ExitCode(IntEnum):
    """The exit code of a command; docs/reference/conventions.md explains them."""

    OK = 0
    NEGATIVE = 1
    """A result, but a negative one: no answer, damage found, below --fail-under."""
    USAGE = 2
    RUNTIME = 3
    STORE = 4
    """The store is missing, unusable, or of another format or encoder."""
    LOCKED = 5
    INTERRUPTED = 130


FORMATS = ("auto", "human", "json", "ndjson", "plain")
JSON_FORMS = ("json", "ndjson")


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--format``; "auto" becomes human on a terminal, plain otherwise."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="auto",
        envvar="QA_FORMAT",
        show_default=True,
        callback=lambda context, option, value: chosen_form(value),
        help="auto is human on a terminal, plain otherwise.",
    )(command)


def chosen_form(form: str) -> str:
    """One of human, json, ndjson, plain."""
    if form != "auto":
        return form
    return "human" if sys.stdout.isatty() else "plain"


def print_json(value: Any, *, indent: bool = True) -> None:
    """Print a JSON value; everything outside ASCII is escaped, so it is exact and safe on any terminal."""
    sys.stdout.write(json.dumps(value, indent=1 if indent else None, allow_nan=False) + "\n")


def print_text(text: str) -> None:
    """Print text in UTF-8, made harmless character by character; a terminal also gets a line end."""
    inner = behind(sys.stdout)
    if isinstance(inner, io.TextIOWrapper):
        inner.reconfigure(encoding="utf-8")
    sys.stdout.write(harmless(text) + "\n" * inner.isatty())


def print_plain(*fields: Any) -> None:
    """Print one line of tab-separated fields, made safe to print."""
    sys.stdout.write("\t".join(printable(str(field)) for field in fields) + "\n")


def emit(
    form: str, result: dict[str, Any], rows: Iterable[Iterable[object]], human: Callable[[], None] | None = None
) -> None:
    """Print a result in the requested form.

    :param result: for json and ndjson, without its "schema".
    :param rows: for plain, one line of fields each.
    :param human: prints for people; None if the rows serve.
    """
    if form in JSON_FORMS:
        print_json({"schema": 1, **result}, indent=form == "json")
    elif form == "plain" or human is None:
        for fields in rows:
            print_plain(*fields)
    else:
        human()


def emit_facts(form: str, facts: dict[str, Any], rows: Sequence[tuple[str, str]]) -> None:
    """Print facts by name in the requested form; for people the names stand below each other."""
    width = max(len(name) for name, _ in rows)
    lines = [printable(f"{name:<{width}}  {fact}") for name, fact in rows]
    emit(form, facts, rows, human=lambda: console().print(*lines, sep="\n"))


def emit_counts(form: str, counts: dict[str, int]) -> None:
    """Print numbers by name in the requested form."""
    words = [f"{name} {n:,}" if name == "generation" else f"{n:,} {name}" for name, n in counts.items()]
    emit(form, counts, counts.items(), human=lambda: print_plain(", ".join(words)))


def safe_console(**options: Any) -> Console:
    """A console that makes all text harmless; only rich's own styles and cursor moves pass, and no links.

    rich is imported here, because most forms of output need none of it.
    """
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                style = segment.style.update_link(None) if segment.style and segment.style.link else segment.style
                yield segment if segment.control else Segment(harmless(segment.text), style)

        def on_broken_pipe(self) -> None:
            """Leave the error to the caller; rich would exit with 1."""
            raise BrokenPipeError

    return SafeConsole(**options)


def console() -> Console:
    """The console for results; markup in text is not interpreted."""
    return safe_console(file=_styled("stdout"), markup=False, highlight=False, emoji=False, soft_wrap=False)


def message(text: str) -> None:
    """Print one line to stderr; errors of writing are ignored."""
    with suppress(OSError):
        sys.stderr.write(printable(text) + "\n")


def messages_console() -> Console:
    """The console for progress, on stderr."""
    return safe_console(file=_styled("stderr"), stderr=True, markup=False, highlight=False, emoji=False)


def _styled(name: str) -> TextIO:
    return cast(TextIO, NamedStream(behind(getattr(sys, name)), name))


NOTHING_MATCHES = "no document matches the filter."
_CONTEXT_CHARACTERS = 320
_BROKEN_LINE = re.compile(r"(?<=[^\n:.;])\n(?=[^\W\d_(\"'])")


def words_of_caution(answers: Answers, *, strict: bool) -> str:
    """The sentence to print before answers that are not asserted; "" if the best one is."""
    if answers.outcome == "nothing":
        return "Nothing found about this."
    best, risk = answers.answers[0].confidence, answers.risk
    if answers.abstains and risk is not None:
        if answers.asked == "yes_no":
            return "No answer given: this reader guarantees no risk for yes/no questions (--max-risk). The best guess:"
        return (
            f"No answer given: --max-risk {risk.max_risk:g} needs a confidence of at least {risk.threshold:.0%}, "
            f"the best guess has {best:.0%}:"
        )
    if strict and not answers.sure:
        return f"No sure answer (--strict-answers); the best guess has a confidence of {best:.0%}:"
    return "" if answers.is_given else "Best guess, not sure:"


def show_answers(answers: Answers, *, strict: bool = False) -> None:
    """Print all answers, best first, and the time taken; if nothing was found, the places of the nearest passages."""
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    if answers.nothing_matches:
        out.print(Text(NOTHING_MATCHES[:1].upper() + NOTHING_MATCHES[1:], style="yellow"))
    elif caution := words_of_caution(answers, strict=strict):
        line = Text(caution, style="yellow")
        if answers.nearest:
            line.append(" Nearest:", style="dim")
        out.print(line)
    for place in answers.nearest:
        out.print(Padding(Text(place_line(place), style="dim"), (0, 0, 0, 3)))
    for number, answer in enumerate(answers.answers if answers.outcome != "nothing" else (), start=1):
        out.print(Text.assemble(*_headline(number, answer, weak=not answers.is_given), style="dim"))
        parts = _long(answer.place, answer.long) if answer.long else _context(answer)
        out.print(Padding(Text.assemble(*parts), (0, 0, 0, 3)))
        out.print(Padding(Text(place_line(answer.place), style="dim"), (0, 0, 0, 3)))
        if answer.evidence:
            also = "; ".join(dict.fromkeys(printable(place.path) for place in answer.evidence))
            out.print(Text(f"   also in {also}", style="dim"))
    out.print(Text(f"{answers.timings_ms['total']:.0f} ms", style="dim"))


def place_line(place: Place) -> str:
    """File, heading, page and passage of a place, on one line, safe to print."""
    parts = [printable(place.path)]
    if place.heading:
        parts.append(printable(place.heading))
    if place.location:
        parts.append(printable(place.location_in_words))
    return " › ".join(parts) + f"   passage {place.passage}"


_Part = tuple[str, str]
"""A text and its style."""


def _headline(number: int, answer: Answer, *, weak: bool) -> list[_Part]:
    shown = answer.label.capitalize() if answer.label else printable(answer.place.text)
    span = [] if answer.long else [(shown, "" if weak else "bold green"), ("   ", "")]
    return [(f"{number}  ", ""), *span, (f"{answer.confidence:.0%}", "cyan")]


def _long(place: Place, long: Place) -> list[_Part]:
    """A sentence, step or list with its span marked; lines broken only for their width are joined."""
    text = _BROKEN_LINE.sub(" ", long.text)  # keeps the length, so offsets stay valid
    start, end = place.start - long.start, place.end - long.start
    style = "bold reverse" if text[:start] or text[end:] else "bold"
    return _marked(*map(printable_lines, (text[:start], text[start:end], text[end:])), style=style)


def _context(answer: Answer) -> list[_Part]:
    return _marked(*map(printable, _around(answer)), style="bold reverse")


def _marked(before: str, inside: str, after: str, *, style: str) -> list[_Part]:
    return [(before, ""), (inside, style), (after, "")]


def _around(answer: Answer) -> tuple[str, str, str]:
    start = answer.place.start - answer.context_start
    end = answer.place.end - answer.context_start
    before, inside, after = answer.context[:start], answer.context[start:end], answer.context[end:]
    room = max(40, (_CONTEXT_CHARACTERS - len(inside)) // 2)
    if len(before) > room:
        before = "…" + before[-room:]
    if len(after) > room:
        after = after[:room] + "…"
    return before, inside, after
