"""Office documents as a test wants them: Word's of some XML, packages with members edited."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import docx
from docx.oxml import parse_xml

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def saved(document: Any) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def word(*body: str, styles: str = "") -> bytes:
    """A document with this XML in its body, each piece a paragraph or table or what is around them."""
    document = docx.Document()
    for piece in body:
        document.element.body.insert(
            len(document.element.body) - 1, parse_xml(piece.replace(">", f" {W}>", 1) if W not in piece else piece)
        )
    if styles:
        document.styles.element.append(parse_xml(styles.replace(">", f" {W}>", 1)))
    return saved(document)


def p(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def changed(raw: bytes, edits: dict[str, Any], more: dict[str, bytes] | None = None) -> bytes:
    """A package with members edited, left out (None) or added."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            edit = edits.get(name, lambda content: content)
            if edit is not None:
                new.writestr(name, edit(old.read(name)))
        for name, content in (more or {}).items():
            new.writestr(name, content)
    return file.getvalue()
