"""Lists the formats, and recognises a file's format: by its content where possible, else by the name's suffix.

A format is a module of this package of the format's name, with ``parse(raw, limits)``, and a line here. Its version is
part of every content hash and source state. Raise it when ``parse`` gives another result for the same bytes, so that
files are read anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePosixPath

from deformer_qa.indexer.formats.parsed import FileLimits, NotReadable, ParsedFile

DETECTION = 1
"""Raise it when ``format_of`` assigns another format to some file."""


@dataclass(frozen=True)
class Format:
    """A format, its version, and the suffixes of its files, including the leading dots.

    :ivar is_text: whether its files are text that any editor shows
    """

    name: str
    version: int
    suffixes: tuple[str, ...]
    is_text: bool = True

    @property
    def versioned(self) -> str:
        """Its name and version, such as "markdown1"."""
        return f"{self.name}{self.version}"

    @cached_property
    def parse(self) -> Callable[[bytes, FileLimits], ParsedFile]:
        """The parser; first use loads its libraries."""
        parser: Callable[[bytes, FileLimits], ParsedFile] = import_module(
            f"deformer_qa.indexer.formats.{self.name}"
        ).parse
        return parser


# fmt: off
_SOURCE_CODE = (  # also settings and markup: everything best read as it stands, by lines
    ".adoc", ".asciidoc", ".asm", ".awk", ".bash", ".bat", ".bib", ".c", ".cc", ".cfg", ".clj", ".cljs", ".cls",
    ".cmake", ".cmd", ".conf", ".cpp", ".cs", ".css", ".cu", ".cxx", ".dart", ".diff", ".elm", ".env", ".erl",
    ".ex", ".exs", ".f90", ".fish", ".fs", ".go", ".gradle", ".graphql", ".groovy", ".h", ".hh", ".hpp", ".hrl",
    ".hs", ".hxx", ".ini", ".java", ".jl", ".js", ".jsx", ".kt", ".kts", ".less", ".lisp", ".lua", ".m", ".mjs",
    ".mk", ".ml", ".mli", ".mm", ".nim", ".nix", ".pas", ".patch", ".php", ".pl", ".pm", ".properties", ".proto",
    ".ps1", ".py", ".pyi", ".pyx", ".r", ".rake", ".rb", ".rs", ".s", ".sass", ".scala", ".scss", ".sed", ".sh",
    ".sol", ".sql", ".srt", ".sty", ".sv", ".svelte", ".swift", ".tcl", ".tex", ".tf", ".toml", ".ts", ".tsx",
    ".v", ".vb", ".vhd", ".vhdl", ".vim", ".vtt", ".vue", ".xml", ".xsd", ".xsl", ".yaml", ".yml", ".zig", ".zsh",
)
FORMATS = (
    Format("text", 2, (".txt", ".text", ".log")),
    Format("markdown", 3, (".md", ".markdown")),
    Format("html", 4, (".html", ".htm", ".xhtml")),
    Format("jsonl", 2, (".jsonl", ".ndjson")),
    Format("json", 1, (".json",)),
    Format("csv", 2, (".csv", ".tsv")),
    Format("rst", 2, (".rst", ".rest")),
    Format("ipynb", 2, (".ipynb",)),
    Format("code", 1, _SOURCE_CODE),
    Format("eml", 3, (".eml",)),
    Format("pdf", 2, (".pdf",), is_text=False),
    Format("docx", 2, (".docx", ".docm", ".dotx"), is_text=False),
    Format("pptx", 2, (".pptx", ".pptm", ".ppsx"), is_text=False),
    Format("xlsx", 2, (".xlsx", ".xlsm"), is_text=False),
    Format("odp", 2, (".odp",), is_text=False),
    Format("epub", 3, (".epub",), is_text=False),
    Format("other", 2, (
        ".doc", ".dot", ".ods", ".odt", ".msg", ".ppt", ".rtf", ".xls", ".xlsb", ".fb2",
    ), is_text=False),
)
# fmt: on
BY_NAME = {one.name: one for one in FORMATS}
VERSIONS = frozenset(one.versioned for one in FORMATS)
_BY_SUFFIX = {suffix: one for one in FORMATS for suffix in one.suffixes}

_ARCHIVES = (  # found in the list of an archive's members, whose names are never compressed
    (b"word/document.xml", "docx"),
    (b"ppt/presentation.xml", "pptx"),
    (b"xl/workbook.xml", "xlsx"),
    (b"mimetypeapplication/epub+zip", "epub"),
    (b"mimetypeapplication/vnd.oasis.opendocument.presentation", "odp"),
    (b"mimetypeapplication/vnd.oasis.opendocument", "other"),
)
_BINARY = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"BZh", "packed with bzip2"),
    (b"\xfd7zXZ\0", "packed with xz"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\0asm", "a program"),
    (b"OggS", "sound"),
    (b"fLaC", "sound"),
    (b"ID3", "sound"),
)
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""The container of office files before 2007, of encrypted ones since, and of Outlook's messages."""
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")

_HEAD_BYTES = 2**16  # enough to recognise a page or mail; matching a whole file of blanks takes half a minute
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,1000}?-->\s*)?(?:<\?xml[^>]{0,200}>\s*)?<(?:!doctype html|html)\b",
    re.IGNORECASE | re.DOTALL,
)
_HEADER_NAMES = (
    rb"return-path|received|delivered-to|message-id|mime-version|from|to|date|subject|reply-to|content-type"
    rb"|authentication-results|dkim-signature|x-[\w-]+"
)
_MESSAGE = re.compile(
    rb"(?:From [^\r\n]+\r?\n)?(?:(?:" + _HEADER_NAMES + rb"):[ \t][^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*){3}",
    re.IGNORECASE,
)


def format_of(path: str, raw: bytes) -> Format:
    """Recognise the format of a file. It looks for signatures only, so it is safe on any bytes, in linear time.

    :raises NotReadable: if no format fits, or the fitting one needs an extra that is not installed.
    """
    found = _format_of(path, raw)
    if found.name == "other" and not has_all_formats():
        what = suffix_of(path) or "this kind of content"
        raise NotReadable(f"no reader for {what}; install deformer-qa[all-formats] for it", "no reader")
    return found


def _format_of(path: str, raw: bytes) -> Format:
    suffix = suffix_of(path)
    named = _BY_SUFFIX.get(suffix)
    if b"%PDF-" in raw[:1024] and not (named and named.is_text and not raw.startswith(b"%PDF-")):
        return BY_NAME["pdf"]
    if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _of_archive(raw, named)
    if raw.startswith(_COMPOUND):
        if _ENCRYPTED_PACKAGE in raw:
            raise NotReadable("encrypted: it opens with a password only", "encrypted")
        return BY_NAME["other"]
    if raw.startswith(b"{\\rtf"):
        return BY_NAME["other"]
    for signature, what in _BINARY:
        if raw.startswith(signature) and not _is_plain(raw):
            raise NotReadable(f"binary content ({what})", "binary")
    if named and named.is_text:
        return named
    return _of_text(raw, suffix, named)


def suffix_of(path: str) -> str:
    """The suffix of a path in small letters, '' if it has none."""
    return PurePosixPath(path).suffix.lower()


def _of_archive(raw: bytes, named: Format | None) -> Format:
    end = raw.rfind(b"PK\x05\x06")  # points to the list of members; members may be archives too
    start = int.from_bytes(raw[end + 16 : end + 20], "little") if end >= 0 else 0
    start = start if start < end else 0
    for member, name in _ARCHIVES:
        if raw.find(member, 0 if member.startswith(b"mimetype") else start) >= 0:
            return BY_NAME[name]
    if named and not named.is_text:
        return named
    raise NotReadable("a zip archive; unpack it to index its files", "no reader")


def _of_text(raw: bytes, suffix: str, named: Format | None) -> Format:
    """The format of a file whose suffix is missing, unknown, or of a format that its content is not in."""
    head = raw[:_HEAD_BYTES]
    if _PAGE.match(head):
        return BY_NAME["html"]
    if _MESSAGE.match(head):
        return BY_NAME["eml"]
    if b"<FictionBook" in raw[:2_000]:
        return BY_NAME["other"]
    if _is_plain(raw):
        return BY_NAME["text"]
    if named:
        return named  # its parser will say what is wrong
    raise NotReadable(f"no reader for {suffix}" if suffix else "no reader for this kind of content", "no reader")


def _is_plain(raw: bytes) -> bool:
    """Whether this is text beyond doubt: UTF-8 without control characters."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", raw)


@cache
def has_all_formats() -> bool:
    """Whether the extra that reads the formats named "other" is installed."""
    return find_spec("kreuzberg") is not None
