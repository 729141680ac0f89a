"""Answers for a person: highlighted in their sentence, with file, heading, confidence and time."""

from __future__ import annotations

from rich.padding import Padding
from rich.text import Text

from deformer_qa.cli.ask import not_sure_enough
from deformer_qa.cli.display import printable
from deformer_qa.cli.output import console
from deformer_qa.cli.where import NOTHING_MATCHES
from deformer_qa.pipeline.results import Answer, Answers, Place

_CONTEXT_CHARACTERS = 320


def show_answers(answers: Answers) -> None:
    """All answers, best first, then what it cost."""
    out = console()
    if answers.nothing_matches:
        out.print(Text(_capitalized(NOTHING_MATCHES), style="yellow"))
    elif answers.no_answer_is_best and not answers.is_given:
        line = Text(f"These documents do not say ({answers.no_answer_confidence:.0%} sure).", style="yellow")
        if answers.answers:
            line.append(" Nearest:", style="dim")
        out.print(line)
    elif answers.abstains:
        out.print(Text(_capitalized(not_sure_enough(answers)), style="yellow"))
    for number, answer in enumerate(answers.answers, start=1):
        out.print(_headline(number, answer, weak=not answers.is_given))
        out.print(Padding(_context(answer), (0, 0, 0, 3)))
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
    line.append(answer.label.capitalize() if answer.label else printable(answer.place.text), style=style)
    line.append(f"   {answer.confidence:.0%}", style="cyan")
    return line


def _capitalized(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


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
