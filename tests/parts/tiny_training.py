"""Data that a tiny random model can learn, and recipes for it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

from deformer_qa.lab.train.recipe import Recipe, Source

PLACES = ["ulm", "basel", "prague", "lodz", "turku"]
QUESTION = "where was the city?"


def write_training_data(folder: Path) -> Path:
    """Questions whose answer is the only place named, or is not there; yes/no questions told by one letter."""
    chance = random.Random(0)

    def sentence(place: str | None) -> str:
        words = chance.choices(["the", "river", "of", "and", "was"], k=chance.randint(3, 9))
        if place:
            words.insert(chance.randrange(len(words)), place)
        return " ".join(words)

    def squad(impossible: bool) -> str:
        articles = []
        for number in range(12):
            paragraphs = []
            for part in range(4):
                place = None if impossible and part % 2 else chance.choice(PLACES)
                context = sentence(place)
                answers = [{"text": place, "answer_start": context.index(place)}] if place else []
                entry = {"id": f"{number}-{part}", "question": QUESTION, "answers": answers}
                paragraphs.append(
                    {"context": context, "qas": [{**entry, "is_impossible": not place} if impossible else entry]}
                )
            articles.append({"title": f"A{number}", "paragraphs": paragraphs})
        return json.dumps({"data": articles})

    (folder / "train.json").write_text(squad(False), encoding="utf-8")
    (folder / "train-v2.json").write_text(squad(True), encoding="utf-8")
    yes_no = [
        {"question": "was it?", "passage": f"the city was {'xxx' if answer else 'ooo'} in 1", "answer": answer}
        for answer in [True, False] * 20
    ]
    (folder / "boolq.jsonl").write_text("\n".join(map(json.dumps, yes_no)) + "\n", encoding="utf-8")
    return folder


def recipe_of(encoder: Path, **changes: object) -> Recipe:
    """A recipe for the data above; ``passes`` over its answerable questions, or any field of a recipe."""
    passes = changes.pop("passes", 20.0)
    source = Source("train.json", answerable=passes)  # type: ignore[arg-type]
    tiny = Recipe(
        name="tiny",
        k=2,
        sources=(source,),
        encoder=str(encoder),
        held_back_articles=2,
        batch=8,
        learning_rate=3e-3,
        precision="fp32",
    )
    return replace(tiny, **changes)  # type: ignore[arg-type]
