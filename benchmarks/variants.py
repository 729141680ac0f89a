"""Compare which layers run separately, which are trained, and what helps, on held-back articles: decision 7's table.

    python benchmarks/variants.py --data DIR --teacher WHOLE_READER --out runs/variants [--only NAME ...]
    python benchmarks/variants.py --times
    python benchmarks/variants.py --data DIR --readers DIR ...

Each variant is trained by the same recipe on the same examples, from the last layers of the same whole reader, and
asked about articles held back from all training. Trained variants are not trained again; stopped ones continue.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from deformer_qa.lab.data.squad import SquadSet, read_squad
from deformer_qa.lab.measure.reading import SplitPassageReader, figures, predictions
from deformer_qa.lab.train.examples import without
from deformer_qa.lab.train.neighbours import nearest_passages
from deformer_qa.lab.train.recipe import Recipe, Source
from deformer_qa.lab.train.run import train_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.reading import SplitReader
from deformer_qa.store.encodings import encoding_named

TRAIN = "squad-v1.1-train.json.xz"
V2 = "squad-v2.0-train-backtranslated.json.xz"
BASE = Recipe(
    name="variant",
    k=3,
    sources=(Source(TRAIN, answerable=1.0),),
    examples=6_400,
    learning_rate=1.5e-4,
    warmup=0.05,
    ce=0.7,
    kd=1.1,
    lrs=0.5,
)
HALF, THIRD, SIXTH = 768, 512, 256
"""Reduced feed-forward widths: with them four, five or six layers cost no more than three whole ones."""
DEEP = replace(BASE, k=2, joint_layers=5, feed_forward_width=THIRD)
VARIANTS: dict[str, Recipe] = {
    "F, k=2, 4 layers": replace(BASE, k=2),
    "F, k=3, 3 layers": BASE,
    "F, k=4, 3 layers": replace(BASE, k=4, joint_layers=3),
    "F, k=6, 3 layers": replace(BASE, k=6, joint_layers=3),
    "F, k=2, 4 layers, 1/2 wide": replace(BASE, k=2, joint_layers=4, feed_forward_width=HALF),
    "F, k=4, 4 layers, 1/2 wide": replace(BASE, k=4, joint_layers=4, feed_forward_width=HALF),
    "F, k=1, 5 layers, 1/3 wide": replace(DEEP, k=1),
    "F, k=2, 5 layers, 1/3 wide": DEEP,
    "F, k=3, 5 layers, 1/3 wide": replace(DEEP, k=3),
    "F, k=4, 5 layers, 1/3 wide": replace(DEEP, k=4),
    "F, k=2, 6 layers, 1/6 wide": replace(BASE, k=2, joint_layers=6, feed_forward_width=SIXTH),
    "no cache, 6 layers, 1/6 wide": replace(BASE, k=0, joint_layers=6, feed_forward_width=SIXTH),
    "T, k=3, 4 layers, 1/2 wide": replace(BASE, joint_layers=4, feed_forward_width=HALF, tune_lower=True),
    "L, k=3, 4 layers, 1/2 wide": replace(
        BASE, joint_layers=4, feed_forward_width=HALF, tune_lower=True, retrieval=10.0
    ),
    "T, k=2, 5 layers, 1/3 wide": replace(DEEP, tune_lower=True),
    "L, k=3, 5 layers, 1/3 wide": replace(DEEP, k=3, tune_lower=True, retrieval=10.0),
    "L, k=2, 5 layers, 1/3 wide": replace(DEEP, tune_lower=True, retrieval=10.0),
    "no LRS": replace(DEEP, lrs=0.0),
    "no KD, no LRS": replace(DEEP, kd=0.0, lrs=0.0, ce=1.0),
    "KD and LRS alone": replace(DEEP, ce=0.0),
    "four times the LRS": replace(DEEP, lrs=2.0),
    "twice the learning rate": replace(DEEP, learning_rate=3e-4),
    "learning rates 0.8 a layer": replace(DEEP, layer_decay=0.8),
    "half paraphrases": replace(DEEP, sources=(Source(TRAIN, answerable=0.5), Source(V2, answerable=0.5))),
    "with Natural Questions": replace(
        DEEP, sources=(Source(TRAIN, answerable=0.6), Source("nq-spans-train.json.xz", answerable=5.0))
    ),
    "a third unanswerable": replace(
        DEEP, sources=(Source(TRAIN, answerable=0.6), Source(V2, answerable=0.1, unanswerable=0.7))
    ),
    "three times as long": replace(DEEP, examples=19_200),
    "three times as long, mean of the last 2 saves": replace(DEEP, examples=19_200, average_last=2),
}
"""All variants. Those without layers in their name change one thing in "F, k=2, 5 layers, 1/3 wide"."""
TURNS = 15
TOKENS = (16, 160)
"""Tokens of the question and of the passage for which operations are counted."""


def main() -> None:
    """Train the missing variants and print one JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the training data")
    parser.add_argument("--teacher", type=Path, help="a whole reader, by qa train reader whole")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--times", action="store_true", help="train nothing; time the joint layers of each shape")
    parser.add_argument(
        "--readers", nargs="*", type=Path, default=[], help="train nothing; ask these, their joint layers in bf16"
    )
    parser.add_argument("--questions", type=int, default=2_000, help="held-back questions asked")
    given = parser.parse_args()
    if given.times:
        print_times()
        return
    if given.readers:
        if not given.data:
            parser.error("--readers needs --data")
        for folder in given.readers:
            print_held_back(folder, given.data / TRAIN, given.questions)
        return
    if not (given.data and given.teacher and given.out):
        parser.error("--data, --teacher and --out are needed, or --times")
    for name in given.only:
        out = given.out / "".join(character if character.isalnum() else "-" for character in name)
        result = out / f"result-{given.questions}.json"
        recipe = replace(VARIANTS[name], name=name)
        print(name, file=sys.stderr)
        train_reader(recipe, given.data, out, teacher=given.teacher, on_log=_logged)  # refuses another run's folder
        if not result.is_file():
            found = {"variant": name, **_measured(out, recipe, given.data / TRAIN, given.questions)}
            result.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(json.loads(result.read_text())), flush=True)


def _logged(line: dict[str, Any]) -> None:
    if line["step"] % 100 == 0 and "loss" in line:
        print(f"step {line['step']} of {line['of']}: loss {line['loss']:.3f}", file=sys.stderr)


def print_held_back(folder: Path, train: Path, n: int) -> None:
    """Print F1 and EM of a recipe's reader on the articles that its training held back."""
    reader = SplitReader.load(folder)
    reader.use("torch-bf16")
    found = figures(list(predictions(_through_int8(reader), _held_back(reader, train, n))), forced=True)
    print(json.dumps({"reader": str(folder), "f1": round(found.f1, 2), "em": round(found.exact_match, 2)}), flush=True)


def _held_back(reader: SplitReader, train: Path, n: int) -> SquadSet:
    assert reader.about is not None
    return sample(without(read_squad(train), set(reader.about.training["held_back_articles"]))[1], n)


def _through_int8(reader: SplitReader) -> SplitPassageReader:
    """Wrap a reader so that it reads states through the store's int8; a whole reader stores none."""
    codec = encoding_named("int8")
    return SplitPassageReader(reader, (lambda one: codec.decode(codec.encode(one))) if reader.encoder.k else None)


def _measured(folder: Path, recipe: Recipe, train: Path, n: int) -> dict[str, Any]:
    reader = SplitReader.load(folder)
    asked = _held_back(reader, train, n)
    found = figures(list(predictions(_through_int8(reader), asked)), forced=True)
    # A tuned encoder whose vectors were not kept needs the original one too, for vectors and for indexing.
    own_vectors = not recipe.tune_lower or bool(recipe.retrieval)
    vectors_by = reader.encoder if own_vectors else Encoder.load(recipe.encoder, k=0)
    whole = JointLayers(reader.encoder.backbone.shape, reader.encoder.backbone.shape.n_layers)
    n_layers = reader.encoder.backbone.shape.n_layers
    codec, stored = encoding_named("int8"), reader.encoder.states("A text to be stored.")
    return {
        "f1": round(found.f1, 2),
        "em": round(found.exact_match, 2),
        "recall@20": round(recall(vectors_by, asked, 20), 2),
        "operations": round(operations(reader.joint) / operations(whole), 3),
        "index_layers": n_layers + (0 if own_vectors else recipe.k),
        "bytes_per_token": codec.encode(stored).n_bytes / len(stored),
    }


def sample(squad: SquadSet, n: int) -> SquadSet:
    """Draw ``n`` questions by a fixed seed, each still with its paragraph."""
    ids = [question.id for _, question in squad.questions()]
    chosen = set(random.Random(0).sample(ids, min(n, len(ids))))
    return SquadSet(
        tuple(
            replace(paragraph, questions=tuple(one for one in paragraph.questions if one.id in chosen))
            for paragraph in squad.paragraphs
        ),
        squad.has_impossible,
    )


def operations(joint: JointLayers) -> int:
    """Count the joint layers' floating-point operations for one candidate; the last layer skips the question's rows."""
    width = joint.marker.shape[1]
    question, passage = (torch.zeros(1, tokens, width) for tokens in TOKENS)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        joint(question, passage)
    return counter.get_total_flops()


def print_times() -> None:
    """Print each shape's time and operations on 20 candidates, as shares of the whole's; medians in turn, fp32."""
    shape = Encoder.load(k=0).backbone.shape
    built = {"whole": JointLayers(shape, shape.n_layers).eval()}
    for recipe in VARIANTS.values():
        n_layers = recipe.joint_layers or shape.n_layers - recipe.k
        width = recipe.feed_forward_width or shape.feed_forward_width
        name = f"{n_layers} layers, {width} wide inside"
        built.setdefault(name, JointLayers(replace(shape, feed_forward_width=width), n_layers).eval())
    question, passages = torch.randn(1, TOKENS[0], shape.hidden_width), torch.randn(20, TOKENS[1], shape.hidden_width)
    seconds: dict[str, list[float]] = {name: [] for name in built}
    with torch.inference_mode():
        for turn in range(TURNS + 1):
            for name, joint in built.items():
                began = time.perf_counter()
                joint(question, passages)
                if turn:
                    seconds[name].append(time.perf_counter() - began)
    whole = statistics.median(seconds["whole"])
    for name, taken in seconds.items():
        share = operations(built[name]) / operations(built["whole"])
        print(f"{statistics.median(taken) / whole:5.2f}  {share:5.2f}  {name}")


def recall(encoder: Encoder, squad: SquadSet, n: int) -> float:
    """Percentage of questions whose paragraph is among the ``n`` nearest by vector, of all held-back paragraphs."""
    rows, passages = [], []
    for index, paragraph in enumerate(squad.paragraphs):
        for span in encoder.borders.split(paragraph.context, encoder.tokenizer):
            rows.append(index)
            passages.append(encoder.tokenizer.tokenize(paragraph.context[span.start : span.end]).ids)
    asked = [(index, q) for index, paragraph in enumerate(squad.paragraphs) for q in paragraph.questions]
    near = nearest_passages(encoder, [encoder.tokenizer.tokenize(q.question).ids for _, q in asked], passages, n)
    hits = [index in {rows[row] for row in found} for (index, _), found in zip(asked, near, strict=True)]
    return 100 * sum(hits) / len(hits)


if __name__ == "__main__":
    main()
