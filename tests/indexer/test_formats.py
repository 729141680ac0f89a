"""What each format makes of a file: text, title, headings with their places, records."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts.parsed_bytes import hashes, parse

from deformer_qa.indexer.formats import NotReadable, ParsedDocument, file_of


def test_a_heading_of_preformatted_text_begins_at_its_first_letter() -> None:
    document = only("a.html", "<h1><pre> two </pre></h1><p>text")
    ((offset, heading),) = document.outline
    assert heading == "two"
    assert document.text[offset:].startswith("two")


def only(path: str, source: str | bytes) -> ParsedDocument:
    parsed = parse(path, source.encode() if isinstance(source, str) else source)
    (document,) = parsed.documents
    assert parsed.bad_records == ()
    for offset, heading in document.outline:
        assert heading
        assert document.text[offset : offset + 1].strip(), "an offset points at a character"
    assert [offset for offset, _ in document.outline] == sorted({offset for offset, _ in document.outline})
    return document


# Suffixes


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a/photo.PNG", "no reader for .png"),
        ("a.d/Makefile", "no reader for this kind of content"),
        ("a.jsonl#3", "no reader for .jsonl#3"),
    ],
)
def test_a_suffix_without_a_reader_is_named(path: str, reason: str) -> None:
    with pytest.raises(NotReadable, match=f"^{reason}$"):
        parse(path, b"text\x01\xff")


def test_suffixes_are_known_in_any_case() -> None:
    assert only("NOTES.TXT", "some words").title == "NOTES"


def test_the_file_of_a_record_is_its_path_without_the_line() -> None:
    assert file_of("a/b.jsonl#12") == "a/b.jsonl"
    assert file_of("a/b#12.txt") == "a/b#12.txt"
    assert file_of("a/b.txt#12") == "a/b.txt#12"
    assert file_of("c#.jsonl") == "c#.jsonl"


def test_hashes_differ_by_bytes_and_by_format_and_by_nothing_else() -> None:
    assert only("a.txt", "x").content_hash == only("b/c.TEXT", "x").content_hash == hashes("d.txt", b"x")[""]
    assert len({only(path, "x").content_hash for path in ("a.txt", "a.md", "a.html")}) == 3
    assert only("a.txt", "x").content_hash != only("a.txt", "x ").content_hash


# Markdown

MARKDOWN = """\
Setext title
============

Text with a [link](http://x.y/).

##   *Second*  `level` [of](http://x.y/) ##

```
# no heading
```

   ### Indented

> ## In a quote

- # In a list

####

Not a heading
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_markdown_is_kept_verbatim_and_its_headings_are_at_their_lines(line_end: str) -> None:
    source = MARKDOWN.replace("\n", line_end)
    document = only("guide.md", source)
    assert document.text == source
    assert document.title == "Setext title"
    assert [heading for _, heading in document.outline] == [
        "Setext title",
        "Second level of",
        "Indented",
        "In a quote",
        "In a list",
    ]
    lines = [source[offset:].split(line_end)[0] for offset, _ in document.outline]
    assert lines == [
        "Setext title",
        "##   *Second*  `level` [of](http://x.y/) ##",
        "### Indented",
        "> ## In a quote",
        "- # In a list",
    ]


def test_other_line_separators_do_not_move_the_headings() -> None:
    document = only("a.md", "one\u2028two\x0bthree\x0cfour\x85five\n\n# Six\n")
    assert document.text[document.outline[0][0] :] == "# Six\n"


def test_markdown_without_a_first_level_heading_has_the_name_of_its_file() -> None:
    assert only("x/guide to it.md", "## Second\n\ntext").title == "guide to it"


def test_yaml_at_the_head_gives_the_title_and_no_heading() -> None:
    source = '---\ntitle: "The real title"\ntags: [a]\n---\n\n# Heading\n\ntext\n'
    document = only("a.md", source)
    assert (document.title, document.text) == ("The real title", source)
    assert document.outline == ((source.index("# H"), "Heading"),)


def test_a_rule_at_the_head_is_no_yaml() -> None:
    assert only("a.md", "---\n\n# Heading\n").outline == ((5, "Heading"),)


@given(st.text(st.sampled_from("#= -\n\r\t>`*[]ab"), min_size=1, max_size=80).filter(str.strip))
def test_any_markdown_is_kept_and_its_headings_are_lines_of_it(source: str) -> None:
    document = only("a.md", source)
    assert document.text == source
    for offset, _ in document.outline:
        assert offset == 0 or source[:offset].rstrip(" \t")[-1:] in ("", "\n", "\r")


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_rows_of_a_markdown_table_name_their_columns_and_all_else_is_verbatim(line_end: str) -> None:
    source = """# Towns | *all*

a | b

| Town | `Area` | |
|:-----|-------:|-|
| [Ulm](http://ulm.de) | 118\\|9 | x<br>y |
| **Ems** | | z

> ## Quoted
> a | b
> --|--
> 1 | 2
> 3 | 4 | 5

- | c | d |
  |---|---|
  | 6 | 7 |

```
| e | f |
|---|---|
```
## After
| | |
|-|-|
| Born | 1950 |
| Died | Bonn |
"""
    expected = """# Towns | *all*

a | b

| Town | Area |
Town: Ulm, Area: 118|9, x y.
Town: Ems, z.

> ## Quoted
> | a | b |
> a: 1, b: 2.
> 3 | 4 | 5

- | c | d |
  c: 6, d: 7.

```
| e | f |
|---|---|
```
## After
Born: 1950.
Died: Bonn.
"""
    document = only("towns.md", source.replace("\n", line_end))
    assert document.text == expected.replace("\n", line_end)
    assert [(document.text[at:].split(line_end)[0], heading) for at, heading in document.outline] == [
        ("# Towns | *all*", "Towns | all"),
        ("> ## Quoted", "Quoted"),
        ("## After", "After"),
    ]


def test_a_table_in_a_cell_of_a_notebook_has_such_rows_too() -> None:
    source = "| a | b |\n|---|---|\n| 1 | 2 |\n\n# After"
    notebook = {"cells": [{"cell_type": kind, "source": source} for kind in ("markdown", "code")]}
    document = only("a.ipynb", json.dumps(notebook))
    assert document.text == f"| a | b |\na: 1, b: 2.\n\n# After\n\n{source}"
    assert document.outline == ((document.text.index("# After"), "After"),)


@given(st.lists(st.text(st.sampled_from("#|-:\\ ab>`\r"), max_size=12), min_size=1, max_size=8))
def test_no_word_of_any_markdown_table_is_lost(source: list[str]) -> None:
    text = "\n".join(["# x", "M|N", "-|-", *source, "", "# End"])
    document = only("a.md", text)
    assert [one for one in document.text if one in "ab"] == [one for one in text if one in "ab"]
    for offset, _ in document.outline:
        assert offset == 0 or document.text[:offset].rstrip(" \t")[-1:] in ("", "\n", "\r")


# HTML

PAGE = """<!DOCTYPE html><html><head><title> The
  page </title><style>p {}</style><script>var x = "<p>no</p>";</script></head>
<body><header>Site <nav><a href=/>Home</a></nav></header><nav>Menu</nav>
<main><header><h1>First <em>h</em>eading</h1></header>
<p>Some&nbsp;text, H<sub>2</sub>O<br>next&amp;line.   More
 words.<p>Second <b>paragraph</b><!-- no -->.
<h2> </h2>
<ul><li>one<li>two <ul><li>inner</ul><li></ul>
<h2 id=t>A table</h2>
<table><caption>About</caption><thead><tr><th>A<th>B</thead><tr><td>1<td><p>2</p><p>3</p></tr><tr><td></table>
<pre>
  keep   this
    and that
</pre>
<p hidden>hidden</p><p style="display: none">hidden</p><p aria-hidden="true">hidden</p>
<aside>Advert</aside>
<footer>Written by hand.</footer></main>
<footer>Cookies</footer><button>Press</button></body></html>"""

READABLE = """First heading

Some text, H2O
next&line. More words.

Second paragraph.

- one
- two
- inner

A table

About

| A | B |
A: 1, B: 2 3.

  keep   this
    and that

Written by hand."""


def test_html_gives_its_readable_text_in_blocks() -> None:
    document = only("page.html", PAGE)
    assert document.text == READABLE
    assert document.title == "The page"
    assert [(heading, document.text[offset : offset + len(heading)]) for offset, heading in document.outline] == [
        ("First heading", "First heading"),
        ("A table", "A table"),
    ]


def test_html_without_a_title_has_that_of_its_first_heading_or_file() -> None:
    assert only("page.html", "<h2>No</h2><h1>Yes <i>it</i> is</h1>").title == "Yes it is"
    assert only("my page.htm", "<p>text").title == "my page"


def test_a_table_that_arranges_a_page_is_read_as_blocks() -> None:
    document = only("a.html", "<table><tr><td><h1>Title</h1><p>One.</p><p>Two.</p></td><td>Side</td></tr></table>")
    assert document.text == "Title\n\nOne.\n\nTwo.\n\nSide"
    assert document.outline == ((0, "Title"),)


def test_a_page_that_is_all_header_is_not_lost() -> None:
    assert only("a.html", "<header><h1>All</h1> there <nav>is</nav></header>").text == "All\n\nthere\n\nis"


def test_html_without_text_is_refused() -> None:
    with pytest.raises(NotReadable, match="no text in it"):
        parse("a.html", b"<html><script>x</script><p> </p>")


@pytest.mark.parametrize(
    "raw",
    [
        '<meta charset="koi8-r"><p>Грибы в лесу'.encode("koi8-r"),
        '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251"><p>Грибы в лесу'.encode("cp1251"),
        '<?xml version="1.0" encoding="iso-8859-5"?><p>Грибы в лесу'.encode("iso8859-5"),
        '\ufeff<meta charset="koi8-r"><p>Грибы в лесу'.encode(),
        '<meta charset="base64"><p>Грибы в лесу'.encode(),
        '<meta charset="no-such"><p>Грибы в лесу'.encode(),
    ],
)
def test_html_is_decoded_as_it_states_if_that_is_an_encoding(raw: bytes) -> None:
    assert only("a.html", raw).text == "Грибы в лесу"


def test_latin_1_means_windows_1252_on_the_web() -> None:
    assert only("a.html", '<meta charset="iso-8859-1"><p>30 €'.encode("cp1252")).text == "30 €"


def test_a_page_nested_without_end_is_refused_at_once() -> None:
    with pytest.raises(NotReadable, match="elements nested more than"):
        parse("a.html", b"<div>" * 100_000)
    assert only("a.html", b"<div><ul><li>" * 1_500 + b"x").text == "- x"


TAGS = ["p", "h1", "h2", "li", "ul", "pre", "table", "tr", "td", "div", "b", "header", "main", "nav"]
MARKS = [mark for tag in TAGS for mark in (f"<{tag}>", f"</{tag}>")]
PIECES = ["one", " two ", "&nbsp;", "\n", "<br>", "<!--x-->", *MARKS]


@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_any_html_gives_clean_text_with_headings_in_place(pieces: list[str]) -> None:
    document = only("a.html", "".join([*pieces, "<p>end"]))
    assert document.text.strip("\n") == document.text
    assert "\n\n\n" not in document.text
    for offset, heading in document.outline:
        assert " ".join(document.text[offset:].split()).startswith(heading)


# JSON lines


def test_each_line_of_jsonl_is_a_document() -> None:
    lines = [
        {"id": 7, "title": " A  title ", "text": " Some text.\n", "year": 1999, "tags": ["x"], "ok": True, "no": None},
        {"content": "second", "text": None},
        {"context": "third"},
        {"body": "fourth", "title": 3},
    ]
    raw = "\n\n".join(map(json.dumps, lines)).encode()
    parsed = parse("dir/notes.jsonl", raw)
    assert parsed.bad_records == ()
    assert [(d.record, d.title, d.text, dict(d.meta)) for d in parsed.documents] == [
        ("#0", "A title", " Some text.\n", {"id": 7, "year": 1999, "ok": True}),
        ("#2", "notes", "second", {}),
        ("#4", "notes", "third", {}),
        ("#6", "notes", "fourth", {}),
    ]
    assert {d.record: d.content_hash for d in parsed.documents} == hashes("notes.jsonl", raw)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON (Expecting property name enclosed in double quotes, column 2)"),
        (b"[1]", "expected an object, found an array"),
        (b"null", "expected an object, found null"),
        (b"3", "expected an object, found a number"),
        (b'"x"', "expected an object, found a string"),
        (b'{"title": "x"}', "no text: expected one of 'text', 'content', 'context', 'body'"),
        (b'{"text": " "}', "no text: 'text' is empty"),
        (b"[" * 100_000, "JSON nested too deeply"),
        (b'{"text": "caf\xe9 na\xc3\xafve \xc3\xa9t\xc3\xa9"}', "not UTF-8 (byte 13 of the line)"),
        (b'{"text": "x", "n": ' + b"9" * 10_000 + b"}", None),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(line: bytes, reason: str | None) -> None:
    parsed = parse("a.jsonl", b'{"text": "one"}\n' + line + b'\n{"text": "two"}\n')
    assert [(document.record, document.text) for document in parsed.documents] == [("#0", "one"), ("#2", "two")]
    (bad,) = parsed.bad_records
    assert bad.record == "#1"
    assert reason is None or bad.reason == reason


def test_what_cannot_be_stored_is_replaced_in_records() -> None:
    document = only("a.jsonl", r'{"text": "a\ud800b\u0000c", "\udc00": "\udfff", "inf": 1e999, "nan": NaN}')
    assert (document.text, dict(document.meta)) == ("a\ufffdb\ufffdc", {"\ufffd": "\ufffd"})


def test_jsonl_with_a_mark_or_windows_line_ends_is_read() -> None:
    raw = '{"text": "ä"}\r\n{"text": "ö"}\r\n'
    for source in (raw.encode(), raw.encode("utf-8-sig"), raw.encode("utf-16")):
        assert [(d.record, d.text) for d in parse("a.ndjson", source).documents] == [("#0", "ä"), ("#1", "ö")]


def test_a_binary_named_jsonl_is_refused_as_a_whole() -> None:
    with pytest.raises(NotReadable, match="binary content"):
        parse("a.jsonl", b'{"text": "x"}\n\0\0\n')


def test_a_line_separator_inside_a_string_is_no_line_end() -> None:
    assert only("a.jsonl", '{"text": "a\u2028b\x85c"}').text == "a\u2028b\x85c"


def test_marks_of_notes_and_links_of_headings_are_no_text_of_a_page() -> None:
    source = (
        '<h2>Setup<a href="#setup">¶</a></h2><p>It rang.<sup><a href="#n1">[1]</a></sup> H<sub>2</sub>O, m<sup>2</sup>,'
        ' see <a href="#two">part 2</a>.<a href="#fn1" role="doc-noteref"><sup>1</sup></a>'
        '<a href="b.xhtml#n"><sup>2</sup></a></p><ol><li>Cut down. <a href="#r1">↩︎</a></li></ol>'
        '<div role="dialog">We use cookies.</div>'
    )
    document = only("a.html", source)
    assert document.text == "Setup\n\nIt rang. H2O, m2, see part 2.\n\n- Cut down."
    assert document.outline == ((0, "Setup"),)


def test_html_says_who_wrote_it_when_and_in_which_language() -> None:
    source = (
        '<html lang="en-GB"><head><meta name="Author" content="Tamsin  Reeve"><meta name="viewport" content="x">'
        '<meta property="article:published_time" content="2023-11-05T08:00:00Z"><meta name="keywords"><p>a'
    )
    expected = {"author": "Tamsin Reeve", "created": "2023-11-05T08:00:00Z", "language": "en-GB"}
    assert only("a.html", source).meta == expected
