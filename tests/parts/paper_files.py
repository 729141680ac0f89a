"""Files of PDF, EPUB and mail made in a test, good and bad ones."""

from __future__ import annotations

import io
import zipfile

from deformer_qa.indexer import FileLimits
from deformer_qa.indexer.formats import ParsedDocument, ParsedFile, parse
from deformer_qa.indexer.formats.registry import BY_NAME, format_of
from parts import SAMPLES

FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
_BOMB = "".join(f'<!ENTITY {name} "{f"&{inner};" * 10}">' for inner, name in zip("abcdefghi", "bcdefghij", strict=True))
ENTITIES = f'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY f SYSTEM "file:///etc/passwd">{_BOMB}]>'
_OPF = """<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata>{}</metadata><manifest><item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>{}</manifest>
<spine>{}</spine></package>"""


def read(path: str, raw: bytes | str, limits: FileLimits = FileLimits()) -> ParsedFile:  # noqa: B008
    raw = raw.encode() if isinstance(raw, str) else raw
    return parse(format_of(path, raw), path.rpartition(".")[0], raw, limits)


def only(path: str, raw: bytes | str) -> ParsedDocument:
    (document,) = read(path, raw).documents
    return document


def sample(name: str) -> ParsedFile:
    raw = (SAMPLES / name).read_bytes()
    return parse(format_of(name, raw), name.rpartition(".")[0], raw, FileLimits())


def named(format_name: str, raw: bytes | str, limits: FileLimits = FileLimits()) -> ParsedFile:  # noqa: B008
    """As a file of that format, whatever it looks like."""
    return parse(BY_NAME[format_name], "name", raw.encode() if isinstance(raw, str) else raw, limits)


def headings(document: ParsedDocument) -> list[str]:
    """The headings, each of which stands where the outline says."""
    for offset, _ in document.outline:
        assert document.text[offset : offset + 1].strip()
    offsets = [offset for offset, _ in document.outline]
    assert offsets == sorted(set(offsets))
    return [heading for _, heading in document.outline]


def pdf_of(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1; the first is its catalogue."""
    written, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, one in enumerate(objects, 1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%b\nendobj\n" % (number, one)
    start = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<< /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF"
    return bytes(written + trailer % (len(objects) + 1, start))


def stream(content: bytes, fields: bytes = b"") -> bytes:
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(content), fields, content)


def printed(*pages: list[tuple[int, int, int, str]], fields: bytes = b"", annotations: bytes = b"") -> bytes:
    """A PDF of pages of lines, each (left, baseline, size, text), 600 points wide and 800 high.

    Object 1 is the catalogue, 2 the tree of pages, 3 the font, then come a page and its content in turn.
    """
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R %b >>" % fields,
        b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, len(pages)),
        FONT,
    ]
    for number, lines in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R %b "
            b"/Resources << /Font << /F 3 0 R >> >> >>" % (5 + 2 * number, annotations)
        )
        shown = (
            b"BT /F %d Tf %d %d Td (%b) Tj ET\n" % (size, left, baseline, text.encode("cp1252"))
            for left, baseline, size, text in lines
        )
        objects.append(stream(b"".join(shown)))
    return pdf_of(*objects)


def page_of(*lines: str, left: int = 50, top: int = 700) -> list[tuple[int, int, int, str]]:
    """Lines of 12 points below each other."""
    return [(left, top - 14 * number, 12, line) for number, line in enumerate(lines)]


def zipped(members: dict[str, str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()


def book(*chapters: str, metadata: str = "", more: dict[str, str] | None = None) -> bytes:
    """An EPUB with chapters 1.xhtml, 2.xhtml ... in the folder "in"; ``more`` adds members or replaces some."""
    items = "".join(
        f'<item id="c{number}" href="{number}.xhtml" media-type="application/xhtml+xml"/>'
        for number in range(1, len(chapters) + 1)
    )
    spine = "".join(f'<itemref idref="c{number}"/>' for number in range(1, len(chapters) + 1))
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="in/book.opf"/></rootfiles></container>',
        "in/book.opf": _OPF.format(metadata, items, spine),
    }
    members |= {f"in/{number}.xhtml": chapter for number, chapter in enumerate(chapters, 1)}
    return zipped(members | (more or {}))
