"""Files of common formats, made in code: a PDF by hand, the others by the libraries that make them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable


def pdf(pages: list[str], objects: bytes = b"", content: Callable[[str], bytes] | None = None) -> bytes:
    """A PDF of one line a page, with its cross-reference table."""
    streams = [content(page) if content else f"BT /F1 12 Tf 72 720 Td ({page}) Tj ET".encode() for page in pages]
    n = len(pages)
    kids = " ".join(f"{3 + 2 * i} 0 R" for i in range(n))
    parts = [b"<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {n} >>".encode()]
    for i, stream in enumerate(streams):
        parts.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {4 + 2 * i} 0 R "
            "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>".encode()
        )
        if stream.startswith(b"<<"):
            parts.append(stream)
        else:
            parts.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    out, offsets = b"%PDF-1.7\n", []
    for number, part in enumerate(parts, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    out += objects
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(parts) + 1, table)
    return out + b"trailer\n<< /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n" % (len(parts) + 1, start)


def docx(*paragraphs: str) -> bytes:
    """A Word document."""
    import docx as python_docx

    document = python_docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    return _saved(document.save)


def pptx(text: str) -> bytes:
    """A presentation of one slide."""
    import pptx as python_pptx

    presentation = python_pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "A slide"
    slide.placeholders[1].text = text
    return _saved(presentation.save)


def xlsx(rows: list[list[str]]) -> bytes:
    """A workbook of one sheet."""
    import openpyxl

    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    return _saved(book.save)


def epub(chapter: str, opf: str = "") -> bytes:
    """An e-book of one chapter."""
    package = opf or (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        '<dc:title>Book</dc:title></metadata><manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
        '</manifest><spine><itemref idref="a"/></spine></package>'
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles><rootfile '
        'full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    body = f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{chapter}</body></html>'
    return archive(
        ("mimetype", b"application/epub+zip", zipfile.ZIP_STORED),
        ("META-INF/container.xml", container.encode(), zipfile.ZIP_DEFLATED),
        ("book.opf", package.encode(), zipfile.ZIP_DEFLATED),
        ("a.xhtml", body.encode(), zipfile.ZIP_DEFLATED),
    )


def archive(*members: tuple[str, bytes, int]) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content, how in members:
            file.writestr(name, content, compress_type=how)
    return out.getvalue()


def replaced(raw: bytes, changes: dict[str, bytes]) -> bytes:
    """An archive with some members exchanged or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changes:
                new.writestr(name, old.read(name))
        for name, content in changes.items():
            new.writestr(name, content)
    return out.getvalue()


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()
