"""Compare rules that decide whether nothing is found or an answer is a guess, on held-back articles.

    python benchmarks/no_answer.py --data squad-v1.1-train.json --reader DIR [--questions 300]

For half of the questions the gold document's spans are removed. Each rule decides whether the candidates hold an
answer; printed are how often it is right, and its two kinds of error. The last two rules are the reader's own: the
first counts a guess as an answer, the second counts it as none.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import numpy as np

from deformer_qa.lab.data.squad import SquadSet, exact_match, f1, read_squad
from deformer_qa.lab.fit.paragraphs import index_paragraphs
from deformer_qa.lab.measure.open import ReadQuestion, open_questions, read_open, sampled
from deformer_qa.pipeline.ask import Pipeline, first_answer
from deformer_qa.reader.reading import SplitReader

SEED = 99


def main() -> None:
    """Ask, and print one line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the SQuAD file the reader was trained on")
    parser.add_argument("--reader", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=300)
    given = parser.parse_args()
    reader = SplitReader.load(given.reader)
    reader.use("torch-bf16")
    assert reader.about is not None
    squad = read_squad(given.data)
    held = set(reader.about.training["held_back_articles"])
    asked = SquadSet(tuple(one for one in squad.paragraphs if one.article in held), squad.has_impossible)
    chance = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        index_paragraphs(asked.paragraphs, store, reader.encoder)
        with Pipeline.open(store, reader) as pipeline:
            questions = sampled(open_questions(pipeline.snapshot, asked), given.questions, SEED)
            rows = [
                judged(pipeline, read, chance.random() < 0.5)
                for read in read_open(pipeline, questions, methods=("fused",))
            ]
    there, none, best, nothing, sure = np.array(rows).T
    rules = {
        "likelier than the best answer": none > best,
        "likelier than all answers": none > 0.5,
        "nothing found": nothing > 0,
        "no sure answer": sure == 0,
    }
    for rule, says_none in rules.items():
        is_there = there > 0
        right, refused, answered = (says_none != is_there), says_none[is_there], ~says_none[~is_there]
        print(f"{rule}: right {right.mean():.3f}, refused {refused.mean():.3f}, wrongly answered {answered.mean():.3f}")


def judged(pipeline: Pipeline, read: ReadQuestion, take_away: bool) -> tuple[float, float, float, float, float]:
    """Return whether there is an answer, the probabilities of none and of the best, and the reader's two verdicts."""
    kept = [index for index, in_gold in enumerate(read.in_gold) if not (take_away and in_gold)]
    spans = [read.spans[index] for index in kept]
    answer, none = first_answer(pipeline, read.question.question.question, spans, read.places)
    best = answer.confidence if answer else None
    outcome = pipeline.outcome_rule.outcome(best, max((span.candidate.dense for span in spans), default=None))
    there = any(
        exact_match(read.texts[index], read.golds) > 0
        or (read.in_gold[index] and f1(read.texts[index], read.golds) >= 0.6)
        for index in kept
    )
    return float(there), none, best or 0.0, float(outcome == "nothing"), float(outcome == "answer")


if __name__ == "__main__":
    main()
