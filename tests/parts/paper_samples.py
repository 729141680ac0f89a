"""How were the samples of PDF, EPUB, mail, reStructuredText, notebooks, code and JSON made?

cd tests && python -m parts.paper_samples

needs chromium, soffice (LibreOffice) and pandoc. The samples are kept, so this runs only when one is wanted anew; dates
and subset fonts in them then differ, texts do not. What a person writes by hand lies in ``samples/`` as it is:
``heronbase.rst``, ``orrery.py``, ``harbour.json``, ``tides.ipynb``.
"""

from __future__ import annotations

import subprocess
import tempfile
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from parts import SAMPLES

LIGHTHOUSE = """<!DOCTYPE html><html lang="en"><head><title>The Skerrow Lighthouse</title>
<meta name="author" content="Ines Haldane">
<style>
@page { size: A5; margin: 18mm; @top-center { content: "Northern Lights Survey" } @bottom-right { content:
counter(page) } }
body { font: 11pt "DejaVu Serif"; text-align: justify }
h1, h2, th { font-weight: normal } h2.next { break-before: page } .columns { column-count: 2; font-size: 9pt }
</style></head><body>
<h1>The Skerrow Lighthouse</h1>
<p>This report describes the lighthouse on Skerrow rock as the survey found it. The first offi&shy;cial plan of the
tower was
drawn by Matilda Brock, an en&shy;gi&shy;neer of the har&shy;bour board, who had spent two win&shy;ters measuring the
tides around
the rock before a single stone was cut. Her drawings fill nine sheets and are kept in the town hall.</p>
<p>The lamp was lit for the first time on 4 November 1873. Nobody had told the fishermen, and eleven boats put back to
the harbour because their crews took the light for a burning ship.</p>
<ul><li>The tower is 41 metres high.</li><li>It has 204 steps.</li></ul>
<h2 class="next">The keepers</h2>
<p>Three keepers lived on the rock at a time, six weeks on and two weeks ashore. The longest service was that of
Tobias Renn,
who kept the light for thirty-eight years and is said to have refused every promotion that would have moved him
inland.</p>
<p>Provisions came with the tender Margaret Ogilvy every second Tuesday when the weather allowed it. In the winter
of 1894 it did not for seven weeks, and the keepers lived on dried peas and the fish they could catch from the
steps.</p>
<table><tr><th>Keeper</th><th>Years</th></tr><tr><td>Tobias Renn</td><td>1880 to 1918</td></tr>
<tr><td>Anselm Fyfe</td><td>1918 to 1931</td></tr></table>
<h2 class="next">The end of the light</h2>
<div class="columns"><p>The oil lamp was replaced by an electric one in 1931, and the last keeper left the rock in the
same au&shy;tumn. Elec&shy;tric&shy;ity came through a cable from the main&shy;land, which was the longest of its
kind and
failed twice in its first year.</p>
<p>Since 1986 the light has been con&shy;trolled from a room in the town of Varnhaven, where a single of&shy;fi&shy;cer
watches over nine towers. She can turn each lamp on and off, and hears an alarm when a bulb has burnt out.</p>
<p>The fog horn was sold to a museum. It weighs 310 kilo&shy;grams and can still be heard on the first Sunday of each
month, when the museum's vol&shy;un&shy;teers fill its tanks with com&shy;pressed air.</p></div>
</body></html>"""

EXPEDITION = [
    ("Plans", [
        "The expedition to the Orlan plateau was paid for by the Wexcombe Society, which gave four thousand "
        "guineas and a "
        "cook. Its leader, Cornelia Vance, had crossed the plateau once before as a girl and remembered a warm spring "
        "that no map of the time would show. She wanted to find it again.",
        "Twelve people and thirty mules set out from Port Lunden in the second week of May. Each mule carried sixty "
        "kilograms, of which a third was fodder for the animal itself, so that the party could not stay away from a "
        "settlement for more than seventeen days without going hungry on the way back.",
    ]),
    ("The ascent", [
        "The southern wall of the plateau was climbed by a gully which the guide, Bartholomew Osei, called "
        "the Ladder. He "
        "had cut the steps himself in the year before. The ascent took nine days because every load had to "
        "be carried up by "
        "hand, while the mules were led around by the eastern pass.",
        "On the sixth day a thunderstorm destroyed both barometers. From then on heights were measured by "
        "boiling water, "
        "a method which Vance distrusted, and which gave the rim of the plateau an altitude of 3,120 metres. "
        "Later surveys "
        "have found it to be only forty metres less.",
    ]),
    ("What was found", [
        "The warm spring was discovered on 19 June at the foot of a basalt cliff, a day's march from the "
        "rim. Its water had "
        "a temperature of 52 degrees and tasted of iron. Vance named it after her mother, Henrietta.",
        "The botanist of the party, Lucian Marsh, collected 214 species of plants, of which eleven were "
        "unknown to science. "
        "The collection was lost when a mule fell into the river on the return, except for a single moss "
        "that Marsh had "
        "used as a bookmark.",
    ]),
]  # fmt: skip

FODT = """<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
 xmlns:fo="urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0" office:version="1.3"
 office:mimetype="application/vnd.oasis.opendocument.text">
<office:meta><dc:title>Across the Orlan Plateau</dc:title><meta:initial-creator>Philippa Drummond</meta:initial-creator>
<meta:keyword>plateau</meta:keyword><meta:keyword>mules</meta:keyword><dc:subject>An
expedition</dc:subject></office:meta>
<office:styles>
<style:style style:name="Standard" style:family="paragraph"><style:paragraph-properties fo:margin-bottom="0.2cm"
 fo:text-align="justify"/><style:text-properties style:font-name="DejaVu Serif" fo:font-family="DejaVu Serif"
 fo:font-size="9pt" fo:language="en" fo:country="GB"/></style:style>
<style:style style:name="Heading_20_1" style:display-name="Heading 1" style:family="paragraph"
 style:default-outline-level="1"><style:paragraph-properties fo:break-before="page"/><style:text-properties
 fo:font-family="DejaVu Serif" fo:font-size="13pt" fo:font-weight="bold"/></style:style>
</office:styles>
<office:automatic-styles><style:page-layout style:name="P"><style:page-layout-properties fo:page-width="14.8cm"
 fo:page-height="13cm" fo:margin="1.5cm"><style:columns fo:column-count="2" fo:column-gap="0.6cm"/>
</style:page-layout-properties><style:header-style/><style:footer-style/></style:page-layout></office:automatic-styles>
<office:master-styles><style:master-page style:name="Standard" style:page-layout-name="P"><style:header>
<text:p>Annals of the Wexcombe Society</text:p></style:header><style:footer><text:p>Page <text:page-number/></text:p>
</style:footer></style:master-page></office:master-styles>
<office:body><office:text>%s</office:text></office:body></office:document>"""

EPUB = """---
title: The Clockmaker of Averil
author: Josephine Lark
lang: en
date: 2019-03-02
---

# The shop

Old Emeric Tallow kept a shop of clocks in Needle Lane, and no two of them agreed. He wound them all on Sunday evenings,
which took him four hours, and he charged nothing for telling the time.

The oldest clock in the shop had been made in 1642 by a nun.

# The stranger

One day a stranger came in and asked for a clock that ran backwards. Her name was Sidonie Grell, and she paid with a
silver spoon.

## What she wanted

She wanted to know how long ago she had lost her brother, and a clock that ran backwards would reach the hour in which
he left. Tallow built it in eleven weeks out of the works of a music box.

# The end

The clock was finished on the night of the great flood. It is now in the museum of Averil, and stands still.
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        lighthouse(work)
        expedition(work)
        epub(work)
    mail()


def lighthouse(work: Path) -> None:
    """A browser's print to PDF: tagged, with an outline, ligatures, soft hyphens, a header and page numbers."""
    (work / "skerrow-lighthouse.html").write_text(LIGHTHOUSE, encoding="utf-8")
    subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
         "--generate-pdf-document-outline", f"--print-to-pdf={SAMPLES / 'skerrow-lighthouse.pdf'}",
         (work / "skerrow-lighthouse.html").as_uri()],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def expedition(work: Path) -> None:
    """LibreOffice's export: two columns, bookmarks, a header and a footer; the same with passwords of both kinds."""
    body = "".join(
        f'<text:h text:style-name="Heading_20_1" text:outline-level="1">{heading}</text:h>'
        + "".join(f'<text:p text:style-name="Standard">{one}</text:p>' for one in paragraphs)
        for heading, paragraphs in EXPEDITION
    )
    short = "<text:p>The password of the chart room is known to Hildegard Mott.</text:p>"
    truth, password = '{"type":"boolean","value":"true"}', '{"type":"string","value":"%s"}'
    for name, text, options in (
        ("orlan-plateau", body, ""),
        ("locked", short, f'"EncryptFile":{truth},"DocumentOpenPassword":{password % "open sesame"},'),
        ("restricted", short, f'"RestrictPermissions":{truth},"PermissionPassword":{password % "owner"},'),
    ):
        (work / f"{name}.fodt").write_text(FODT % text, encoding="utf-8")
        chosen = f'pdf:writer_pdf_Export:{{{options}"ExportBookmarks":{truth},"UseTaggedPDF":{truth}}}'
        home = f"-env:UserInstallation={(work / 'home').as_uri()}"
        subprocess.run(
            ["soffice", home, "--headless", "--convert-to", chosen, "--outdir", SAMPLES, work / f"{name}.fodt"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def epub(work: Path) -> None:
    (work / "clockmaker.md").write_text(EPUB, encoding="utf-8")
    subprocess.run(["pandoc", work / "clockmaker.md", "-o", SAMPLES / "clockmaker.epub"], check=True)


def mail() -> None:
    """A plain message with an attachment and an earlier one in it, and one of HTML alone in an old encoding."""
    earlier = EmailMessage()
    earlier["Subject"], earlier["From"], earlier["To"] = (
        "The old pier",
        "Rosa Quill <rosa@example.org>",
        "b@example.org",
    )
    earlier["Date"] = "Mon, 03 Mar 2025 09:15:00 +0100"
    earlier.set_content("The old pier was closed by order of Captain Dorrit, because two of its piles are rotten.\n")
    message = EmailMessage()
    message["Subject"], message["From"] = "Repairs of the pier in Müllhaven", "Basil Thorne <basil@example.org>"
    message["To"], message["Cc"] = "Rosa Quill <rosa@example.org>", "Jürgen Äpfel <j@example.org>"
    message["Date"] = "Tue, 04 Mar 2025 16:40:00 +0100"
    message.set_content(
        "Dear Rosa,\n\nthe repairs of the pier begin on 12 May and will cost 86,000 crowns. The oak comes from the\n"
        "forest of Lower Ettrick.\n\nYours, Basil\n\n> On Monday Rosa wrote:\n> Who pays for the new piles?\n"
    )
    message.add_alternative("<p>Dear Rosa, <b>the repairs</b> begin on 12 May.</p>", subtype="html")
    message.add_attachment(b"%PDF-1.4 not really", maintype="application", subtype="pdf", filename="estimate.pdf")
    message.add_attachment("The harbour bell weighs 95 kilograms.\n", filename="bell.txt")
    message.add_attachment(earlier)
    (SAMPLES / "pier.eml").write_bytes(message.as_bytes(policy=SMTP))
    page = EmailMessage()
    page["Subject"], page["From"], page["To"] = "Résumé of the choir", "choir@example.org", "all@example.org"
    page["Date"] = "Sat, 07 Jun 2025 20:00:00 +0000"
    page.set_content(
        "<html><body><h1>Summer concert</h1><p>The choir sings the Mass of Béla Rónai on <b>21 June</b>.</p>"
        "<p>Tickets cost 14 euros and are sold by Odette.</p></body></html>",
        subtype="html",
        charset="iso-8859-1",
    )
    (SAMPLES / "choir.eml").write_bytes(page.as_bytes())


if __name__ == "__main__":
    main()
