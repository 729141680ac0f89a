"""Files that are broken, or made to do harm; names of one kind begin alike ("bomb-", "nested-")."""

# ruff: noqa: E501 - the files are data, one a line

from __future__ import annotations

import codecs
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from parts.made_files import archive, docx, epub, pdf, pptx, replaced, xlsx

ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-7"),
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp437", "cp850"),
    *("cp866", "cp874", "iso8859-1", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-8", "iso8859-9", "iso8859-15"),
    *("koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "shift_jis", "euc_jp", "iso2022_jp", "gb18030", "big5"),
    *("euc_kr", "hz"),
)
_SPOKEN = {
    "cp1250": "Příliš žluťoučký kůň úpěl ďábelské ódy a všichni ho slyšeli až na náměstí.",
    "cp1251": "Съешь же ещё этих мягких французских булок, да выпей чаю, пока он не остыл.",
    "cp1253": "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί του γείτονα.",
    "cp1254": "Pijamalı hasta yağız şoföre çabucak güvendi ve yola çıktılar.",
    "cp1255": "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה נעימה מאוד.",
    "cp1256": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ومغلف بجلد أزرق.",
    "cp1257": "Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą.",
    "cp874": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน",
    "shift_jis": "いろはにほへと散りぬるを我が世誰ぞ常ならむ。有為の奥山今日越えて、浅き夢見じ酔ひもせず。",
    "gb18030": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "big5": "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心，並應以兄弟關係的精神相對待。",
    "euc_kr": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
}  # fmt: skip
_ALIKE = {
    **dict.fromkeys(("cp866", "iso8859-5", "koi8-r", "mac-cyrillic"), "cp1251"),
    **dict.fromkeys(("euc_jp", "iso2022_jp"), "shift_jis"),
    "iso8859-2": "cp1250",
    "iso8859-7": "cp1253",
    "iso8859-9": "cp1254",
    "iso8859-8": "cp1255",
    "hz": "gb18030",
}


def bad_files(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of files that are broken, or made to do harm.

    :param canary: a file outside, to which some of them point.
    """
    yield from _encodings()
    yield from _truncated()
    yield from _bombs()
    yield from _entities(canary)
    yield from _encrypted()
    yield from _nested()
    yield from _misnamed()
    yield from _pointing(canary)
    yield from _odd()


def _encodings() -> Iterator[tuple[str, bytes]]:
    for encoding in ENCODINGS:
        text = _SPOKEN.get(
            _ALIKE.get(encoding, encoding), "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg, très âgé."
        )
        try:
            raw = f"{text}\n".encode(encoding)
        except UnicodeEncodeError:
            raw = f"{text}\n".encode(encoding, "ignore")
        yield f"encoding-{encoding}.txt", raw
    yield (
        "encoding-broken-utf8.txt",
        b"good words and " + b"\xc3\x28\xa0\xa1" * 3 + " ganz schön kaputt, très âgé".encode(),
    )
    yield "encoding-cut-utf8.txt", "Zum Schluß fehlt ein Stück: é".encode()[:-1]
    yield "encoding-cut-utf16.txt", "Zum Schluß fehlt ein Byte".encode("utf-16")[:-1]
    yield "encoding-wrong-mark.txt", codecs.BOM_UTF32_LE + b"no utf-32 at all"
    yield "encoding-stated-wrongly.html", '<meta charset="shift_jis"><p>Größe und Grüße, très âgé.'.encode()
    yield "encoding-unknown-label.html", b'<meta charset="klingon-8"><p>Words.'


def _truncated() -> Iterator[tuple[str, bytes]]:
    whole = {
        "pdf": pdf(["One page.", "Another page.", "And a third."]),
        "docx": docx(*(f"Paragraph {n}." for n in range(50))),
        "pptx": pptx("Some text."),
        "xlsx": xlsx([["a", "b"], ["1", "2"]]),
        "epub": epub("<p>Words.</p>" * 50),
        "ipynb": json.dumps({"cells": [{"cell_type": "markdown", "source": ["Words."]}] * 9, "nbformat": 4}).encode(),
        "json": json.dumps({"words": ["of", {"all": "kinds"}] * 20}).encode(),
    }
    for suffix, raw in whole.items():
        for share in (1, 3, 5, 7, 9):
            yield f"truncated-{share}0.{suffix}", raw[: len(raw) * share // 10]
    yield "truncated-last.docx", whole["docx"][:-1]
    yield "truncated-head.docx", whole["docx"][100:]
    yield "truncated-middle.xlsx", whole["xlsx"][:300] + whole["xlsx"][700:]


def _bombs() -> Iterator[tuple[str, bytes]]:
    zeros = bytes(2**26)
    blank = zlib.compress(zeros, 9)
    xml = b'<?xml version="1.0"?><w:document xmlns:w="x"><w:body>' + b" " * 2**26 + b"</w:body></w:document>"
    for suffix, member, whole in (
        ("docx", "word/document.xml", docx("x")),
        ("pptx", "ppt/presentation.xml", pptx("x")),
        ("xlsx", "xl/worksheets/sheet1.xml", xlsx([["x"]])),
        ("epub", "a.xhtml", epub("x")),
    ):
        yield f"bomb-blanks.{suffix}", replaced(whole, {member: xml})
        yield f"bomb-beside.{suffix}", replaced(whole, {"extra.bin": zeros})
        yield f"bomb-members.{suffix}", replaced(whole, {f"m/{n}": b"" for n in range(12_000)})
    inner = archive(("zeros", zeros, zipfile.ZIP_DEFLATED))
    for _ in range(3):
        inner = archive(*((f"{n}.zip", inner, zipfile.ZIP_DEFLATED) for n in range(8)))
    yield "bomb-nested.zip", inner
    yield "bomb-nested.docx", inner
    yield "bomb-zeros.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3" + zlib.compress(zeros)[2:-4]
    flate = b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream"
    yield "bomb-stream.pdf", pdf(["x"], content=lambda _: flate % (len(blank), blank))
    twice = zlib.compress(zlib.compress(bytes(2**30 // 8), 9), 9)
    yield (
        "bomb-filters.pdf",
        pdf(
            ["x"],
            content=lambda _: (
                b"<< /Filter [/FlateDecode /FlateDecode] /Length %d >>\nstream\n%s\nendstream" % (len(twice), twice)
            ),
        ),
    )
    show = zlib.compress(b"BT /F1 12 Tf (word ) Tj " * 4_000_000 + b"ET", 9)
    yield "bomb-words.pdf", pdf(["x"], content=lambda _: flate % (len(show), show))
    form = b"".join(
        b"%d 0 obj\n<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /A %d 0 R >> >> /Length 35 >>\n"
        b"stream\n/A Do /A Do /A Do /A Do /A Do /A Do\nendstream\nendobj\n" % (n, n + 1)
        for n in range(50, 90)
    )
    yield (
        "bomb-forms.pdf",
        pdf(["x"], form)
        .replace(b"/Font <<", b"/XObject << /A 50 0 R >> /Font <<", 1)
        .replace(b"BT /F1 12", b"/A Do BT ", 1),
    )
    yield "bomb-pages.pdf", _many_pages()
    yield (
        "bomb-cells.xlsx",
        _sheet(b'<row r="1"><c r="XFD1048576" t="inlineStr"><is><t>x</t></is></c></row>', b"A1:XFD1048576"),
    )
    yield "bomb-rows.xlsx", _sheet(b"".join(b'<row r="%d"/>' % n for n in range(1, 1_000_000)), b"A1:A1000000")
    yield "bomb-columns.csv", b"," * 20_000_000 + b"\n"
    yield "bomb-quotes.csv", b'"' * 9_999_999 + b"\n" + b'a"b,' * 100_000
    yield "bomb-headings.md", b"# x\n" * 300_000
    yield "bomb-links.md", b"[" * 200_000 + b"]" * 200_000
    yield "bomb-stars.md", b"*a " * 200_000
    yield "bomb-ticks.md", b"".join(b"`" * n + b" " for n in range(1500))
    yield "bomb-attributes.html", b"<p " + b"a=1 " * 2_000_000 + b">x</p>"
    yield "bomb-entities.html", b"&amp;" * 3_000_000
    yield "bomb-tables.html", b"<table>" * 4_000 + b"x"
    yield "bomb-digits.json", b"[" + b"9" * 5_000_000 + b"]"
    yield "bomb-numbers.json", b"[" + b"1," * 3_000_000 + b"1]"
    yield "bomb-keys.json", b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(300_000)) + b"}"
    yield "bomb-line.txt", b"x" * 30_000_000
    yield "bomb-marks.txt", b"e" + "\u0301".encode() * 2_000_000
    yield "bomb-stops.txt", b". " * 3_000_000
    yield (
        "bomb-alias.yaml.md",
        b"---\na: &a [x,x]\n"
        + b"".join(b"%c: &%c [*%c,*%c,*%c]\n" % (n + 1, n + 1, n, n, n) for n in range(97, 121))
        + b"---\nWords.\n",
    )
    yield (
        "bomb-substitutions.rst",
        b"".join(b".. |a%d| replace:: |a%d| |a%d|\n" % (n, n + 1, n + 1) for n in range(40)) + b"\n|a0|\n",
    )
    yield "bomb-headers.eml", b"Subject: x\r\n" + b"X-A: y\r\n" * 500_000 + b"\r\nbody\r\n"
    yield "bomb-boundaries.eml", b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\na\r\n" * 100_000


def _many_pages() -> bytes:
    """A page tree whose one leaf stands for two million pages."""
    raw = pdf(["x"])
    return raw.replace(b"/Kids [3 0 R] /Count 1", b"/Kids [" + b"3 0 R " * 200_000 + b"] /Count 2000000")


def _sheet(rows: bytes, dimension: bytes) -> bytes:
    namespace = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    sheet = b"<worksheet %s><dimension ref=%s/><sheetData>%s</sheetData></worksheet>" % (
        namespace,
        b'"%s"' % dimension,
        rows,
    )
    return replaced(xlsx([["x"]]), {"xl/worksheets/sheet1.xml": sheet})


def _entities(canary: Path) -> Iterator[tuple[str, bytes]]:
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha ha ha">' + b"".join(
        b'<!ENTITY %c "%s">' % (n + 1, b"&%c;" % n * 10) for n in range(97, 110)
    )
    outside = b'<!DOCTYPE x [<!ENTITY n SYSTEM "%s">' % canary.as_uri().encode()
    for kind, head, name in (("laughs", laughs, b"n"), ("outside", outside, b"n")):
        body = head + b"]><x>&%s;</x>" % name
        word = (
            head
            + b']><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>&%s;</w:t></w:r></w:p></w:body></w:document>'
            % name
        )
        yield f"entities-{kind}.docx", replaced(docx("x"), {"word/document.xml": word})
        yield f"entities-{kind}.xlsx", replaced(xlsx([["x"]]), {"xl/sharedStrings.xml": body})
        yield f"entities-{kind}.pptx", replaced(pptx("x"), {"ppt/presentation.xml": body})
        yield f"entities-{kind}.epub", replaced(epub("x"), {"book.opf": body, "a.xhtml": body})
        yield f"entities-{kind}.xhtml", body.replace(b"<x>", b"<html>")
        yield f"entities-{kind}.xml", b'<?xml version="1.0"?>' + body
        yield f"entities-{kind}.svg", body


def _encrypted() -> Iterator[tuple[str, bytes]]:
    flagged = bytearray(docx("Secret."))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = flagged.find(signature)
        while place >= 0:
            flagged[place + offset] |= 1
            place = flagged.find(signature, place + 4)
    yield "encrypted-members.docx", bytes(flagged)
    compound = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    package = compound + "EncryptedPackage".encode("utf-16-le") + bytes(500)
    for suffix in ("docx", "xlsx", "pptx", "doc"):
        yield f"encrypted-package.{suffix}", package
    yield "encrypted-compound.xls", compound + random.Random(1).randbytes(4000)
    raw = pdf(["Secret."])
    handler = b"/Encrypt << /Filter /Standard /V 1 /R 2 /O (%s) /U (%s) /P -4 >> /ID [(a)(b)]" % (b"o" * 32, b"u" * 32)
    yield "encrypted.pdf", raw.replace(b"/Root 1 0 R", b"/Root 1 0 R " + handler)
    rights = '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#"><CipherData><CipherReference URI="a.xhtml"/></CipherData></EncryptedData></encryption>'
    yield (
        "encrypted.epub",
        replaced(epub("x"), {"META-INF/encryption.xml": rights.encode(), "a.xhtml": bytes(range(256))}),
    )
    yield (
        "encrypted.eml",
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n\r\nMIAGCSqGSIb3DQEHA6CAMIACAQAx\r\n",
    )


def _nested() -> Iterator[tuple[str, bytes]]:
    n = 100_000
    yield "nested-lists.json", b"[" * n + b"]" * n
    yield "nested-objects.json", b'{"a":' * n + b"1" + b"}" * n
    yield "nested-lines.jsonl", b'{"text": "x", "a": ' + b"[" * n + b"]" * n + b"}"
    yield "nested-cells.ipynb", b'{"cells": ' + b"[" * n + b"]" * n + b"}"
    yield "nested-divs.html", b"<div>" * n + b"x"
    yield "nested-spans.html", b"<b><i>" * n + b"x"
    yield "nested-lists.html", b"<ul><li>" * n + b"x"
    yield "nested-quotes.md", b">" * n + b" x"
    yield "nested-lists.md", b"".join(b" " * (2 * k) + b"- x\n" for k in range(2000))
    yield "nested-marks.md", b"**_" * n
    yield "nested-quotes.rst", b"".join(b" " * k + b"x\n\n" for k in range(2000))
    yield "nested-inline.rst", b"*`" * n
    yield "nested-yaml.md", b"---\na: " + b"[" * n + b"\n---\nWords.\n"
    yield "nested-xml.docx", replaced(docx("x"), {"word/document.xml": b"<a>" * n + b"</a>" * n})
    yield "nested-xml.xlsx", replaced(xlsx([["x"]]), {"xl/worksheets/sheet1.xml": b"<a>" * n + b"</a>" * n})
    yield "nested-opf.epub", replaced(epub("x"), {"book.opf": b"<a>" * n + b"</a>" * n})
    yield "nested-page.epub", replaced(epub("x"), {"a.xhtml": b"<div>" * n})
    yield (
        "nested-parts.eml",
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (k, k) for k in range(20_000)),
    )
    yield "nested-mails.eml", b"Content-Type: message/rfc822\r\n\r\n" * n
    yield (
        "nested-arrays.pdf",
        pdf(["x"], b"99 0 obj\n" + b"[" * n + b"]" * n + b"\nendobj\n").replace(
            b"/Contents", b"/Foo 99 0 R /Contents", 1
        ),
    )
    yield "nested-code.py", b"(" * n + b")" * n
    yield "nested-groups.rtf", b"{\\rtf1 " + b"{" * n + b"x" + b"}" * n + b"}"
    looped = pdf(["x"]).replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]")
    yield "nested-pages.pdf", looped
    yield "nested-parents.pdf", pdf(["x"]).replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev 9")


def _misnamed() -> Iterator[tuple[str, bytes]]:
    noise = random.Random(7).randbytes(5000)
    for suffix in (
        "txt",
        "md",
        "html",
        "jsonl",
        "json",
        "csv",
        "rst",
        "ipynb",
        "py",
        "eml",
        "pdf",
        "docx",
        "xlsx",
        "epub",
    ):
        yield f"binary-noise.{suffix}", noise
    heads = {
        "png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff\xe0", "elf": b"\x7fELF\x02\x01\x01", "exe": b"MZ\x90\0",
        "gzip": b"\x1f\x8b\x08\0", "sqlite": b"SQLite format 3\0", "mp3": b"ID3\x04", "class": b"\xca\xfe\xba\xbe",
    }  # fmt: skip
    for kind, head in heads.items():
        yield f"binary-{kind}.txt", head + noise
    yield "misnamed-pdf.docx", pdf(["A page of a PDF."])
    yield "misnamed-docx.pdf", docx("A paragraph of a document.")
    yield "misnamed-docx.xlsx", docx("Another paragraph.")
    yield "misnamed-xlsx.docx", xlsx([["a"], ["b"]])
    yield "misnamed-html.pdf", b"<!doctype html><p>A page of the web."
    yield "misnamed-html.docx", b"<html><body><p>Saved as Word by a web site.</body></html>"
    yield "misnamed-text.xlsx", b"Just words."
    yield "misnamed-zip.txt", archive(("a", b"a", zipfile.ZIP_STORED))
    yield "misnamed-json.csv", b'{"a": 1}'
    yield "misnamed-csv.json", b"a,b\n1,2\n"


def _pointing(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Files that name one outside the folder, for their reader to open."""
    path, uri = str(canary).encode(), canary.as_uri().encode()
    yield "pointing-include.rst", b".. include:: " + path + b"\n"
    yield "pointing-literal.rst", b".. literalinclude:: " + path + b"\n\n.. raw:: html\n   :file: " + path + b"\n"
    yield "pointing-table.rst", b".. csv-table:: t\n   :file: " + path + b"\n"
    yield (
        "pointing-frame.html",
        b'<iframe src="%s"></iframe><object data="%s"></object><link rel=import href="%s">Words.' % (uri, uri, uri),
    )
    yield (
        "pointing-include.html",
        b'<html xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="%s" parse="text"/>Words.</html>' % uri,
    )
    yield "pointing-image.md", b"![x](%s)\n\n{{< include %s >}}\n" % (uri, path)
    yield "pointing-formula.csv", b"=WEBSERVICE(\"%s\"),=cmd|'/C calc'!A0\n" % uri
    opf = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="a" href="{canary.as_uri()}" media-type="application/xhtml+xml"/>'
        f'<item id="b" href="../../../../../../..{canary}" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    yield "pointing-item.epub", epub("<p>Words.</p>", opf)
    rels = (
        b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="%s" TargetMode="External"/></Relationships>'
        % uri
    )
    yield "pointing-relation.docx", replaced(docx("x"), {"_rels/.rels": rels})
    yield "pointing-members.docx", replaced(docx("Words of a slip."), {"../../slip.txt": b"slip", "/etc/slip": b"slip"})
    yield (
        "pointing-part.eml",
        b'Content-Type: message/external-body; access-type=local-file; name="%s"\r\n\r\nContent-Type: text/plain\r\n\r\n'
        % path,
    )
    yield (
        "pointing-action.pdf",
        pdf(["Words."]).replace(b"/Type /Catalog", b"/Type /Catalog /OpenAction << /S /Launch /F (%s) >>" % path),
    )
    yield "pointing-url.json", b'{"$ref": "%s"}' % uri


def _odd() -> Iterator[tuple[str, bytes]]:
    for suffix in (
        "txt",
        "md",
        "html",
        "json",
        "jsonl",
        "csv",
        "pdf",
        "docx",
        "xlsx",
        "pptx",
        "epub",
        "eml",
        "ipynb",
        "py",
    ):
        yield f"odd-blank.{suffix}", b" \n\t\r\n" * 3
    yield "odd-nul.txt", b"words\0words"
    yield "odd-nuls.txt", bytes(10_000)
    yield "odd-escape.txt", b"\x1b]0;title\x07\x1b[2J words \x9b31m"
    yield "odd-surrogates.json", b'{"a": "\\ud800 lone \\udc00"}'
    yield "odd-surrogates.jsonl", b'{"text": "\\ud800 lone"}\n{"text": 3}\n{}\n[]\nnull\n'
    yield "odd-nan.json", b'{"a": NaN, "b": 1e999, "c": -Infinity}'
    yield "odd-cells.ipynb", b'{"cells": [1, null, {"cell_type": 3}, {"source": {"a": 1}}]}'
    yield "odd-none.ipynb", b'{"cells": null}'
    yield "odd-list.ipynb", b"[]"
    yield "odd-version.pdf", b"%PDF-9.9\n%%EOF"
    yield "odd-trailer.pdf", b"%PDF-1.7\ntrailer << /Root 1 0 R >>\nstartxref\n99999999999\n%%EOF"
    yield "odd-empty.zip", b"PK\x05\x06" + bytes(18)
    yield "odd-empty.docx", b"PK\x05\x06" + bytes(18)
    yield "odd-comment.docx", docx("x") + b"garbage after the end"
    yield "odd-sizes.docx", _with_false_size(docx("x"))
    yield "odd-suffix.", b"Words without a suffix but with a point."
    yield "odd-page.html", b"<p>" + b"\xf0\x9f\x98\x80" * 1000
    yield "odd-ragged.csv", b'a,b,c\n1\n1,2,3,4,5\n"open\n'
    yield "odd-none.epub", archive(("mimetype", b"application/epub+zip", zipfile.ZIP_STORED))
    yield "odd-empty-sheet.xlsx", xlsx([])


def _with_false_size(raw: bytes) -> bytes:
    """An archive whose list says that its first member is empty."""
    place = raw.find(b"PK\x01\x02")
    return raw[: place + 24] + struct.pack("<I", 0) + raw[place + 28 :]
