"""Compare libraries that read the text of a PDF, by quality and speed: the figures of decision 17.

python benchmarks/pdf_text.py [FILE.pdf ...]

reads the samples of the tests, whose text is known, and the files given. pypdf is compared if it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
import time
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path
from statistics import median

import pypdfium2
from selectolax.lexbor import LexborHTMLParser

from deformer_qa.indexer.formats import FileLimits, pdf

TESTS = Path(__file__).resolve().parents[1] / "tests"
RUNS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="further PDFs, of which only the time is measured")
    given = parser.parse_args()
    readers: dict[str, Callable[[bytes], str]] = {"PDFium, lines as they come": lines_of_pdfium}
    if importlib.util.find_spec("pypdf"):
        readers["pypdf, lines as they come"] = text_of_pypdf
    readers["PDFium, our paragraphs"] = our_text
    for path, known in [*known_texts(), *((path, "") for path in given.files)]:
        raw = path.read_bytes()
        n_pages = len(pypdfium2.PdfDocument(raw))
        print(f"\n{path.name}, {n_pages} pages")
        for name, read in readers.items():
            seconds = []
            for _ in range(RUNS):
                start = time.perf_counter()
                text = read(raw)
                seconds.append(time.perf_counter() - start)
            print(f"  {name:28}{1000 * median(seconds) / n_pages:8.2f} ms a page{found(known, text)}")


def known_texts() -> list[tuple[Path, str]]:
    """Return the samples with the words they were made of."""
    sys.path.insert(0, str(TESTS))
    from parts import paper_samples as made

    body = LexborHTMLParser(made.LIGHTHOUSE.replace("&shy;", "")).body
    lighthouse = body.text(separator=" ") if body is not None else ""
    expedition = " ".join(f"{heading} {' '.join(paragraphs)}" for heading, paragraphs in made.EXPEDITION)
    return [
        (TESTS / "indexer" / "samples" / "skerrow-lighthouse.pdf", lighthouse),
        (TESTS / "indexer" / "samples" / "orlan-plateau.pdf", expedition),
    ]


def found(known: str, text: str) -> str:
    """Count the words of a known text that were read whole and in order."""
    if not known:
        return ""
    words = [word for word in known.split() if word not in "|-"]
    same = SequenceMatcher(None, words, text.split(), autojunk=False).get_matching_blocks()
    return f"   {sum(block.size for block in same)} of {len(words)} words whole"


def lines_of_pdfium(raw: bytes) -> str:
    return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(raw))


def text_of_pypdf(raw: bytes) -> str:
    import pypdf

    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(raw)).pages)


def our_text(raw: bytes) -> str:
    return pdf.parse(raw, FileLimits()).documents[0].text


if __name__ == "__main__":
    main()
