"""EPUB: the chapters of a book in the order of its spine, each read as a page of HTML."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote, urldefrag

from lxml import etree

from deformer_qa.indexer.formats import html
from deformer_qa.indexer.formats.archives import member, open_archive
from deformer_qa.indexer.formats.builder import Pieces
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedDocument, ParsedFile, one_line

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"})
_DECLARATIONS = re.compile(r"<!DOCTYPE[^>\[]{0,1000}\[[^\]]*\]\s*>", re.IGNORECASE)  # browsers show them as text
_OBFUSCATED_FONTS = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
_FIELDS = {
    "creator": "author",
    "language": "language",
    "date": "created",
    "subject": "subject",
    "publisher": "publisher",
}


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document. A chapter without a heading gets its heading from the book's table of contents, if listed there.

    Names inside the book are looked up in its archive only. A chapter that cannot be read is named in the notes.

    :raises NotReadable: if the book is damaged or encrypted, or none of its chapters can be read.
    """
    with open_archive(raw, limits) as archive:
        book = _Book(archive)
        pieces, reasons = Pieces(), []
        notes: list[str] = []
        for chapter in book.chapters:
            try:
                source = html.decode_page(member(archive, chapter), notes)
                _, text, outline = html.read(_DECLARATIONS.sub("", source, count=1))
            except NotReadable as reason:
                reasons.append(reason)
                notes.append(f"chapter {one_line(chapter)[:100]} cannot be read: {reason}")
                continue
            heading = book.contents.get(chapter, "")
            if heading and text and not outline:
                first_line = one_line(text.partition("\n")[0])
                if first_line.casefold() == heading.casefold():
                    outline = ((0, first_line),)
                else:
                    pieces.heading(heading)
            pieces.add(text, outline)
        if reasons and len(reasons) == len(book.chapters):
            raise reasons[0]
        text, outline, _ = pieces.finish()
        return ParsedFile((ParsedDocument("", book.title, text, outline, book.meta),), (), tuple(notes))


class _Book:
    """The package of a book: its chapters in order, their headings, and its metadata.

    :ivar chapters: names of the archive's members
    :ivar contents: headings in the table of contents, by chapter
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._package_name = self._named_package()
        package = _tree(archive, self._package_name)
        fields = _fields(package)
        self.title = fields.pop("title", "")
        self.meta = fields
        items = {item.get("id"): item for item in _all(package, "item") if item.get("href")}
        spine = [items[ref.get("idref")] for ref in _all(package, "itemref") if ref.get("idref") in items]
        if not spine:
            raise NotReadable("damaged: the package file names no chapters")
        pages = [item for item in spine if item.get("media-type", "") in _PAGES or not item.get("media-type")]
        tables = [item for item in items.values() if _is_table(item)]
        self.chapters = [
            self._member(item.get("href"), self._package_name)
            for item in dict.fromkeys(pages)
            if "nav" not in item.get("properties", "").split()
        ]
        self._refuse_encrypted()
        self.contents: dict[str, str] = {}
        for item in sorted(tables, key=lambda one: "nav" not in one.get("properties", "")):
            self._read_contents(self._member(item.get("href"), self._package_name))

    def _named_package(self) -> str:
        if _CONTAINER in self._archive.namelist():
            for rootfile in _all(_tree(self._archive, _CONTAINER), "rootfile"):
                if path := rootfile.get("full-path"):
                    return self._member(path, "")
        packages = [one for one in self._archive.namelist() if one.endswith(".opf")]
        if not packages:
            raise NotReadable("damaged: the package file (.opf) is missing")
        return packages[0]

    def _member(self, href: str, base: str) -> str:
        """The name of the member that a reference leads to; it need not exist."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(urldefrag(href).url)))
        return path.removeprefix("/")

    def _refuse_encrypted(self) -> None:
        if _ENCRYPTION not in self._archive.namelist():
            return
        for one in _all(_tree(self._archive, _ENCRYPTION), "EncryptedData"):
            methods = {method.get("Algorithm") for method in _all(one, "EncryptionMethod")}
            paths = {self._member(reference.get("URI", ""), "") for reference in _all(one, "CipherReference")}
            if not methods <= _OBFUSCATED_FONTS and not paths.isdisjoint(self.chapters):
                raise NotReadable("encrypted: it opens only in the shop's own app", "encrypted")

    def _read_contents(self, name: str) -> None:
        """Add the headings of a table of contents, of EPUB 3 (nav) or 2 (NCX); a bad one is ignored."""
        try:
            tree = _tree(self._archive, name)
        except NotReadable:
            return
        links = [(one.get("href"), "".join(one.itertext())) for one in _all(tree, "a")]
        for point in _all(tree, "navPoint"):
            labels, sources = list(_all(point, "text")), list(_all(point, "content"))
            links += [(sources[0].get("src"), labels[0].text or "")] if labels and sources else []
        for href, heading in links:
            if href and (found := one_line(heading)):
                self.contents.setdefault(self._member(href, name), found)


def _is_table(item: etree._Element) -> bool:
    is_nav = "nav" in item.get("properties", "").split()
    return is_nav or item.get("media-type") == "application/x-dtbncx+xml"


def _fields(package: etree._Element) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for element in package.iter("{http://purl.org/dc/elements/1.1/}*"):
        value = one_line("".join(element.itertext()))
        field = etree.QName(element).localname
        if value and (field in _FIELDS or field == "title"):
            found.setdefault(_FIELDS.get(field, field), []).append(value)
    single = ("title", "created", "language")
    return {field: values[0] if field in single else ", ".join(values) for field, values in found.items()}


def _all(tree: etree._Element, tag: str) -> Iterator[etree._Element]:
    """The elements of a name in any namespace."""
    yield from tree.iter(f"{{*}}{tag}")


def _tree(archive: zipfile.ZipFile, name: str) -> etree._Element:
    """Parse the XML of a member; no entity is resolved and nothing else opened.

    :raises NotReadable: if it is missing or not XML.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True)
    try:
        tree = etree.fromstring(member(archive, name), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotReadable(f"damaged: {name[:100]} is not XML ({one_line(str(error))[:100]})") from None
    if tree is None:
        raise NotReadable(f"damaged: {name[:100]} is not XML")
    return tree
