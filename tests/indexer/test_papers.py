"""What the readers of EPUB, mail, reStructuredText, notebooks, code and JSON make of a file, and all samples."""

from __future__ import annotations

import json
from bisect import bisect_right
from typing import Any

import pytest
from parts import SAMPLES
from parts.paper_files import ENTITIES, book, headings, named, only, read, sample

from deformer_qa.indexer import FileLimits
from deformer_qa.indexer.formats import NotReadable
from deformer_qa.store.locations import KINDS, LOCATIONS, location_at

QUESTIONS = json.loads((SAMPLES / "questions_papers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: f"{asked['file']}: {asked['answer']}")
def test_the_answer_stands_where_its_source_has_it(asked: dict[str, Any]) -> None:
    (document,) = sample(asked["file"]).documents
    at = document.text.index(asked["answer"])
    before = bisect_right([offset for offset, _ in document.outline], at)
    assert (headings(document)[before - 1] if before else None) == asked.get("heading")
    found = location_at({LOCATIONS: document.locations}, document.text, at)
    assert found == {kind: asked[kind] for kind in KINDS if kind in asked}


def test_samples_say_who_wrote_them() -> None:
    found = {name: (one.title, dict(one.meta)) for name in SAMPLES_WITH_AUTHORS for one in sample(name).documents}
    assert found == SAMPLES_WITH_AUTHORS


SAMPLES_WITH_AUTHORS = {
    "clockmaker.epub": (
        "The Clockmaker of Averil",
        {"author": "Josephine Lark", "created": "2019-03-02", "language": "en"},
    ),
    "pier.eml": (
        "Repairs of the pier in Müllhaven",
        {
            "subject": "Repairs of the pier in Müllhaven",
            "from": "Basil Thorne <basil@example.org>",
            "to": "Rosa Quill <rosa@example.org>",
            "cc": "Jürgen Äpfel <j@example.org>",
            "date": "2025-03-04T16:40:00+01:00",
        },
    ),
    "tides.ipynb": ("Tides at Corran Sound", {"author": "Leopold Dunmore"}),
}


# EPUB


def test_chapters_come_in_the_order_of_the_spine_and_get_missing_headings_from_the_contents() -> None:
    contents = (
        "<ncx><navMap><navPoint><navLabel><text>The first</text></navLabel><content src='1.xhtml#a'/></navPoint>"
        "<navPoint><navLabel><text>Second</text></navLabel><content src='2.xhtml'/></navPoint>"
        "<navPoint><navLabel><text>Third</text></navLabel><content src='3.xhtml'/></navPoint></navMap></ncx>"
    )
    raw = book(
        "<html><body><p>One.</p></body></html>",
        "<html><body><h2>Own</h2><p>Two.</p></body></html>",
        "<html><body><p>THIRD</p><p>Three.</p></body></html>",
        more={"in/toc.ncx": contents},
    )
    document = only("a.epub", raw)
    assert document.text == "The first\n\nOne.\n\nOwn\n\nTwo.\n\nTHIRD\n\nThree."
    assert headings(document) == ["The first", "Own", "THIRD"]


def test_a_chapter_that_is_missing_is_named_and_the_others_are_read() -> None:
    items = '<item id="c1" href="1.xhtml"/><item id="c2" href="../../etc/passwd"/>'
    package = (
        f'<package><manifest>{items}</manifest><spine><itemref idref="c2"/><itemref idref="c1"/></spine></package>'
    )
    parsed = read("a.epub", book("<p>Text.</p>", more={"in/book.opf": package}))
    assert parsed.documents[0].text == "Text."
    assert parsed.notes == ("chapter ../etc/passwd cannot be read: damaged: ../etc/passwd is missing",)


@pytest.mark.parametrize(("algorithm", "is_readable"), [("http://www.idpf.org/2008/embedding", True), ("aes", False)])
def test_a_book_with_encrypted_chapters_is_encrypted(algorithm: str, is_readable: bool) -> None:
    one = (
        f'<EncryptedData><EncryptionMethod Algorithm="{algorithm}"/><CipherReference URI="in/1.xhtml"/></EncryptedData>'
    )
    raw = book("<p>Text.</p>", more={"META-INF/encryption.xml": f"<encryption>{one}</encryption>"})
    if is_readable:
        assert only("a.epub", raw).text == "Text."
        return
    with pytest.raises(NotReadable, match="encrypted") as caught:
        read("a.epub", raw)
    assert caught.value.kind == "encrypted"


def test_entities_of_a_book_are_neither_multiplied_nor_opened() -> None:
    raw = book(f"{ENTITIES}<html><body><p>&j; &f; Text.</p></body></html>", metadata="<dc:title>A</dc:title>")
    assert only("a.epub", raw).text == "&j; &f; Text."
    package = ENTITIES + (
        '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>&f;&j;</dc:title></metadata><manifest>'
        '<item id="c" href="1.xhtml"/></manifest><spine><itemref idref="c"/></spine></package>'
    )
    assert only("a.epub", book("<p>Text.</p>", more={"in/book.opf": package})).title in ("&f;&j;", "a")


# Mail

PLAIN = ", and a line of plain English after that, which leaves no doubt about the encoding. " * 9 + "End."


def test_a_mail_names_what_of_it_is_not_read() -> None:
    parsed = sample("pier.eml")
    assert parsed.notes == ("attachment estimate.pdf is not read",)
    assert parsed.documents[0].text.count("begin on 12 May") == 1, "of the plain form and that in HTML one is read"


def test_the_people_of_a_mail_stand_at_its_head() -> None:
    (document,) = sample("choir.eml").documents
    assert document.text.startswith(
        "Résumé of the choir\n\nFrom: choir@example.org\nTo: all@example.org\nDate: Sat, 07 Jun 2025 20:00:00 +0000\n\n"
    )


def test_an_earlier_mail_that_is_quoted_stays() -> None:
    assert "> Who pays for the new piles?" in sample("pier.eml").documents[0].text


@pytest.mark.parametrize(
    ("head", "body", "text"),
    [
        (b"Content-Type: text/plain; charset=unknown-8", "Grüße".encode(), "Grüße"),
        (b"Content-Type: text/plain; charset=zlib", "Grüße".encode(), "Grüße"),
        (b"Content-Type: text/plain; charset=utf-8", f"Grüße{PLAIN}".encode("cp1252"), f"Grüße{PLAIN}"),
        (b"Content-Type: multipart/mixed", b"--a\n\ntext\n--a--", "--a\n\ntext\n--a--"),
        (b"Content-Type: multipart/alternative; boundary=a",
         b"--a\n\n \n--a\nContent-Type: text/html\n\n<p>b<p>c\n--a--", "b\n\nc"),
        (b"Content-Type: message/rfc822", b"Subject: inner\n\ninner text", "inner\n\ninner text"),
        (b"X: =?utf-8?B?!!!?=\nTo: " + b"(" * 1000, b"text", "To: " + "(" * 1000 + "\n\ntext"),
        (b"To: " + b"a@b.org, " * 50_000, b"text", "To: " + "a@b.org, " * 49_999 + "a@b.org,\n\ntext"),
    ],
)  # fmt: skip
def test_mail_that_is_not_by_the_book_is_read_all_the_same(head: bytes, body: bytes, text: str) -> None:
    assert only("a.eml", b"Subject: s\n" + head + b"\n\n" + body).text == f"s\n\n{text}"


# reStructuredText


def test_rst_is_kept_verbatim_and_nothing_it_names_is_opened() -> None:
    source = (
        ".. include:: /etc/passwd\n\n.. csv-table::\n   :file: /etc/passwd\n\n.. raw:: html\n   :file: /etc/passwd\n"
    )
    assert only("a.rst", source).text == source


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_rst_headings_are_lines_with_a_line_drawn_under_them(line_end: str) -> None:
    source = (
        "####\nTop\n####\n\n======\n Over \n======\n\nA ``b`` *c* :d:`e` `f <g>`_\n-----------------------\n\ntext\n\n"
        "Short\n==\n\ntwo lines\nof text\n=======\n\n----\n\n  Indented\n===========\n\n字字\n~~~~\n"
    )
    document = only("a.rst", source.replace("\n", line_end))
    assert headings(document) == ["Top", "Over", "A b c e f", "字字"]
    assert document.title == "Top"
    assert document.text == source.replace("\n", line_end)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (
            "  +------+-----------+\n  | Town | Area km   |\n  |      | squared   |\n  +======+=====+=====+\n"
            "  | Ulm  | 118 | 9   |\n  +------+-----+-----+\n  | all        | ``3`` |\n",
            None,  # the last line is too long
        ),
        (
            "  +------+-----------+\n  | Town | Area km   |\n  |      | squared   |\n  +======+=====+=====+\n"
            "  | Ulm  | 118 | 9   |\n  +------+-----+-----+\n  | all        | *3* |\n  +------------+-----+\n",
            "  | Town | Area km squared |\n  Town: Ulm, Area km squared: 118, Area km squared: 9.\n"
            "  Town: all, Area km squared: 3.\n",
        ),
        (
            "===== ===== ======\n  Inputs    Output\n----------- ------\n  A     B   A or B\n===== ===== ======\n"
            "no    no    no\nyes   no    yes\n            always\n===== ===== ======\n",
            "| Inputs | Output |\n| A | B | A or B |\nInputs A: no, Inputs B: no, Output A or B: no.\n"
            "Inputs A: yes, Inputs B: no, Output A or B: yes always.\n",
        ),
        ("== ===\na  bcd\ne  f\n== ===\n", "a: bcd.\ne: f.\n"),
        ("Drawn::\n\n  +---+---+\n  | x | y |\n  +---+---+\n", None),
        (".. code-block:: rst\n\n  == ==\n  x  y\n  == ==\n", None),
        ("+---+---+\n| x | y |\n|   +---+\n|   | z |\n+---+---+\n", None),
        ("== ==\nacross\n== ==\n", None),
        ("== ==\na  b\n", None),
        ("+---+\n| x |\n+---+\n", None),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_rows_of_tables_drawn_in_rst_name_their_columns(drawn: str, expected: str | None, line_end: str) -> None:
    source = f"Head\n====\n\n{drawn}\nAfter\n-----\n\ntext\n".replace("\n", line_end)
    written = source if expected is None else source.replace(*(x.replace("\n", line_end) for x in (drawn, expected)))
    document = only("a.rst", source)
    assert document.text == written
    assert headings(document) == ["Head", "After"]
    assert document.text[document.outline[1][0] :].startswith("After")


# Notebooks


def test_a_notebook_gives_cells_and_what_they_printed() -> None:
    (document,) = sample("tides.ipynb").documents
    assert "mean(heights)\n\n'mean of 24,106 heights: 2.97 metres'" in document.text
    assert "Figure size" not in document.text


def test_long_output_of_a_notebook_is_cut_and_said_to_be() -> None:
    output = {"output_type": "stream", "text": ["\x1b[31mred\x1b[0m\n", "x" * 20_000]}
    cells = [{"cell_type": "code", "source": "", "outputs": [output]}, {"cell_type": "raw", "source": ["a", "b"]}]
    parsed = read("a.ipynb", json.dumps({"cells": cells}))
    (document,) = parsed.documents
    assert document.text == "red\n" + "x" * 9_996 + "\n\nab"
    assert document.locations == {"cell": ((0, 1), (10_002, 2))}
    assert parsed.notes == ("only the first 10,000 characters printed by cell 1 are read",)


def test_a_notebook_of_format_3_has_its_cells_in_worksheets() -> None:
    cells = [{"cell_type": "heading", "source": "Head"}, {"cell_type": "code", "input": ["1 + 1"], "outputs": 7}, None]
    document = only("a.ipynb", json.dumps({"worksheets": [{"cells": cells}, None]}))
    assert (document.text, headings(document)) == ("Head\n\n1 + 1", ["Head"])
    assert document.locations == {"cell": ((0, 1), (6, 2))}


# Code


def test_definitions_of_many_languages_are_headings() -> None:
    source = {
        "export default async function load(path) {": "function load",
        "  pub(crate) fn merge<T>(a: T) -> T {": "fn merge",
        "public static final class Writer extends Base {": "class Writer",
        "func (s *Store) Commit(name string) error {": "func Commit",
        "struct point {": "struct point",
        "int main(int argc, char **argv)": "main()",
        "void Store::commit(Row row) {": "Store::commit()",
        "def valid?(row)": "def valid?",
        "trait Encoder: Send {": "trait Encoder",
        "\\section{On the tides}": "On the tides",
        "type Row struct {": "type Row",
    }
    others = [
        "return call(a) {",
        "if (x) {",
        "x = call(a)",
        "# class of its own, a comment",
        "classic(1)",
        "    call(a)",
    ]
    document = only("a.py", "\n".join([*source, *others]))
    assert headings(document) == list(source.values())
    assert document.locations == {"line": ((0, 1),)}


def test_a_file_of_definitions_without_end_has_its_first_ones_as_headings() -> None:
    parsed = read("a.py", "def f(): ...\n" * 10_001)
    assert len(parsed.documents[0].outline) == 10_000
    assert parsed.notes == ("only its first 10,000 definitions become headings",)


# JSON


def test_json_becomes_lines_under_headings() -> None:
    (document,) = sample("harbour.json").documents
    assert document.title == "Settings of the harbour of Kelstrand"
    assert headings(document) == ["radio", "radio › hours", "berths › North quay", "berths › Coal pier", "soundings"]
    assert (
        "berths › North quay\n\nname: North quay\ndepth_metres: 6.50\nreserved_for: pilots, lifeboat\n" in document.text
    )
    assert "has_crane: false\n\ndescription: The Coal pier was built in 1908" in document.text


def test_values_of_json_stand_as_the_file_writes_them() -> None:
    source = '{"a": 1.10, "a": 1e999, "b": [NaN, -Infinity, true, null], "c": %s, "d": {}, "e": "\\ud800\\u0000"}' % (
        "9" * 5_000
    )
    text = f"a: 1.10\na: 1e999\nb: NaN, -Infinity, true, null\n\nc: {'9' * 5_000}\n\nd: {{}}\ne: \ufffd\ufffd"
    assert only("a.json", source).text == text
    assert only("a.json", '"only a text"').text == "- only a text"


def test_a_list_of_records_has_a_heading_for_each() -> None:
    document = only("a.json", '[{"name": "One", "text": "First text."}, {"text": "Second text."}]')
    assert document.text == "One\n\nname: One\ntext: First text.\n\n2\n\ntext: Second text."
    assert headings(document) == ["One", "2"]


def test_floods_of_numbers_in_json_are_told_by_their_length() -> None:
    places = {"type": "Polygon", "coordinates": [[[n / 7, n] for n in range(100)]], "pair": [[1, 2], [3, 4]]}
    parsed = read("a.json", json.dumps(places))
    assert parsed.documents[0].text == "type: Polygon\ncoordinates: 200 numbers\n\npair\n\n- 1, 2\n- 3, 4"
    assert parsed.notes == ("1 list of more than 64 numbers not read",)


def test_json_deeper_than_the_limit_is_refused() -> None:
    with pytest.raises(NotReadable, match=r"^JSON nested more than 20 deep \(--max-nesting\)$"):
        named("json", '{"a":' * 22 + '"b"' + "}" * 22, FileLimits(nesting=20))
    assert named("json", '{"a":' * 20 + '"b"' + "}" * 20, FileLimits(nesting=20)).documents[0].text
