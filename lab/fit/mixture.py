"""Collect the questions of every kind that a reader's training held back, and one corpus to ask all of them of."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deformer_qa.indexer.sync import sync
from deformer_qa.lab.data.squad import GoldAnswer, SquadParagraph, SquadQuestion, read_squad
from deformer_qa.lab.measure.open import OpenQuestion
from deformer_qa.lab.train.examples import article_key, is_held_back
from deformer_qa.lab.train.recipe import Recipe, Source
from deformer_qa.lab.train.tables import Table, lookups, made_table, read_tables
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.store import Snapshot

NOWHERE = 0
"""Stands for the document of a question that no document answers; no document has this id."""
_LOOKUPS_EACH = 6
_MAIN = 0.5
"""From this many passes over its answerable questions a source is a kind of its own; with fewer it paraphrases one."""


@dataclass(frozen=True)
class Asked:
    """A question with the kind under which it is counted.

    :ivar document: the text of its document, which is in the corpus
    :ivar group: its article or table; questions of one group are all fitted on, or all measured on
    """

    kind: str
    group: str
    document: str
    paragraph: SquadParagraph
    question: SquadQuestion

    @property
    def is_answerable(self) -> bool:
        """Whether its document answers it."""
        return bool(self.question.answers)


@dataclass
class Mixture:
    """A corpus and the questions asked of it.

    :ivar titles: the title of each document by its text, '' if it has none
    """

    titles: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def index(self, store: Path, encoder: Encoder) -> None:
        """Bring a store of the corpus up to date; equal texts are one document.

        The corpus is kept as ``<store>.corpus.jsonl`` beside the store.
        """
        file = store.parent / f"{store.name}.corpus.jsonl"
        records = ({"text": text, **({"title": title} if title else {})} for text, title in self.titles.items())
        file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        sync(store, encoder, [file])

    def questions(self, snapshot: Snapshot) -> list[tuple[Asked, OpenQuestion]]:
        """Return each question with the document of the store that answers it, ``NOWHERE`` if none does."""
        by_text = {snapshot.document(info.id).text.strip(): info.id for info in snapshot.iter_documents()}
        return [
            (
                one,
                OpenQuestion(
                    one.paragraph, one.question, by_text[one.document.strip()] if one.is_answerable else NOWHERE
                ),
            )
            for one in self.asked
            if one.document.strip() in by_text
        ]

    def sampled(self, n_each: int, seed: int) -> Mixture:
        """Draw at most ``n_each`` questions of each kind; the corpus stays whole."""
        by_kind: dict[str, list[Asked]] = {}
        for one in self.asked:
            by_kind.setdefault(one.kind, []).append(one)
        chance = random.Random(seed)
        kept = [one for asked in by_kind.values() for one in chance.sample(asked, min(n_each, len(asked)))]
        return replace(self, asked=kept)


def held_back_mixture(recipe: Recipe, articles: Sequence[str], folder: Path, n_others: int) -> Mixture:
    """Collect what a recipe held back, and ``n_others`` other documents of each source to search among.

    :param articles: the SQuAD articles held back, as named in the reader's description.
    :param folder: the folder of the recipe's data files.
    :raises BadTrainingData: if a file is missing or of another kind, or nothing was held back.
    """
    mixture = Mixture()
    held = {article_key(one) for one in articles}
    for source in recipe.sources:
        chance = random.Random(f"{recipe.seed}/{source.file}/fit")
        if source.is_of_tables:
            _add_tables(mixture, source, read_tables(folder / source.file), n_others, chance)
        elif source.answerable >= _MAIN or source.unanswerable:
            _add_squad(mixture, source, folder / source.file, held, n_others, chance)
    if not mixture.asked:
        raise BadTrainingData(f"{folder}: recipe {recipe.name} held nothing back there that could be asked.")
    return mixture


def _add_squad(
    mixture: Mixture, source: Source, file: Path, held: set[str], n_others: int, chance: random.Random
) -> None:
    """Add the questions of held-back articles; from a source of unanswerable questions only those."""
    kind = file.name.split(".json")[0]
    others = []
    for paragraph in read_squad(file).paragraphs:
        is_held = article_key(paragraph.article) in held or is_held_back(paragraph.article, source.held_back)
        if not is_held:
            others.append(paragraph)
            continue
        mixture.titles.setdefault(paragraph.context, _title(paragraph.article))
        for question in paragraph.questions:
            if bool(question.answers) == bool(source.answerable):
                mixture.asked.append(Asked(kind, paragraph.article, paragraph.context, paragraph, question))
    for paragraph in chance.sample(others, min(n_others, len(others))):
        mixture.titles.setdefault(paragraph.context, _title(paragraph.article))


def _add_tables(
    mixture: Mixture, source: Source, tables: Sequence[Table], n_others: int, chance: random.Random
) -> None:
    held = [one for one in tables if is_held_back(one.name, source.held_back)]
    others = [one for one in tables if not is_held_back(one.name, source.held_back)]
    made = [made_table(-1 - number, chance) for number in range(len(held) // 2)]
    for table in (*held, *made):
        written = table.written(chance)
        paragraph = SquadParagraph(table.title, written.text, ())
        mixture.titles.setdefault(written.text, table.title)
        kinds = {"table-look-ups": lookups(table, _LOOKUPS_EACH, chance)}
        if table in held:
            kinds["tables"] = iter(table.questions)
        for kind, questions in kinds.items():
            for number, one in enumerate(questions):
                if place := written.place(one):
                    gold = GoldAnswer(one.answer, place[0])
                    asked = SquadQuestion(f"{table.name}/{kind}/{number}", one.question, (gold,))
                    mixture.asked.append(Asked(kind, table.name, written.text, paragraph, asked))
    for table in chance.sample(others, min(n_others // 4, len(others))):
        mixture.titles.setdefault(table.written(chance).text, table.title)


def _title(article: str) -> str:
    return article.replace("_", " ")
