"""Count how often a text in an unknown encoding is read right, refused, or silently wrong: the tables of decision 15.

python benchmarks/text_encodings.py [--each 6] [--hostile]

Compared are this project's decoder, chardet, charset-normalizer (both must be installed), and Windows-1252 for
everything that is not UTF-8. The texts are those of tests/parts/encoded_texts.py.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import chardet
import charset_normalizer

from deformer_qa.indexer.formats import NotReadable
from deformer_qa.indexer.formats.text_encoding import decode

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from parts.encoded_texts import in_english, samples

MIB = 1 << 20


def by_chardet(raw: bytes) -> str:
    """Decode with chardet's first guess."""
    return raw.decode(chardet.detect(raw, compat_names=False)["encoding"] or "no encoding")


def by_charset_normalizer(raw: bytes) -> str:
    """Decode with charset-normalizer's first guess."""
    best = charset_normalizer.from_bytes(raw).best()
    return raw.decode(best.encoding if best else "no encoding")


def by_windows(raw: bytes) -> str:
    """Decode as UTF-8, else as Windows-1252."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252")


READERS: dict[str, Callable[[bytes], str]] = {
    "decode": decode,
    "chardet": by_chardet,
    "charset-normalizer": by_charset_normalizer,
    "else Windows-1252": by_windows,
}


def outcome(reader: Callable[[bytes], str], text: str, raw: bytes) -> str:
    """Return 'right', 'refused' or 'wrong'."""
    try:
        return "right" if reader(raw) == text else "wrong"
    except (NotReadable, UnicodeError, LookupError):
        return "refused"


def measure(name: str, texts: Iterable[tuple[str, str, str]]) -> None:
    """Print a row for each reader, and the errors of ours."""
    cases = [(language, encoding, text, text.encode(encoding)) for language, encoding, text in texts]
    for reader_name, reader in READERS.items():
        start = time.perf_counter()
        found = [outcome(reader, text, raw) for *_, text, raw in cases]
        each = (time.perf_counter() - start) / len(cases)
        counts = Counter(found)
        shares = " | ".join(f"{100 * counts[kind] / len(cases):.1f} %" for kind in ("right", "refused", "wrong"))
        print(f"| {name} | {reader_name} | {len(cases):,} | {shares} | {1000 * each:.1f} ms |", flush=True)
        if reader is decode:
            wrong = Counter(f"{case[0]} {case[1]}" for case, kind in zip(cases, found, strict=True) if kind == "wrong")
            print(f"wrong: {dict(wrong)}", file=sys.stderr)


def measure_hostile() -> None:
    """Print seconds and the process's peak memory so far, for 1 and 64 MiB of hostile bytes."""
    noise = random.Random(0).randbytes(MIB)
    printable = bytes(byte if byte >= 0x20 and byte != 0x7F else 0x41 for byte in noise)
    patterns = {
        "noise without control bytes": printable,
        "noise beyond ASCII": bytes(byte | 0x80 for byte in noise),
        "one byte, 0xFF": b"\xff" * MIB,
        "Russian, Windows-1251": "Привет, мир! ".encode("cp1251") * (MIB // 13),
        "HZ without an end": b"~{" * (MIB // 2),
        "ASCII, one byte beyond at the end": b"a " * (MIB // 2),
    }
    for name, pattern in patterns.items():
        for n_mib in (1, 64):
            raw = pattern * n_mib + (b"\xe9" if name.startswith("ASCII") else b"")
            for reader_name in ("decode", "chardet", "charset-normalizer"):
                start = time.perf_counter()
                found = outcome(READERS[reader_name], "", raw)
                spent = time.perf_counter() - start
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                answer = "refused" if found == "refused" else "a text"
                print(f"| {name} | {n_mib} MiB | {reader_name} | {spent:.2f} s | {peak:,} MiB | {answer} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=6, help="texts of each language in each encoding")
    parser.add_argument("--hostile", action="store_true", help="time and memory of large nonsense instead")
    given = parser.parse_args()
    if given.hostile:
        return measure_hostile()
    for n_bytes in (50, 200, 1_000, 5_000):
        measure(f"{n_bytes:,} bytes", samples(n_bytes, given.each, random.Random(n_bytes)))
    for kind in ("1 word", "3 words", "1 sentence"):
        measure(f"{kind} in English", in_english(kind, given.each, random.Random(kind)))


if __name__ == "__main__":
    main()
