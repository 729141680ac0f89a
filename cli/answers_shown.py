"""Answers for a person: highlighted in their sentence, with file, heading, confidence and time."""

from __future__ import annotations

import re

from rich.padding import Padding
from rich.text import Text

from deformer_qa.cli.ask import words_of_caution
from deformer_qa.cli.display import printable, printable_lines
from deformer_qa.cli.output import console
from deformer_qa.cli.where import NOTHING_MATCHES
from deformer_qa.pipeline.results import Answer, Answers, Place

_CONTEXT_CHARACTERS = 320
_BROKEN_LINE = re.compile(r"(?<=[^\n:.;])\n(?=[^\W\d_(\"'])")


def show_answers(answers: Answers, *, strict: bool = False) -> None:
    """All answers, best first, then what it cost; where nothing was found the nearest passages by name."""
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
        out.print(_headline(number, answer, weak=not answers.is_given))
        out.print(Padding(_long(answer.place, answer.long) if answer.long else _context(answer), (0, 0, 0, 3)))
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


def _headline(number: int, answer: Answer, *, weak: bool) -> Text:
    line, style = Text(f"{number}  ", style="dim"), "" if weak else "bold green"
    if not answer.long:
        line.append(answer.label.capitalize() if answer.label else printable(answer.place.text), style=style)
        line.append("   ")
    line.append(f"{answer.confidence:.0%}", style="cyan")
    return line


def _long(place: Place, long: Place) -> Text:
    """A sentence, step or list with the span marked; lines that a text only breaks for its width are one."""
    text = _BROKEN_LINE.sub(" ", long.text)  # one character for one
    start, end = place.start - long.start, place.end - long.start
    line = Text(printable_lines(text[:start]))
    line.append(printable_lines(text[start:end]), style="bold reverse" if text[:start] or text[end:] else "bold")
    line.append(printable_lines(text[end:]))
    return line


def _context(answer: Answer) -> Text:
    before, inside, after = _around(answer)
    line = Text()
    line.append(printable(before))
    line.append(printable(inside), style="bold reverse")
    line.append(printable(after))
    return line


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
