"""Files that are all title, all lines, all blanks: what they would cost is told before it is paid."""

from __future__ import annotations

import time

import pytest

from deformer_qa.indexer.formats import FileLimits, NotReadable, format_of, hashes, parse
from deformer_qa.indexer.formats.registry import BY_NAME


def test_titles_headings_and_metadata_are_as_long_as_such_are() -> None:
    page = b"<title>" + b"t " * 50_000 + b"</title><h1>" + b"h " * 50_000 + b"</h1><p>words</p>"
    parsed = parse(BY_NAME["html"], "a", page, FileLimits())
    (document,) = parsed.documents
    assert (len(document.title), [len(heading) for _, heading in document.outline]) == (1_000, [1_000])
    assert document.text.count("h ") > 49_000
    assert parsed.notes == ("its title of 99,999 characters is cut to 1,000",)
    line = b'{"text": "words", "a": "' + b"x" * 200_000 + b'", "b": 1}'
    parsed = parse(BY_NAME["jsonl"], "a", line, FileLimits())
    assert parsed.documents[0].meta == {"b": 1}
    assert parsed.notes == ("its metadata field 'a' is too long, or all fields together are",)


def test_lines_without_end_are_refused_before_they_are_hashed() -> None:
    with pytest.raises(NotReadable, match="more than 1,000,000 lines"):
        hashes(BY_NAME["jsonl"], b"1\n" * 1_000_001)


def test_blanks_without_end_are_told_from_a_page_at_once() -> None:
    began = time.monotonic()
    assert format_of("a", b" " * 2**26).name == "text"
    assert time.monotonic() - began < 3
