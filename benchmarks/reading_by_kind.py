"""Measure a reader by kind of question when the passage or table is given; it was trained on none of the questions.

    python benchmarks/reading_by_kind.py --data DIR --reader DIR [DIR ...] [--limit 1000]

The kinds are the SQuAD articles and the Natural Questions that the first reader's recipe held back, and those questions
of WikiTableQuestions dev whose answer is one cell, each on its own table as the indexer writes it. Passages are read
with the titles of their articles, and again without. States are not stored.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deformer_qa.lab.data.squad import GoldAnswer, SquadParagraph, SquadQuestion, SquadSet, exact_match, f1, read_squad
from deformer_qa.lab.measure.reading import Prediction, SplitPassageReader, predictions
from deformer_qa.lab.train.examples import held_back, is_held_back
from deformer_qa.lab.train.recipe import recipe_from
from deformer_qa.lab.train.tables import read_tables
from deformer_qa.reader.reading import SplitReader


def main() -> None:
    """Print one line for each reader, kind, and way of reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of training data")
    parser.add_argument("--reader", type=Path, nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=1000, help="questions of a kind")
    given = parser.parse_args()
    readers = [SplitReader.load(folder) for folder in given.reader]
    kinds = kinds_of(readers[0], given.data)
    print(f"{'reader':24} {'kind':16} titles     n     EM     F1")
    for folder, reader in zip(given.reader, readers, strict=True):
        reader.use("torch-bf16")
        for kind, squad in kinds.items():
            for titles in (True, False) if any(one.article for one in squad.paragraphs) else (False,):
                made = list(predictions(SplitPassageReader(reader, titles=titles), squad, limit=given.limit))
                em, score = figures(made)
                print(f"{folder.name:24} {kind:16} {'yes' if titles else 'no':6} {len(made):5} {em:6.1f} {score:6.1f}")


def kinds_of(reader: SplitReader, data: Path) -> dict[str, SquadSet]:
    """Collect questions by kind, as sets in SQuAD's form."""
    assert reader.about is not None
    recipe = recipe_from(reader.about.training["recipe"], "recipe")
    shares = {source.file: source.held_back for source in recipe.sources}
    kinds = {"squad": held_back(read_squad(data / recipe.sources[0].file), recipe.held_back_articles)[1]}
    for file, share in shares.items():
        if file.startswith("nq-") and share:
            nq = read_squad(data / file)
            kinds["natural questions"] = replace(
                nq, paragraphs=tuple(one for one in nq.paragraphs if is_held_back(one.article, share))
            )
    tables = next(data.glob("wikitablequestions-*"), None)
    if tables is not None:
        kinds["tables dev"] = SquadSet(tuple(_paragraphs(tables)), has_impossible=False)
    return kinds


def _paragraphs(file: Path) -> list[SquadParagraph]:
    found = []
    for table in read_tables(file, "dev"):
        written = table.written()
        questions = []
        for number, one in enumerate(table.questions):
            if place := written.place(one):
                gold = GoldAnswer(one.answer, place[0])
                questions.append(SquadQuestion(f"{table.name}/{number}", one.question, (gold,)))
        found.append(SquadParagraph("", written.text, tuple(questions)))
    return found


def figures(made: Sequence[Prediction]) -> tuple[float, float]:
    """Compute EM and F1 in percent."""
    n = max(1, len(made))
    em = 100 * sum(exact_match(one.text, one.golds) for one in made) / n
    return em, 100 * sum(f1(one.text, one.golds) for one in made) / n


if __name__ == "__main__":
    main()
