"""Source code and settings: the document is the file, character for character; its definitions become headings.

Definitions are found by the words that begin them in most languages. A lexer would be more certain, but these words
work for all languages, and a false heading in a comment does no harm.
"""

from __future__ import annotations

import re

from deformer_qa.indexer.formats.parsed import FileLimits, ParsedDocument, ParsedFile, one_line
from deformer_qa.indexer.formats.text_encoding import decode

_MOST_HEADINGS = 10_000
_LONGEST_LINE = 300
_BEFORE = (
    r"(?:(?:abstract|async|const|data|declare|default|export|extern|final|inline|internal|local|open|override|partial"
    r"|private|protected|pub(?:\([a-z]+\))?|public|sealed|static|unsafe|virtual)\s+)*"
)
_WORDS = (
    "class", "def", "defmodule", "defp", "enum", "fn", "func", "function", "fun", "impl", "interface", "module",
    "namespace", "object", "package", "proc", "protocol", "record", "struct", "sub", "trait", "type", "union",
)  # fmt: skip
_DEFINITION = re.compile(
    rf"{_BEFORE}(?P<word>{'|'.join(_WORDS)})\s+(?:\([^()\n]*\)\s*)?(?P<name>[^\W\d][\w.:$]*[?!]?)(?=\s*(?:[(:{{<\[=;|]|$|\w+\b))"
)
_C_FUNCTION = re.compile(r"[^\W\d][\w:<>,*&~ \t]*?[\s*&](?P<name>[\w:~]+)\([^;{}]*\)[^;{}()]*\{?$")
_NO_FUNCTION = re.compile(r"(?:else|return|if|for|while|switch|catch|do|throw|new|case|elif|with|not|and|or|await)\b")
_TEX = re.compile(r"\\(?:part|chapter|(?:sub)*section|paragraph)\*?\{(?P<name>[^{}]+)\}")


def parse(raw: bytes, limits: FileLimits) -> ParsedFile:
    """One document with the location "line"; its headings look like "class Writer" or "def commit"."""
    notes: list[str] = []
    text = decode(raw, notes)
    outline: list[tuple[int, str]] = []
    offset = 0
    for line in text.split("\n"):
        start = offset
        offset += len(line) + 1
        stripped = line.strip()
        heading = _heading(stripped, line) if len(stripped) <= _LONGEST_LINE else ""
        if not heading:
            continue
        if len(outline) == _MOST_HEADINGS:
            notes.append(f"only its first {_MOST_HEADINGS:,} definitions become headings")
            break
        outline.append((start + len(line) - len(line.lstrip()), heading))
    document = ParsedDocument("", "", text, tuple(outline), locations={"line": ((0, 1),)})
    return ParsedFile((document,), (), tuple(notes))


def _heading(stripped: str, line: str) -> str:
    if found := _DEFINITION.match(stripped):
        return f"{found['word']} {found['name'].rstrip(':.')}"
    if found := _TEX.match(stripped):
        return one_line(found["name"])
    if line[:1].isalpha() and stripped.endswith(("{", ")")) and not _NO_FUNCTION.match(stripped):
        found = _C_FUNCTION.match(stripped)
        return f"{found['name']}()" if found else ""
    return ""
