"""Choose the weights of the retrieval's scores and measure how well they find: the table of decision 21.

    python benchmarks/retrieval.py DATA CACHE [--last 1500]

DATA holds squad-v1.1-train.json.xz, nq-spans-train.json.xz and wikitablequestions-train-dev.json.xz, for ``--last``
also squad-v1.1-dev.json.xz. Vectors are kept in CACHE: the first run encodes some 12,000 passages. Half of each kind's
questions choose the weights from a grid by MRR, as a mean over groups of kinds: the smallest share of BM25 within half
a point of the highest MRR, and the best weight of names beside it. The smallest share is taken because the writers of
these questions saw the text and share more words with it than users do. The table is about the other half. ``--last N``
adds N questions of SQuAD dev, on which nothing is chosen.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from retrieval_kinds import Kind, Text, fitting_kinds, last_kind
from vector_cache import VectorCache

from deformer_qa.pipeline.retrieve import DEPTH, RetrievalWeights, Retrieved, retrieve
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.passages import with_lead
from deformer_qa.store import DocumentRecord, EncoderInfo, PassageDraft, Writer, block_key, open_snapshot

SHARES = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0)
EXACTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5)
ABOUT_EQUAL = 0.5  # points of MRR
RANK_CONSTANT = 60  # of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009), the former method
K = 2  # layers that run separately; vectors do not depend on it


@dataclass(frozen=True)
class Searched:
    """The passages found for a question, and the ids of those that answer it.

    :ivar bm25_before: the BM25 ranking by all words of the question, without leaving out function words
    """

    gold: frozenset[int]
    found: Retrieved
    bm25_before: tuple[int, ...]


def main() -> None:
    """Search, choose the weights and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--last", type=int, default=0, metavar="N", help="questions of SQuAD dev")
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    encoder = Encoder.load(k=K)
    vectors = VectorCache(given.cache / "vectors.sqlite", encoder)
    searched: dict[str, list[Searched]] = {}
    groups: dict[str, list[list[Searched]]] = {}
    for kind in fitting_kinds(given.data, encoder):
        searched[kind.name] = searches(kind, encoder, vectors)
        groups.setdefault(kind.group, []).append(searched[kind.name][::2])
    weights = chosen(list(groups.values()))
    print_table({name: of_kind[1::2] for name, of_kind in searched.items()}, weights)
    if given.last:
        last = last_kind(given.data, encoder, given.last)
        print_table({last.name: searches(last, encoder, vectors)}, weights)


def searches(kind: Kind, encoder: Encoder, vectors: VectorCache) -> list[Searched]:
    """Search the kind's passages for each question."""
    inputs = [with_lead(encoder.lead(one.title, ""), one.text) for one in kind.texts]
    of_questions = vectors.vectors([one.question for one in kind.asked])
    with tempfile.TemporaryDirectory() as folder:
        ids = fill(Path(folder), kind.texts, encoder, vectors.vectors(inputs))
        with open_snapshot(Path(folder)) as snapshot:
            return [
                Searched(
                    frozenset(ids[number] for number in one.gold),
                    retrieve(snapshot, one.question, vector),
                    tuple(hit.passage_id for hit in snapshot.bm25(one.question, DEPTH)),
                )
                for one, vector in zip(kind.asked, of_questions, strict=True)
            ]


def fill(store: Path, texts: Sequence[Text], encoder: Encoder, vectors: NDArray[np.float32]) -> list[int]:
    """Fill a store with each text as a document of one passage with states of one token; return the passages' ids."""
    width = encoder.hidden_width
    states = np.zeros((1, width), np.float32)
    with Writer.open(store, EncoderInfo(encoder.encoder_id, width, width, {})) as writer:
        documents = []
        for number, (one, vector) in enumerate(zip(texts, vectors, strict=True)):
            draft = PassageDraft(0, len(one.text), "", block_key(one.text))
            if not writer.has_row(draft.key):
                writer.add_row(draft.key, vector, states)
            documents.append(writer.new_document_id())
            record = DocumentRecord(documents[-1], "/texts", f"{number}.txt", one.title, str(number), one.text, (), {})
            writer.put_document(record, [draft])
        writer.commit()
        assert writer.snapshot is not None
        return [passage.id for one in documents for passage in writer.snapshot.document_passages(one)]


def chosen(groups: Sequence[Sequence[Sequence[Searched]]]) -> RetrievalWeights:
    """Choose the smallest BM25 share of the grid that is about as good as the best, and the best weight of names.

    The means along each weight are printed.
    """

    def mean(weights: RetrievalWeights) -> float:
        return float(np.mean([np.mean([_mrr(of_kind, weights) for of_kind in group]) for group in groups]))

    grid = {pair: mean(RetrievalWeights(*pair)) for pair in itertools.product(SHARES, EXACTS)}
    highest = max(grid, key=lambda pair: grid[pair])
    print(f"highest: {highest}: {grid[highest]:.2f}")
    share = min(share for share, exact in grid if grid[share, exact] >= grid[highest] - ABOUT_EQUAL)
    best = max(((share, exact) for exact in EXACTS), key=lambda pair: grid[pair])
    print("bm25_share: " + ", ".join(f"{share}: {grid[share, best[1]]:.2f}" for share in SHARES))
    print("exact: " + ", ".join(f"{exact}: {grid[best[0], exact]:.2f}" for exact in EXACTS))
    return RetrievalWeights(*best)


def _mrr(of_kind: Sequence[Searched], weights: RetrievalWeights) -> float:
    return figures([_rank(one, by_sum(one, weights)) for one in of_kind])[-1]


def by_sum(one: Searched, weights: RetrievalWeights) -> list[int]:
    """Rank the passages found as asking with these weights does, best first."""
    fused = {id_: scores.fused(weights) for id_, scores in one.found.scores.items()}
    return sorted(fused, key=lambda id_: (-fused[id_], id_))


def by_ranks(one: Searched) -> list[int]:
    """Rank the passages found by the sum of 1 / (60 + rank), the former method, best first."""
    fused: dict[int, float] = {}
    for ranking in (one.found.dense, one.bm25_before):
        for rank, id_ in enumerate(ranking, start=1):
            fused[id_] = fused.get(id_, 0.0) + 1 / (RANK_CONSTANT + rank)
    return sorted(fused, key=lambda id_: (-fused[id_], id_))


def _rank(one: Searched, order: Sequence[int]) -> int | None:
    """Return the rank of the first passage that answers."""
    return next((rank for rank, id_ in enumerate(order, start=1) if id_ in one.gold), None)


def figures(ranks: Sequence[int | None]) -> tuple[float, ...]:
    """Compute recall at 1, 8 and 20 and MRR, in percent."""
    recalls = [100 * float(np.mean([rank is not None and rank <= k for rank in ranks])) for k in (1, 8, 20)]
    return (*recalls, 100 * float(np.mean([1 / rank if rank else 0.0 for rank in ranks])))


def print_table(searched: dict[str, list[Searched]], weights: RetrievalWeights) -> None:
    """Print recall at 1, 8 and 20 and MRR of each kind, by each way of ranking."""
    ways: dict[str, Callable[[Searched], Sequence[int]]] = {
        "dense": lambda one: one.found.dense,
        "BM25, all words": lambda one: one.bm25_before,
        "BM25": lambda one: one.found.bm25,
        "ranks fused": by_ranks,
        "sum, 0.3": lambda one: by_sum(one, RetrievalWeights(0.3, 0.0)),
        f"sum, {weights.bm25_share} and exact {weights.exact}": lambda one: by_sum(one, weights),
    }
    print(f"\n| R@1 / R@8 / R@20 / MRR | {' | '.join(f'{name} ({len(of)})' for name, of in searched.items())} |")
    print("|---" * (len(searched) + 1) + "|")
    for way, order in ways.items():
        cells = (figures([_rank(one, order(one)) for one in of_kind]) for of_kind in searched.values())
        print(f"| {way} | {' | '.join(' / '.join(f'{value:.1f}' for value in cell) for cell in cells)} |")


if __name__ == "__main__":
    main()
