"""An option, a command or a term with its meaning behind it: who asks what to type wants the head, not the meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deformer_qa.pipeline.clues import stems
from deformer_qa.pipeline.questions import Kind
from deformer_qa.reader.borders.units import statement_around
from deformer_qa.reader.passages import Span

_ENTRY = re.compile(
    r"(?P<indent>[^\S\n]*)(?:[-*•‣▪][^\S\n]+)?"
    r"(?P<head>\S(?:[^\n:]|:(?!\s)){0,78}?)"
    r"(?:[^\S\n]*:[^\S\n]+|[^\S\n]+[–—][^\S\n]+|\t\s*|[^\S\n]{2,})(?P<body>\S[^\n]*)"
)
_LINE = re.compile(r"(?P<indent>[^\S\n]*)(?P<rest>\S[^\n]*)?(?:\n|\Z)")
_SIGNED = re.compile(r"(?<!\S)(?:--?\w|[$%/~]\S|\w+(?:[_=]\w|\())")
_TYPED = re.compile(rf"{_SIGNED.pattern}|[a-z][\w.+-]*$|[A-Z][a-z]+(?:[A-Z]+[a-z]*)+$|[A-Z]{{2,}}[A-Z0-9]*$")
_BRACKETS = re.compile(r"\s*\([^()]*\)")
_MOST_WORDS = 5  # of a head that is typed: "-f FILE, --file FILE"
_LABELS = frozenset(("note", "warning", "caution", "tip", "important", "example", "default", "see", "todo", "faq"))
_MOST_LINES = 40  # between an entry's head and a span in its body


@dataclass(frozen=True)
class Entry:
    """A head, and the part of a text that says what it means."""

    head: Span
    body: Span


def entry_around(text: str, start: int, end: int) -> Entry | None:
    """The entry whose head or body holds ``text[start:end]``, None where it stands in none.

    A head stands before a colon, a dash, a tab or a wide gap, or alone on the line above a body that is indented more.
    """
    line_start = text.rfind("\n", 0, start) + 1
    found = _ENTRY.match(text, line_start)
    if found and found.end() >= end:
        return Entry(Span(*found.span("head")), Span(found.start("body"), _end_of_body(text, found)))
    here = _LINE.match(text, line_start)
    assert here is not None
    indent = len(here["indent"].expandtabs())
    for _ in range(_MOST_LINES):
        if not indent or not line_start:
            return None
        line_start = text.rfind("\n", 0, line_start - 1) + 1
        above = _LINE.match(text, line_start)
        assert above is not None
        if above["rest"] is None or len(above["indent"].expandtabs()) >= indent:
            continue
        entry = _ENTRY.match(text, line_start)
        if entry and len(text[line_start : entry.start("body")].expandtabs()) >= indent:
            return Entry(Span(*entry.span("head")), Span(entry.start("body"), max(end, entry.end("body"))))
        body = text[above.end() :]
        first = above.end() + len(body) - len(body.lstrip())
        return Entry(Span(*above.span("rest")), Span(first, max(end, first)))
    return None


def _end_of_body(text: str, entry: re.Match[str]) -> int:
    """Behind the lines that go on with an entry's body: those indented more than its head."""
    end, indent = entry.end("body"), len(entry["indent"].expandtabs())
    while end < len(text):
        below = _LINE.match(text, end + 1)
        if below is None or below["rest"] is None or len(below["indent"].expandtabs()) <= indent:
            break
        end = below.end("rest")
    return end


def is_typed(head: str) -> bool:
    """Whether a head is what somebody types: an option, a command, a path or a setting, and no words or label."""
    words = head.split()
    if len(words) == 1 and words[0].lower() in _LABELS:
        return False
    return len(words) <= _MOST_WORDS and (_TYPED if len(words) == 1 else _SIGNED).match(head) is not None


def answering_part(text: str, start: int, end: int, kind: Kind, question: str) -> tuple[Span, Span] | None:
    """What of an entry answers a question, and the part to show, by a span ``text[start:end]`` that was read in it.

    "How do I ..." is answered by a head that can be typed, where the span stands in its body and shows nothing to type.
    A question for the meaning of the head is answered by the first sentence of the body, where the span is not in it.
    None where the span itself is the answer.
    """
    entry = entry_around(text, start, end) if kind in ("how_to", "definition") else None
    if entry is None:
        return None
    head = text[entry.head.start : entry.head.end]
    is_asked = stems(_BRACKETS.sub("", head) or head) <= stems(question)
    around = statement_around(text[entry.body.start : entry.body.end], 0, 1)
    first = Span(entry.body.start, entry.body.start + around.end)
    shown = Span(entry.head.start, first.end)
    if kind == "definition":
        return (first, shown) if is_asked and not first.start <= start < first.end else None
    shows_code = start < entry.body.start or _SIGNED.search(text[start:end])
    return None if is_asked or shows_code or not is_typed(head) else (entry.head, shown)
