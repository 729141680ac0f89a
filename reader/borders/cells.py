"""Finds the lines of a block that are table rows, and their cells.

A row is recognised by features that it shares with its neighbours: bars, the names of the header above, names that
nearby lines have too, the same number of colons. Punctuation alone does not make a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Cells = list[tuple[int, int]]
"""Start and end of each cell in its line; a row without cells cannot hold an answer."""

_BARS = re.compile(r"\s*\|.*\|\s*$")
_BAR = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:+=_.-]*")
_NAME = re.compile(r"(?:^|(?<=, ))(?=\S)([^,:|]{1,80}): (?=\S)")
_NEAR = 3  # largest distance in lines between two that share a name
_CODES = re.compile(r"[^\s:][^:]*(?::(?:[^\s:/][^:]*)?)+$")
_TIME = re.compile(r"\d:\d")
_GAP = re.compile(r"(?<=\S)(?:[^\S\n]*\t\s*|[^\S\n]{3,})(?=\S)")
_PAIR = re.compile(r"\s*(?![-*•#>|]\s)([^\s:.!?]+|[^\W_a-z](?:(?![.!?,;]\s)[^:]){0,58}[^\s:])\s*:(?:\s+|$)")
_KEY_WORDS = 5
_NUMBER = re.compile(r"[^\W\d_]{0,2}\W?\d\S*")
_JOINING_WORD = re.compile(
    r"\b(?:a|and|are|as|at|but|by|for|from|had|has|have|in|is|it|of|on|or|that|the|to|was|were|which|with)\b"
)
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}[,.]\d{3}(?![\d.])")
_BETWEEN_NUMBERS = re.compile(r"(?<=\d)\s+(?=[-−$€£¥]?\d)")
_BETWEEN_OTHER_NUMBERS = re.compile(r"(?<=\d)\s+(?=[-−$€£¥]?\d)(?!(?<=\d )\d{3}(?!\d))")
_MOST_WORDS = 16  # in a row of numbers without marks between its cells


def cells_of(lines: Sequence[str]) -> list[Cells | None]:
    """The cells of each line; None for a line that is no row.

    :param lines: of one block, between two blank lines, in order, without their line ends.
    """
    found: list[Cells | None] = [None] * len(lines)
    _take(found, lines, _barred)
    if len(lines) > 1:
        _take_named(found, lines)
        for rule in (_codes, _gaps, _pairs, _numbers):
            _take(found, lines, rule)
    return found


def _take(found: list[Cells | None], lines: Sequence[str], rule: Callable[[Sequence[str]], list[Cells | None]]) -> None:
    """Apply a rule to each run of lines that no earlier rule has taken."""
    begin = 0
    while begin < len(lines):
        end = begin
        while end < len(lines) and found[end] is None:
            end += 1
        if end > begin:
            found[begin:end] = rule(lines[begin:end])
        begin = end + 1


def _barred(lines: Sequence[str]) -> list[Cells | None]:
    """Rows between bars, such as "| a | b |"; also "a | b" if two or more lines have equally many bars."""
    counts = [len(_BAR.findall(line)) if " | " in line else 0 for line in lines]
    found: list[Cells | None] = []
    for at, line in enumerate(lines):
        is_outer = counts[at] or "|" in line
        if is_outer and _BARS.match(line):
            found.append([] if _RULE.fullmatch(line) else _parted(line, _BAR))
        elif counts[at] and any(counts[other] == counts[at] for other in (at - 1, at + 1) if 0 <= other < len(lines)):
            found.append(_parted(line, _BAR))
        else:
            found.append(None)
    return found


def _take_named(found: list[Cells | None], lines: Sequence[str]) -> None:
    """Rows such as "Name: Ann, Born: 1950.", with names of the header above or names shared by nearby lines."""
    header: list[str] = []
    for at, line in enumerate(lines):
        cells = found[at]
        if cells and len(cells) > 1:
            header = [line[start:end].rstrip(" :") for start, end in cells]
        elif cells is None and header and ": " in line:
            found[at] = _under(header, line)
    left = [at for at, line in enumerate(lines) if found[at] is None and ": " in line]
    if len(left) < 2:
        return
    names = {at: [(one.group(1), one.start(), one.end()) for one in _NAME.finditer(lines[at])] for at in left}
    lines_of: dict[str, list[int]] = {}
    for at, of_line in names.items():
        for name, _, _ in of_line:
            lines_of.setdefault(name, []).append(at)
    shared = {
        at: [one for one in of_line if any(0 < abs(at - other) <= _NEAR for other in lines_of[one[0]])]
        for at, of_line in names.items()
    }
    columns = {name for of_line in shared.values() if len(of_line) > 1 for name, _, _ in of_line}
    for at, of_line in shared.items():
        begins_with_column = bool(of_line) and of_line[0][1] == 0 and of_line[0][0] in columns
        if len(of_line) > 1 or begins_with_column:
            found[at] = _between(lines[at], [(start, end) for _, start, end in of_line])


def _under(header: Sequence[str], line: str) -> Cells | None:
    """The cells of a row that has the header's names in order; a merged cell repeats its name."""
    pattern = "|".join(re.escape(name) for name in sorted(set(header), key=len, reverse=True) if name)
    places: list[tuple[int, int]] = []
    column = 0
    for match in re.finditer(rf"(?:^|(?<=, ))({pattern}): ", line) if pattern else ():
        at = header.index(match.group(1))
        if at >= column:
            places.append(match.span())
            column = at
    return _between(line, places) if places else None


def _between(line: str, names: Sequence[tuple[int, int]]) -> Cells:
    """The cells before the first name and after each name."""
    cells = [(0, names[0][0])] if names[0][0] else []
    ends = [start for start, _ in names[1:]] + [len(line)]
    return cells + [(start, end) for (_, start), end in zip(names, ends, strict=True)]


def _codes(lines: Sequence[str]) -> list[Cells | None]:
    """Lists of codes such as "DE:DEU:276:Germany": adjacent lines with equally many colons, no blank after them."""
    counts = [line.count(":") if _CODES.match(line.strip()) else 0 for line in lines]
    found: list[Cells | None] = [None] * len(lines)
    for begin, end in _runs([count > 0 for count in counts]):
        for at in range(begin, end):
            beside = [counts[other] for other in (at - 2, at - 1, at + 1, at + 2) if begin <= other < end]
            if beside.count(counts[at]) > (counts[at] == 1) and not (counts[at] == 1 and _TIME.search(lines[at])):
                found[at] = _parted(lines[at], re.compile(":"))
    return found


def _gaps(lines: Sequence[str]) -> list[Cells | None]:
    """Columns separated by tabs or three blanks, in two or more lines."""
    has_gap = [_GAP.search(line) is not None for line in lines]
    found: list[Cells | None] = [None] * len(lines)
    for begin, end in _runs(has_gap):
        if end - begin > 1:
            found[begin:end] = [_parted(line, _GAP) for line in lines[begin:end]]
    return found


def _pairs(lines: Sequence[str]) -> list[Cells | None]:
    """Adjacent lines of a name and its value: "Publisher: Kestrel." The name may be an answer too."""
    matches = [_PAIR.match(line) for line in lines]
    found: list[Cells | None] = [None] * len(lines)
    for begin, end in _runs([one is not None and len(one.group(1).split()) <= _KEY_WORDS for one in matches]):
        all_end = all(line.rstrip().endswith((".", "!", "?")) for line in lines[begin:end])
        if end - begin > (1 if all_end else 2):
            for at in range(begin, end):
                match = matches[at]
                assert match is not None
                found[at] = [match.span(1), (match.end(), len(lines[at]))]
    return found


def _numbers(lines: Sequence[str]) -> list[Cells | None]:
    """Rows of a table that lost its marks: adjacent short lines of names and numbers, without function words.

    Two numbers with a blank between them are two cells, "2 640", unless 2640 may be meant because no row has "2,640".
    """
    found: list[Cells | None] = [None] * len(lines)
    for begin, end in _runs([_is_row_of_numbers(line) for line in lines]):
        if end - begin > 1:
            says_thousands = any(_THOUSANDS.search(line) for line in lines[begin:end])
            mark = _BETWEEN_NUMBERS if says_thousands else _BETWEEN_OTHER_NUMBERS
            found[begin:end] = [_parted(line, mark) for line in lines[begin:end]]
    return found


def _is_row_of_numbers(line: str) -> bool:
    words = line.split()
    n_numbers = sum(_NUMBER.fullmatch(word) is not None for word in words)
    return n_numbers > 1 and len(words) <= min(_MOST_WORDS, 4 * n_numbers) and not _JOINING_WORD.search(line)


def _runs(fits: Sequence[bool]) -> list[tuple[int, int]]:
    """Start and end of each run of matching lines."""
    runs, begin = [], 0
    for at, one in enumerate([*fits, False]):
        if not one:
            if at > begin:
                runs.append((begin, at))
            begin = at + 1
    return runs


def _parted(line: str, mark: re.Pattern[str]) -> Cells:
    places = [match.span() for match in mark.finditer(line)]
    starts, ends = [0, *(end for _, end in places)], [*(start for start, _ in places), len(line)]
    found = []
    for start, end in zip(starts, ends, strict=True):
        cell = line[start:end]
        if cell.strip():
            found.append((start + len(cell) - len(cell.lstrip()), start + len(cell.rstrip())))
    return found
