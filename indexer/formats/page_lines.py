"""Turns lines printed on pages into running text: paragraphs, headings, and divided words joined again.

A PDF has characters at positions, but no paragraphs. They are found by the positions of lines: by the space between
them, by an indent, and by a line that ends although it had room for the first word of the next one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise, zip_longest
from statistics import quantiles

from deformer_qa.indexer.formats.builder import Layout
from deformer_qa.indexer.formats.page_tables import Piece, PrintedTable, tables

_TYPED_HYPHENS = "-\u2010"
_HYPHENS = tuple(_TYPED_HYPHENS + "\u00ad\u0002\ufffe")  # the last two are PDFium's
_LAST_WORD = re.compile(r"[^\W\d_]+$")
_INNER_HYPHEN = re.compile(r"([^\W\d_]*)[\u0002\ufffe]([^\W\d_]*)")
_DROPPED = str.maketrans("", "", "\u00ad\u0002\ufffe\u200b")
_WORDS = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_NO_SPACES = re.compile(r"[\u3005-\u30ff\u3400-\u9fff\uff00-\uffef\U00020000-\U0003ffff]")  # Chinese, Japanese
_SENTENCE_END = re.compile(r"[.!?:;\u2026\u3002][\"'\u2019\u201d)\]\u00bb]*$")
_BULLET = re.compile(r"[\u2022\u2023\u25aa\u25cf\u25e6\u2043\u00b7\u2219\uf0b7\u2013*-]\s+")
_LEADERS = re.compile(r"(?:\.\s?){4,}\s*\S+$")  # as in a table of contents
_SECTION = re.compile(r"(?:\d+|[A-Z])(?:\.\d+)*\.?\s+")
_NUMBER = re.compile(r"\d+")
_MARGIN = 0.15  # of a page's height, above and below, where running headers and footers stand
_PAGE_WORDS = frozenset({"page", "p", "of", "seite", "von", "página", "pagina", "de", "di", "sur", "blatt"})
_LEAST_PAGES = 3  # this many in a row with the same line make it a running header or footer
_HEADING_SIZE = 1.18  # times the size of running text
_LONGEST_HEADING = 200
_LONGEST_WORD = 60
_LEAST_OF_FULL = 20  # characters
_MOST_LINES_OF_A_TITLE = 4
_WIDEST_LEADING = 2.2  # between lines of a paragraph, times their size
_SPREAD = 1.4  # times the usual width per letter: a line with gaps, such as a table row
_SAME = 0.2  # sizes differ by less than this in one paragraph
_Key = tuple[str, int]


@dataclass(frozen=True)
class Line:
    """A printed line; lengths are in points, positive upwards and to the right.

    :ivar size: height of its letters with ascenders and descenders
    :ivar first_word: width of its first word
    :ivar last_baseline: differs from ``baseline`` if a divided word spans two printed lines
    :ivar pieces: the parts of its text between wide gaps
    """

    text: str
    left: float
    right: float
    baseline: float
    size: float
    first_word: float
    last_baseline: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class PrintedPage:
    """The lines of a page in the order of its text.

    :ivar titles: of chapters that begin here, if the file lists them
    """

    lines: tuple[Line, ...]
    bottom: float
    top: float
    titles: tuple[str, ...] = ()


def running_text(pages: Sequence[PrintedPage]) -> Layout:
    """The text of all pages, its headings, and where each page begins.

    A running header or footer is kept where it is first met; page numbers are not kept.
    """
    kept = _without_running_lines(pages)
    writer = _Writer(kept, is_titled=any(page.titles for page in pages))
    for number, (page, following) in enumerate(zip_longest(kept, kept[1:]), 1):
        writer.layout.locate("page", number)
        writer.write(page, following.lines[0] if following and following.lines else None)
    return writer.layout


class _Writer:
    """Writes line after line into a layout, after counting what it needs from the whole text."""

    def __init__(self, pages: Sequence[PrintedPage], is_titled: bool) -> None:
        self.layout = Layout()
        self._is_titled = is_titled
        self._before: Line | None = None
        self._words: set[str] = set()
        sizes: Counter[float] = Counter()
        gaps: dict[float, Counter[float]] = {}
        for page in pages:
            for line in page.lines:
                sizes[_rounded(line.size)] += len(line.text)
                self._words.update(word.casefold() for word in _WORDS.findall(line.text))
            for one, other in pairwise(page.lines):
                if 0.5 < (one.last_baseline - other.baseline) / (one.size or 1.0) < _WIDEST_LEADING and _are_alike(
                    one, other
                ):
                    gaps.setdefault(_rounded(one.size), Counter())[_rounded(one.last_baseline - other.baseline)] += 1
        self._body = max(sizes, key=lambda size: sizes[size], default=0.0)
        full = [_room_a_letter(line) for page in pages for line in page.lines if _is_full(line)]
        self._room_a_letter = quantiles(full, n=4)[0] if len(full) > 1 else 0.0  # half of a page may be tables
        self._leading = {size: found.most_common(1)[0][0] for size, found in gaps.items()}

    def write(self, page: PrintedPage, following: Line | None) -> None:
        """Write a page's lines, joined to the previous page if a sentence goes on.

        :param following: the first line of the next page
        """
        edges, titles, found = self._right_edges(page.lines), list(page.titles), tables(page.lines)
        at = 0
        while at < len(page.lines):
            n_lines = self._heading_lines(page.lines, at, titles)
            if n_lines:
                self._write_heading(page.lines[at : at + n_lines])
            elif at in found:
                self._write_table(found[at])
                n_lines = found[at].n_lines
            else:
                after = page.lines[at + 1] if at + 1 < len(page.lines) else following
                self._write_line(page.lines[at], after, edges[at - 1] if at else None)
            at += n_lines or 1

    def _write_heading(self, lines: Sequence[Line]) -> None:
        self.layout.heading()
        for line in lines:
            self.layout.text(self._whole(line.text) + " ")
        self.layout.end_heading()
        self._before = None

    def _write_table(self, table: PrintedTable) -> None:
        self.layout.block()
        for line in table.written:
            self.layout.text(self._whole(line))
            self.layout.line_break()
        self.layout.block()
        self._before = None

    def _write_line(self, line: Line, after: Line | None, edge: float | None) -> None:
        """Write a line; ``edge`` is the right edge of the lines around the previous one, None if on another page."""
        text, before = line.text, self._before
        if before is not None:
            if not self._goes_on(before, line, after, edge):
                self.layout.block()
            elif edge is not None and (_has_room(before, line, edge) or self._has_gaps(before, line)):
                self.layout.line_break()
        if bullet := _BULLET.match(text):
            self.layout.item()
            text = text[bullet.end() :]
        self.layout.text(self._whole(self._joined(text, after)))
        self._before = line

    def _has_gaps(self, before: Line, line: Line) -> bool:
        """Whether one of two lines is spread over its width like a row of a table."""
        if before.last_baseline - line.baseline < 0.5 * line.size or before.text.endswith(_HYPHENS):
            return False
        most = _SPREAD * self._room_a_letter
        return any(_room_a_letter(one) > most > 0 and not _NO_SPACES.search(one.text) for one in (before, line))

    def _joined(self, text: str, after: Line | None) -> str:
        """The line ready for joining the next one: without a hyphen that divides a word, or with a space."""
        if after is None:
            return text
        if text.endswith(_HYPHENS):
            part, rest = _LAST_WORD.search(text[-_LONGEST_WORD:-1]), _WORDS.match(after.text)
            if text[-1] not in _TYPED_HYPHENS:
                return text
            if part and rest:
                is_divided = after.text[0].islower() and not self._is_compound(part[0].casefold(), rest[0].casefold())
                return text[:-1] if is_divided else text
        is_unspaced = _NO_SPACES.match(text[-1]) and _NO_SPACES.match(after.text)
        return text if is_unspaced else text + " "

    def _whole(self, text: str) -> str:
        """The text without the marks that PDFium leaves where it joined a divided word or dropped a hyphen."""
        if "\u0002" in text or "\ufffe" in text:
            text = _INNER_HYPHEN.sub(self._undivided, text)
        return text.translate(_DROPPED)

    def _undivided(self, divided: re.Match[str]) -> str:
        part, rest = divided.groups()
        is_compound = not part or not rest[:1].islower() or self._is_compound(part.casefold(), rest.casefold())
        return f"{part}-{rest}" if rest and is_compound else part + rest

    def _is_compound(self, part: str, rest: str) -> bool:
        """Whether a word divided at a hyphen keeps it: it occurs elsewhere with a hyphen, and never as one word."""
        return part + rest not in self._words and not self._words.isdisjoint({f"{part}-{rest}", f"{part}\u2010{rest}"})

    def _goes_on(self, before: Line, line: Line, after: Line | None, edge: float | None) -> bool:
        """Whether a line belongs to the paragraph of the one before."""
        gap = before.last_baseline - line.baseline
        if edge is None or gap < -0.5 * line.size:  # another page or column
            ends = _SENTENCE_END.search(before.text[-_LONGEST_WORD:])
            return _are_alike(before, line) and not ends and not line.text[0].isupper()
        if gap < 0.5 * line.size:
            return True  # the same line, or a raised part of it
        if not _are_alike(before, line) or gap > 1.2 * self._leading.get(_rounded(before.size), line.size):
            return False
        indent = line.left - before.left
        returns = after is None or after.baseline > line.baseline or after.left < line.left - 0.3 * line.size
        return not (
            0.5 * line.size < indent < 5 * line.size and returns and _SENTENCE_END.search(before.text[-_LONGEST_WORD:])
        )

    def _right_edges(self, lines: Sequence[Line]) -> list[float]:
        """The right edge around each line: how far the lines of its block, without gaps between them, reach."""
        edges: list[float] = []
        for block in self._blocks(lines):
            edge = max(line.right for line in block)
            if len(block) < 4:  # too few to tell: take lines of the page that begin here or, for lists, further left
                size, left = block[0].size, block[0].left
                near = (one for one in lines if -6 * size < one.left - left < size and _are_alike(one, block[0]))
                edge = max([edge, *(one.right for one in islice(near, 100))])
            edges += [edge] * len(block)
        return edges

    def _blocks(self, lines: Sequence[Line]) -> Iterator[list[Line]]:
        block: list[Line] = []
        for line in lines:
            gap = block[-1].last_baseline - line.baseline if block else 0.0
            if block and not (
                _are_alike(block[-1], line)
                and 0 < gap <= 1.2 * self._leading.get(_rounded(line.size), line.size)
                and abs(line.left - block[-1].left) < 5 * line.size
            ):
                yield block
                block = []
            block.append(line)
        if block:
            yield block

    def _heading_lines(self, lines: Sequence[Line], at: int, titles: list[str]) -> int:
        """The number of lines from here that form a heading: a listed title, or large print if none are listed."""
        if self._is_titled:
            starts = titles and any(letter.isalpha() for letter in lines[at].text)
            found = lines[at : at + _MOST_LINES_OF_A_TITLE] if starts else ()
            for n_lines in range(1, len(found) + 1):
                heading = " ".join(line.text for line in found[:n_lines])
                for title in (squeezed(heading), squeezed(_SECTION.sub("", heading, count=1))):
                    if title in titles:
                        titles.remove(title)
                        return n_lines
            return 0
        large = 0
        while at + large < len(lines) and self._is_large(lines[at + large], lines[at]):
            large += 1
        is_short = sum(len(line.text) for line in lines[at : at + large]) <= _LONGEST_HEADING
        return large if is_short and any(letter.isalpha() for letter in lines[at].text) else 0

    def _is_large(self, line: Line, first: Line) -> bool:
        return line.size > _HEADING_SIZE * self._body and _are_alike(line, first)


def _is_full(line: Line) -> bool:
    """Whether a line can tell the width of a letter: it is not short, and no divided word spans two lines."""
    return len(line.text) > _LEAST_OF_FULL and abs(line.last_baseline - line.baseline) < 0.5 * line.size


def _room_a_letter(line: Line) -> float:
    return (line.right - line.left) / (len(line.text) * (line.size or 1.0))


def squeezed(title: str) -> str:
    """A title normalised for comparison: in small letters, without spaces."""
    return "".join(title.translate(_DROPPED).split()).casefold()


def _rounded(length: float) -> float:
    return round(length * 2) / 2


def _are_alike(one: Line, other: Line) -> bool:
    """Whether two lines have about the same size."""
    return abs(one.size - other.size) <= _SAME * max(one.size, other.size)


def _has_room(before: Line, line: Line, edge: float) -> bool:
    """Whether the line before had room for the first word of a line, so that it ended on purpose."""
    if before.last_baseline - line.baseline < 0.5 * line.size:
        return False
    if _LEADERS.search(before.text[-_LONGEST_WORD:]):
        return True
    return edge - before.right > line.first_word + 0.7 * line.size and not before.text.endswith(_HYPHENS)


def _without_running_lines(pages: Sequence[PrintedPage]) -> list[PrintedPage]:
    met: dict[_Key, list[int]] = {}
    for number, page in enumerate(pages):
        for key in {key for line in page.lines for key in _keys(line, page, number)}:
            met.setdefault(key, []).append(number)
    dropped = {key: frozenset(_repeated(key, numbers)) for key, numbers in met.items() if len(numbers) >= _LEAST_PAGES}
    return [
        replace(page, lines=tuple(
            line for line in page.lines if not any(number in dropped.get(key, ()) for key in _keys(line, page, number))
        ))
        for number, page in enumerate(pages)
    ]  # fmt: skip


def _repeated(key: _Key, numbers: Sequence[int]) -> Iterator[int]:
    """The pages to drop a line from. The first page of each run keeps it, unless it is a page number."""
    if "\0" in key[0] and _PAGE_WORDS.issuperset(_WORDS.findall(key[0].lower())):
        yield from numbers
        return
    run: list[int] = []
    for number in [*numbers, max(numbers) + _LEAST_PAGES]:
        if run and number - run[-1] > 2:  # headers of left and right pages may differ
            yield from run[1:] if len(run) >= _LEAST_PAGES else ()
            run = []
        run.append(number)


def _keys(line: Line, page: PrintedPage, number: int) -> list[_Key]:
    """Keys that a line in the margin shares with running lines of other pages: its text and place. In further keys one
    number, perhaps the page's, is replaced by its difference from the page."""
    height = page.top - page.bottom
    if page.bottom + _MARGIN * height < line.baseline < page.top - _MARGIN * height or len(line.text) > 200:
        return []
    place = round(line.baseline / 2)
    numbers = [one for one in _NUMBER.finditer(line.text) if len(one.group()) < 7][:4]
    keys = [(line.text, place)]
    for one in numbers:
        keys.append((f"{line.text[: one.start()]}\0{int(one.group()) - number}\0{line.text[one.end() :]}", place))
    return keys
