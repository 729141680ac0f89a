"""Count the passages that an edit re-encodes, on texts of your own: the figures of decision 4.

python benchmarks/borders.py FOLDER_OF_TXT_FILES [--trials 60]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
from collections import Counter
from pathlib import Path

from deformer_qa.reader.encoder import Encoder

CHARACTERS = 700_000


def main() -> None:
    """Print counts of new passages after an insertion, and the passages' lengths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=60)
    given = parser.parse_args()
    texts = [file.read_text(encoding="utf-8") for file in sorted(given.folder.rglob("*.txt"))[:100]]
    text = "\n\n".join(texts)[:CHARACTERS]
    encoder, chance = Encoder.load(k=2), random.Random(0)
    tokenizer, borders = encoder.tokenizer, encoder.borders

    def passages(of: str) -> list[str]:
        return [of[span.start : span.end] for span in borders.split(of, tokenizer)]

    spans = [[(span.start, span.end) for span in borders.split(one, tokenizer)] for one in texts]
    print(f"hash of the borders of {len(texts)} texts: {hashlib.sha256(repr(spans).encode()).hexdigest()[:16]}")
    lengths = [tokenizer.count(passage) for passage in passages(text)]
    print(f"{len(lengths):,} passages of {statistics.mean(lengths):.0f} tokens on average, {max(lengths)} at most;")
    print(f"{sum(lengths) / tokenizer.count(text) - 1:.1%} of the tokens are overlap")
    at_top: Counter[int] = Counter()
    inside: Counter[int] = Counter()
    for _ in range(given.trials):
        source = chance.choice(texts)
        first = chance.randrange(max(1, len(source) - 900))
        paragraph = source[first : first + chance.randrange(100, 900)].replace("\n", " ").strip()
        part = text[chance.randrange(len(text) // 2) :][:120_000]
        before = set(passages(part))
        at_top[len(set(passages(f"{paragraph}\n\n{part}")) - before)] += 1
        place = part.find(". ", len(part) // 2) + 2
        edited = f"{part[:place]}An inserted sentence about nothing. {part[place:]}"
        inside[len(set(passages(edited)) - before)] += 1
    print(f"passages re-encoded after a paragraph at the top, and how often: {dict(sorted(at_top.items()))}")
    print(f"after a sentence in the middle: {dict(sorted(inside.items()))}")


if __name__ == "__main__":
    main()
