"""Measure EM and F1 on given passages with and without the borders of spans: the table of decision 20.

    python benchmarks/span_borders.py --squad squad-v1.1-train.json --held-back 20 --questions 1500
    python benchmarks/span_borders.py --squad nq-spans-train.json --questions 500
    python benchmarks/span_borders.py --tables wikitablequestions-train-dev.json --questions 300

Questions are drawn by a fixed seed. Tables are written as the indexer does, and only questions answered by a cell are
asked. The share of annotated answers that the borders do not allow and the processor time of a passage are printed too.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

import deformer_qa.reader.shipped
from deformer_qa.indexer.formats.tables import named, plain
from deformer_qa.lab.data.json_files import read_json
from deformer_qa.lab.data.squad import exact_match, f1, normalized, read_squad
from deformer_qa.lab.measure.reading import SplitPassageReader
from deformer_qa.lab.train.examples import held_back
from deformer_qa.reader.borders.enumerations import asks_for_several
from deformer_qa.reader.borders.span_borders import SpanBorders
from deformer_qa.reader.reading import SplitReader
from deformer_qa.reader.spans import MAX_ANSWER_TOKENS, best_spans

SEED = 0
Asked = tuple[str, str, list[str], int]
"""Question, text, annotated answers, and where the first of them begins in the text; -1 if not known."""


def main() -> None:
    """Print one line for each way of choosing spans, then how many answers the borders refuse and what they cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--squad", type=Path, help="a file in SQuAD's format")
    kind.add_argument("--tables", type=Path, help="a file of questions on tables")
    parser.add_argument("--held-back", type=int, default=0, help="ask only of so many articles, the last of the file")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--rest", action="store_true", help="ask as many others, none of those drawn without it")
    parser.add_argument("--reader", type=Path, default=Path(deformer_qa.reader.shipped.__file__).parent)
    given = parser.parse_args()
    asked = list(_of_squad(given.squad, given.held_back) if given.squad else _of_tables(given.tables))
    drawn = random.Random(SEED).sample(range(len(asked)), given.questions)
    if given.rest:
        rest = sorted(set(range(len(asked))).difference(drawn))
        drawn = random.Random(SEED).sample(rest, min(given.questions, len(rest)))
    asked = [asked[at] for at in sorted(drawn)]
    reader = SplitPassageReader(SplitReader.load(given.reader))
    tokenize = lru_cache(maxsize=1024)(reader.tokenizer.tokenize)
    seconds, n_searched, n_refused, n_golds = np.zeros(2), 0, 0, 0
    figures = np.zeros((2, 2))
    for question, text, golds, gold_start in asked:
        passages = reader.borders.split(text, reader.tokenizer)
        texts = [text[one.start : one.end] for one in passages]
        best = [("", -np.inf), ("", -np.inf)]
        for passage, part, logits in zip(passages, texts, reader.read_texts(question, texts), strict=True):
            tokens = tokenize(part)
            began = time.process_time()
            borders = SpanBorders.of(part, tokens.offsets)
            made = time.process_time()
            several = asks_for_several(question)
            within = best_spans(logits, 1, MAX_ANSWER_TOKENS, borders, several=several)
            seconds += (made - began, time.process_time() - made)
            n_searched += 1
            for way, spans in enumerate((best_spans(logits), within)):
                for span in spans:
                    if span.margin > best[way][1]:
                        first, end = tokens.characters(span.first, span.last)
                        best[way] = part[first:end], span.margin
            start = gold_start - passage.start
            if gold_start >= 0 and start >= 0 and start + len(golds[0]) <= len(part):
                n_golds += 1
                n_refused += not _allows(borders, start, golds[0])
        figures += [[exact_match(text, golds), f1(text, golds)] for text, _ in best]
    for name, (em, f1_) in zip(("any span", "within borders"), 100 * figures / len(asked), strict=True):
        print(f"{name}: EM {em:.1f}, F1 {f1_:.1f} ({len(asked):,} questions)")
    if n_golds:
        print(f"annotated answers that are not allowed: {n_refused} of {n_golds} ({n_refused / n_golds:.1%})")
    print("milliseconds a passage: borders {:.2f}, search {:.2f}".format(*(1000 * seconds / n_searched)))


def _allows(borders: SpanBorders, start: int, gold: str) -> bool:
    """Whether the borders give an annotated answer back unchanged, up to the normalisation of EM."""
    rows = np.flatnonzero((borders.ends > start) & (borders.starts < start + len(gold)))
    rows = rows[borders.ends[rows] > borders.starts[rows]]
    fitted = borders.fitted(int(rows[0]), int(rows[-1]), MAX_ANSWER_TOKENS) if len(rows) else None
    if fitted is None:
        return False
    return normalized(borders.text[borders.starts[fitted[0]] : borders.ends[fitted[1]]]) == normalized(gold)


def _of_squad(file: Path, n_articles: int) -> Iterator[Asked]:
    squad = read_squad(file)
    for paragraph, question in (held_back(squad, n_articles)[1] if n_articles else squad).questions():
        if question.answers:
            golds = [one.text for one in question.answers]
            yield question.question, paragraph.context, golds, question.answers[0].start


def _of_tables(file: Path) -> Iterator[Asked]:
    content = read_json(file)
    texts = {}
    for name, (header, *rows) in content["tables"].items():
        names = [" ".join(cell.split()) for cell in header]
        lines = [
            named((name, " ".join(cell.split())) for name, cell in zip(names, row, strict=False) if cell.strip())
            for row in rows
        ]
        texts[name] = "\n".join([plain([name for name in names if name]), *lines])
    for one in content["dev"]:
        if one["answer_is"] == "cell":
            yield one["question"], texts[one["table"]], one["answers"], -1


if __name__ == "__main__":
    main()
