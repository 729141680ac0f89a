"""What have Word, PowerPoint and Excel files in common? A package of XML parts, and what it says of itself."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

from lxml import etree

from deformer_qa.indexer.formats.archives import member, open_archive, refuse_entities
from deformer_qa.indexer.formats.metadata import plain
from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, one_line

XML_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
"""Reads nothing but what it is given."""

_STRICT = b"http://purl.oclc.org/ooxml/"
_PROPERTIES = {
    "title": "title",
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "category": "category",
    "language": "language",
    "created": "created",
    "modified": "modified",
}
_MOST_CHARACTERS = 10_000  # of a property
_NO_TITLE = re.compile(r"(?i)(?:word document|untitled.*|(?=.*powerpoint)\S+(?: \S+){0,3})")
"""What programs write where nobody gave a title: "PowerPoint Presentation", in any language."""


def checked(raw: bytes, limits: FileLimits) -> dict[str, Any]:
    """What a package says of itself, once it is known to be one that a library may unpack.

    :returns: title, author, subject, keywords, category, language, created and modified, as far as it names them.
    :raises NotReadable: where it is damaged, encrypted, beyond a limit, or of a kind that no library here reads.
    """
    with open_archive(raw, limits) as archive:
        refuse_entities(archive, limits)
        relations = member(archive, "_rels/.rels")
        if _STRICT in relations:
            raise NotReadable('saved as "Strict Open XML"; save it in the ordinary format', "no reader")
        try:
            return _properties(archive.read("docProps/core.xml"))
        except (KeyError, etree.XMLSyntaxError, zipfile.BadZipFile, zlib.error, EOFError, ValueError):
            return {}  # a file is read without them


def _properties(core: bytes) -> dict[str, Any]:
    root = etree.fromstring(core, XML_PARSER)
    found: dict[str, Any] = {}
    for element in root.iterchildren("{*}*"):
        name = _PROPERTIES.get(etree.QName(element).localname)
        value = one_line(element.text or "")
        if name and value and len(value) <= _MOST_CHARACTERS:
            found[name] = value
    if _NO_TITLE.fullmatch(found.get("title", "")):
        del found["title"]
    return plain(found)[0]


def refuse_locked(archive: zipfile.ZipFile) -> None:
    """Check an OpenDocument, whose parts are encrypted one by one. :raises NotReadable: where they are."""
    manifest = "META-INF/manifest.xml"
    if manifest in archive.namelist() and b"encryption-data" in member(archive, manifest):
        raise NotReadable("encrypted: it opens with a password only", "encrypted")


@contextmanager
def library(what: str) -> Iterator[None]:
    """A library reads a package: what it raises where that is not whole becomes a reason.

    :param what: the package should be, as "Word document".
    """
    try:
        yield
    except (etree.XMLSyntaxError, ElementTree.ParseError) as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from None  # lxml's own way to say so
        if "xcessive depth" in str(error):
            raise NotReadable("nested too deeply", "limit") from None
        raise NotReadable(f"damaged: its XML is malformed ({one_line(str(error))[:100]})") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise NotReadable(f"damaged: a part of it cannot be unpacked ({one_line(str(error))[:100]})") from None
    except (KeyError, ValueError) as error:
        raise NotReadable(f"damaged: not a complete {what} ({one_line(str(error))[:100]})") from None
