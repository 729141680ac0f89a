"""Find the long answer around a span: its sentence, step, list or manual entry.

A text is divided into blocks: paragraphs, list items, table rows and headings. A line that ends with a colon introduces
the block after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deformer_qa.pipeline.clues import stems
from deformer_qa.pipeline.questions import Kind
from deformer_qa.reader.borders.units import statement_around
from deformer_qa.reader.passages import Span

MOST_LINES = 10
"""The longest list that is shown whole."""
_MOST_CHARACTERS = 600
"""The longest sentence or item; a longer text has no sentence ends, so the words around the span are shown."""
_LOOKED_AROUND = 5_000
"""How many characters on each side of a span are searched for its list."""
_ITEM = re.compile(r"[^\S\n]*(?:[-*+•‣▪◦–]|\(?(?:\d{1,3}|[a-z])[.)])[^\S\n]+")
_ROW = re.compile(r"[^\S\n]*[|#]")
_CODE = re.compile(r"(?: {4}|\t|\$ |```)")
_ENDS_SENTENCE = re.compile(r"[.!?…。！？][\"'”’»)\]*_]*$")
_WORD = re.compile(r"[^\W\d_]{2,}")
_FEWEST_WORDS, _FEWEST_OF_ITEM = 2, 3
_FEWEST_LETTERS = 4  # of a sentence written without blanks


@dataclass(frozen=True)
class _Block:
    """Lines that belong together: ``text[start:end]``, without blank lines."""

    start: int
    end: int
    is_item: bool


def long_span(text: str, start: int, end: int, kind: Kind) -> Span:
    """Return the part of a text that answers this kind of question, around the span ``text[start:end]``.

    A list question gets the whole list, at most ``MOST_LINES`` lines. A how-to question gets the whole list item, any
    other question the sentence. A sentence that ends with a colon includes the block it introduces. A FAQ's question
    includes its answer. A command that answers a how-to question includes the sentence that introduces it.
    """
    low, high = max(0, start - 2 * _LOOKED_AROUND), min(len(text), end + 2 * _LOOKED_AROUND)
    first = text.rfind("\n", low, max(0, start - _LOOKED_AROUND)) + 1 or low
    last = text.find("\n", end + _LOOKED_AROUND, high)
    blocks = _blocks(text, first, high if last < 0 else last)
    here = next((number for number, block in enumerate(blocks) if block.end > start), None)
    if here is None:
        return Span(start, end)
    if kind == "list" and blocks[here].is_item:
        found = _list_at(text, blocks, here, end)
    else:
        found = _statement_at(text, blocks, here, Span(start, end), kind)
    return Span(min(found.start, start), max(found.end, end))


def is_sentence(text: str) -> bool:
    """Whether a text is a whole sentence or list item, not a heading, table row, label or fragment."""
    text = text.strip()
    if not text or text[0] in "#|":
        return False
    n_words = len(_WORD.findall(text))
    if _ENDS_SENTENCE.search(text) is None:
        return n_words >= _FEWEST_OF_ITEM and _ITEM.match(text) is not None
    return n_words >= _FEWEST_WORDS or (" " not in text and sum(map(str.isalpha, text)) >= _FEWEST_LETTERS)


def _blocks(text: str, first: int, last: int) -> list[_Block]:
    """Divide ``text[first:last]`` into blocks, in order; ``first`` and ``last`` are borders of lines."""
    blocks: list[_Block] = []
    start: int | None = None
    is_item = False
    at = first
    for line in text[first:last].splitlines(keepends=True):
        is_blank, begins = not line.strip(), _ITEM.match(line) is not None
        if start is not None and (is_blank or begins or _ROW.match(line) or _ROW.match(text, start)):
            blocks.append(_Block(start, at, is_item))
            start = None
        if start is None and not is_blank:
            start, is_item = at, begins
        at += len(line)
    if start is not None:
        blocks.append(_Block(start, at, is_item))
    return [_stripped(text, block) for block in blocks]


def _stripped(text: str, block: _Block) -> _Block:
    part = text[block.start : block.end]
    return _Block(block.start + len(part) - len(part.lstrip("\n")), block.start + len(part.rstrip()), block.is_item)


def _list_at(text: str, blocks: Sequence[_Block], here: int, end: int) -> Span:
    """Return the list around an item, with the line that introduces it."""
    first = last = here
    while first > 0 and _are_of_one_list(text, blocks[first - 1], blocks[first]):
        first -= 1
    while last + 1 < len(blocks) and _are_of_one_list(text, blocks[last], blocks[last + 1]):
        last += 1
    introduced = first > 0 and _introduces(text, blocks[first - 1])
    while _n_lines(text, blocks[first].start, max(blocks[here].end, end)) > MOST_LINES and first < here:
        first, introduced = first + 1, False
    while _n_lines(text, blocks[first].start, blocks[last].end) > MOST_LINES and last > here:
        last -= 1
    start = _last_sentence(text, blocks[first - 1]).start if introduced else _without_indent(text, blocks[first])
    return Span(start, blocks[last].end)


def _are_of_one_list(text: str, one: _Block, next_one: _Block) -> bool:
    """Whether two blocks are items of one list; after a blank line a different mark begins a new list."""
    if not one.is_item or not next_one.is_item:
        return False
    marks = [text[_without_indent(text, block)] for block in (one, next_one)]
    is_same = marks[0] == marks[1] or (marks[0].isalnum() and marks[1].isalnum())
    return is_same or text.count("\n", one.end, next_one.start) < 2


def _statement_at(text: str, blocks: Sequence[_Block], here: int, span: Span, kind: Kind) -> Span:
    """Return the sentence or step around a span, with the block it introduces or the line that introduces it."""
    block = blocks[here]
    whole = kind == "how_to" and block.is_item and block.end - block.start <= _MOST_CHARACTERS
    found = Span(_without_indent(text, block), block.end) if whole else _sentence(text, block, span)
    if found.end >= block.end:
        is_asked = text[found.start : found.end].endswith("?") and not block.is_item  # as headings of a FAQ ask
        introduces = is_asked or text[found.start : found.end].endswith(":")
        if introduces or (kind == "how_to" and _is_code(text, blocks, here + 1)):
            return Span(found.start, _end_of_introduced(text, blocks, here, found.end))
        is_introduced = here > 0 and not block.is_item and _introduces(text, blocks[here - 1])
        if kind == "how_to" and is_introduced and not blocks[here - 1].is_item:
            return Span(_last_sentence(text, blocks[here - 1]).start, found.end)
    return found


def _end_of_introduced(text: str, blocks: Sequence[_Block], here: int, otherwise: int) -> int:
    """Return the end of the list or other single block that a block introduces."""
    last = here + 1
    if last >= len(blocks) or text[blocks[last].start] == "#":
        return otherwise
    while last + 1 < len(blocks) and _are_of_one_list(text, blocks[last], blocks[last + 1]):
        if _n_lines(text, blocks[here + 1].start, blocks[last + 1].end) > MOST_LINES:
            break
        last += 1
    lines = text[blocks[here + 1].start : blocks[last].end].splitlines(keepends=True)[:MOST_LINES]
    part = "".join(lines)
    if not blocks[last].is_item and len(part) > _MOST_CHARACTERS:
        part = part[: statement_around(part, 0, 1).end][:_MOST_CHARACTERS]
    return blocks[here + 1].start + len(part.rstrip())


def _sentence(text: str, block: _Block, span: Span) -> Span:
    inside = text[block.start : block.end]
    start, end = span.start - block.start, min(span.end, block.end) - block.start
    around = statement_around(inside, max(0, start), max(0, end))
    if around.end - around.start > _MOST_CHARACTERS:
        around = _near(inside, start, end)
    return Span(block.start + around.start, block.start + around.end)


def _near(text: str, start: int, end: int) -> Span:
    """Return whole words around a span, for a text without sentence ends."""
    room = max(0, _MOST_CHARACTERS - (end - start)) // 2
    first = max(0, start - room)
    last = min(len(text), end + room)
    if first:
        blank = text.find(" ", first, max(first, start))
        first = blank + 1 if blank >= 0 else first
    if last < len(text):
        blank = text.rfind(" ", end, last)
        last = blank if blank >= 0 else last
    return Span(first, last)


def _last_sentence(text: str, block: _Block) -> Span:
    return _sentence(text, block, Span(block.end - 1, block.end))


def _introduces(text: str, block: _Block) -> bool:
    return text[block.start : block.end].endswith(":")


def _is_code(text: str, blocks: Sequence[_Block], number: int) -> bool:
    return number < len(blocks) and _CODE.match(text, blocks[number].start) is not None


def _without_indent(text: str, block: _Block) -> int:
    part = text[block.start : block.end]
    return block.start + len(part) - len(part.lstrip())


def _n_lines(text: str, start: int, end: int) -> int:
    return text.count("\n", start, end) + 1


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
    """An entry of a manual: a head, and the body that explains it."""

    head: Span
    body: Span


def entry_around(text: str, start: int, end: int) -> Entry | None:
    """Return the entry whose head or body contains ``text[start:end]``, None if there is none.

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
    """Return the end of an entry's body, which goes on over lines that are indented more than the head."""
    end, indent = entry.end("body"), len(entry["indent"].expandtabs())
    while end < len(text):
        below = _LINE.match(text, end + 1)
        if below is None or below["rest"] is None or len(below["indent"].expandtabs()) <= indent:
            break
        end = below.end("rest")
    return end


def is_typed(head: str) -> bool:
    """Whether a head is typed by users: an option, command, path or setting, not prose or a label."""
    words = head.split()
    if len(words) == 1 and words[0].lower() in _LABELS:
        return False
    return len(words) <= _MOST_WORDS and (_TYPED if len(words) == 1 else _SIGNED).match(head) is not None


def answering_part(text: str, start: int, end: int, kind: Kind, question: str) -> tuple[Span, Span] | None:
    """In the entry around ``text[start:end]``, find the part that answers the question, and the part to show.

    "How do I ..." is answered by a head that can be typed, if the span is in the body and shows nothing to type. A
    question about the meaning of the head is answered by the body's first sentence, if the span is not in it. Returns
    None if the span itself is the answer.
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
