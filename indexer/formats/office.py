"""What Word, PowerPoint and Excel files share: a package of XML parts, with properties."""

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
"""Opens nothing beyond the bytes it is given."""

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
"""Default titles of programs, such as "PowerPoint Presentation", in any language."""


def checked(raw: bytes, limits: FileLimits) -> dict[str, Any]:
    """Check that a library may unpack a package, and return its properties.

    :returns: title, author, subject, keywords, category, language, created and modified, as far as it states them.
    :raises NotReadable: if it is damaged, encrypted, beyond a limit, or of a kind that no library here reads.
    """
    with open_archive(raw, limits) as archive:
        refuse_entities(archive, limits)
        relations = member(archive, "_rels/.rels")
        if _STRICT in relations:
            raise NotReadable('saved as "Strict Open XML"; save it in the ordinary format', "no reader")
        try:
            return _properties(archive.read("docProps/core.xml"))
        except (KeyError, etree.XMLSyntaxError, zipfile.BadZipFile, zlib.error, EOFError, ValueError):
            return {}  # the file is read without them


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
    """Refuse an OpenDocument with encrypted parts. :raises NotReadable: if it has any."""
    manifest = "META-INF/manifest.xml"
    if manifest in archive.namelist() and b"encryption-data" in member(archive, manifest):
        raise NotReadable("encrypted: it opens with a password only", "encrypted")


@contextmanager
def library(what: str) -> Iterator[None]:
    """Turn a library's errors about a damaged package into a reason.

    :param what: the kind of document, such as "Word document".
    """
    try:
        yield
    except (etree.XMLSyntaxError, ElementTree.ParseError) as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from None  # how lxml reports a lack of memory
        if "xcessive depth" in str(error):
            raise NotReadable("nested too deeply", "limit") from None
        raise NotReadable(f"damaged: its XML is malformed ({one_line(str(error))[:100]})") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise NotReadable(f"damaged: a part of it cannot be unpacked ({one_line(str(error))[:100]})") from None
    except (KeyError, ValueError) as error:
        raise NotReadable(f"damaged: not a complete {what} ({one_line(str(error))[:100]})") from None
