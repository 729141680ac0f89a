"""PDF: the text of its pages, joined into paragraphs, with headings from bookmarks or large print."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from statistics import median

import pypdfium2
from pypdfium2 import raw as pdfium

from deformer_qa.indexer.formats.page_lines import Line, PrintedPage, running_text, squeezed
from deformer_qa.indexer.formats.page_tables import Piece
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line

_NO_TITLE = re.compile(
    r"(?i)(?:untitled.*|microsoft \w+ - .*|slide 1|(?:powerpoint )?presentation|document\d*|about:blank|.*\.\w{2,5})"
)
_NEAR = 4  # points: baselines in one line of a form differ by less
_GAP = 0.6  # times the size of a line: blanks between words are narrower, those between columns wider
_BLANKS = re.compile(r"\s+")
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?(?:(Z)|([+-]\d\d)'?(\d\d)?)?)?")
_LINE_END = re.compile(r"\r\n|\r|\n")


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document with the location "page": the sheet's number from 1, as viewers count, whatever is printed on it.

    :raises NotReadable: if it is damaged, needs a password, has too many pages, or no text.
    """
    document = _opened(raw)
    with closing(document):
        if len(document) > limits.pages:
            raise NotReadable(f"{len(document):,} pages, at most {limits.pages:,} are read (--max-pages)", "limit")
        titles = _titles(document)
        pages, damaged = [], []
        for number in range(len(document)):
            try:
                pages.append(_printed(document, number, tuple(titles.get(number, ()))))
            except pypdfium2.PdfiumError:
                pages.append(PrintedPage((), 0.0, 0.0))
                damaged.append(number + 1)
        n_empty = sum(not page.lines for page in pages) - len(damaged)
        if len(pages) == len(damaged):
            raise NotReadable("damaged: none of its pages can be read")
        if not any(page.lines for page in pages):
            raise NotReadable("no text in it; it may be a scan, which needs OCR", "no text")
        notes = []
        if damaged:
            notes.append(f"{_some(damaged)} of {len(pages):,} cannot be read")
        if n_empty:
            notes.append(f"{n_empty:,} of {len(pages):,} pages have no text; they may be scans")
        notes += [f"attachment {one_line(_known(one.get_name))[:100]} is not read" for one in _attachments(document)]
        title, meta = _metadata(document)
    layout = running_text(pages)
    text, outline = layout.finish()
    return ParsedFile((ParsedDocument("", title, text, outline, meta, layout.locations),), (), tuple(notes))


def _opened(raw: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(raw)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise NotReadable("encrypted: it opens with a password only", "encrypted") from None
        raise NotReadable("damaged PDF: its pages cannot be found") from None


def _printed(document: pypdfium2.PdfDocument, number: int, titles: tuple[str, ...]) -> PrintedPage:
    with closing(document.get_page(number)) as page:
        is_form = _is_filled_in(page)
        if is_form:
            pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
        else:
            lines = list(_lines(page))
        _, bottom, _, top = page.get_cropbox()
    if is_form:  # only a page loaded again includes the text laid over it
        with closing(document.get_page(number)) as page:
            lines = list(_lines(page))
        # the text filled in comes last, but belongs beside its label
        lines.sort(key=lambda line: (-round(line.baseline / _NEAR), line.left))
    return PrintedPage(tuple(lines), bottom, top, titles)


def _is_filled_in(page: pypdfium2.PdfPage) -> bool:
    """Whether a page has form fields or other text laid over it, which is not part of its own text."""
    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        pdfium.FPDFPage_CloseAnnot(annotation)
        if kind in (pdfium.FPDF_ANNOT_WIDGET, pdfium.FPDF_ANNOT_FREETEXT):
            return True
    return False


def _lines(page: pypdfium2.PdfPage) -> Iterator[Line]:
    """The lines of a page as PDFium splits them, without empty ones."""
    with closing(page.get_textpage()) as text_page:
        text, start = text_page.get_text_range(errors="replace"), 0
        ends = [*((one.start(), one.end()) for one in _LINE_END.finditer(text)), (len(text), len(text))]
        for end, following in ends:
            if text[start:end].strip():
                yield _line(text_page, text[start:end], start)
            start = following


def _line(page: pypdfium2.PdfTextPage, text: str, start: int) -> Line:
    """The line that starts at character ``start`` of the page's text."""
    visible = text.strip()
    start += len(text) - len(text.lstrip())
    last = len(visible) - 1
    left, _, baseline = _place(page, start)
    _, word_right, _ = _place(page, start + len(visible.split(maxsplit=1)[0]) - 1)
    _, right, last_baseline = _place(page, start + last)
    # the median, because one letter may be a bullet, a ligature or an initial
    size = median(_size(page, start + last * step // 4) for step in range(5))
    pieces = tuple(_pieces(page, visible, start, left, right, size))
    return Line(visible, left, right, baseline, size, max(0.0, word_right - left), last_baseline, pieces)


def _pieces(
    page: pypdfium2.PdfTextPage, text: str, start: int, left: float, right: float, size: float
) -> Iterator[Piece]:
    """The parts of a line between gaps wider than those between words."""
    first, box = 0, pdfium.FS_RECTF()  # reused, because there are as many as words
    for blank in _BLANKS.finditer(text):
        _box(page, start + blank.start() - 1, box)
        before = box.right
        _box(page, start + blank.end(), box)
        if box.left - before > _GAP * size:
            yield Piece(text[first : blank.start()], left, before)
            first, left = blank.end(), box.left
    yield Piece(text[first:], left, right)


def _box(page: pypdfium2.PdfTextPage, at: int, box: pdfium.FS_RECTF) -> None:
    pdfium.FPDFText_GetLooseCharBox(page, pdfium.FPDFText_GetCharIndexFromTextIndex(page, at), box)


def _place(page: pypdfium2.PdfTextPage, at: int) -> tuple[float, float, float]:
    """Left edge, right edge and baseline of a character of the page's text; zeros if it has no position."""
    box, x, y = pdfium.FS_RECTF(), ctypes.c_double(), ctypes.c_double()
    index = pdfium.FPDFText_GetCharIndexFromTextIndex(page, at)
    pdfium.FPDFText_GetLooseCharBox(page, index, box)
    pdfium.FPDFText_GetCharOrigin(page, index, x, y)
    return box.left, box.right, y.value


def _size(page: pypdfium2.PdfTextPage, at: int) -> float:
    box = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(page, pdfium.FPDFText_GetCharIndexFromTextIndex(page, at), box)
    return abs(float(box.top) - float(box.bottom))


def _titles(document: pypdfium2.PdfDocument) -> dict[int, list[str]]:
    """The titles in the table of contents by page, normalised by ``squeezed``."""
    titles: dict[int, list[str]] = {}
    for bookmark in document.get_toc(max_depth=15):
        destination = bookmark.get_dest()
        number = destination.get_index() if destination else None
        if number is not None and (title := squeezed(_known(bookmark.get_title))):
            titles.setdefault(number, []).append(title)
    return titles


def _attachments(document: pypdfium2.PdfDocument) -> Iterator[pypdfium2.PdfAttachment]:
    for number in range(document.count_attachments()):
        yield document.get_attachment(number)


def _metadata(document: pypdfium2.PdfDocument) -> tuple[str, dict[str, str]]:
    """The title, '' unless an author chose it, and the other fields."""

    def field(key: str) -> str:
        return one_line(_known(lambda: document.get_metadata_value(key)))

    title, created = field("Title"), _iso(field("CreationDate"))
    meta = {"author": field("Author"), "created": created, "subject": field("Subject"), "keywords": field("Keywords")}
    return "" if _NO_TITLE.fullmatch(title) else title, {key: value for key, value in meta.items() if value}


def _known(text: Callable[[], str]) -> str:
    """A text outside the pages, '' if it cannot be decoded."""
    try:
        return text()
    except UnicodeDecodeError:
        return ""


def _iso(stated: str) -> str:
    """A date of a PDF, D:20260131120000+01'00', as ISO 8601; '' if it is no date."""
    found = _DATE.match(stated)
    if not found:
        return ""
    year, month, day, hour, minute, second, utc, zone_hour, zone_minute = found.groups()
    date = "-".join(part for part in (year, month, day) if part)
    if not (hour and day):
        return date
    zone = "+00:00" if utc else f"{zone_hour}:{zone_minute or '00'}" if zone_hour else ""
    return f"{date}T{hour}:{minute}:{second or '00'}{zone}"


def _some(numbers: list[int]) -> str:
    named = ", ".join(map(str, numbers[:5]))
    return f"page {named}" if len(numbers) == 1 else f"pages {named}{' and others' if len(numbers) > 5 else ''}"
