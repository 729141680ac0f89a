"""Is an answer ever built from damaged bytes, and is each damaged file named? One damage at a time, of every kind."""

from __future__ import annotations

import functools
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from parts.tiny_store import Tiny, tiny_codebook
from torture.pool import Crash, Pool, scratch
from torture.report import Result

from deformer_qa.store import Snapshot, StoreError, Writer, open_snapshot, verify

GENERATION = 4
HEAD, PARENT = f"MANIFEST-{GENERATION}", f"MANIFEST-{GENERATION - 1}"
DAMAGES = (
    *("flipped bit", "flipped bytes", "truncated", "grown", "emptied", "zeroed 512", "zeroed 4096"),
    *("swapped", "of another store", "deleted"),
)
FOREIGN_MANIFESTS = (f"{HEAD}/of another store", f"{PARENT}/of another store")  # whole: what it lists is missing
QUERIES = ("the fox by the river", "number 7 sleeps", "dogs")
SECONDS_PER_CASE = 30.0


def run(pool: Pool, seed: int, n: int, case: str | None = None) -> Result:
    """n damages, as many of each kind of damage to each kind of file; a case is "file/damage/number"."""
    if case is None:
        kinds = pool.run(strata, [()])[0]
        cases = [f"{kinds[number % len(kinds)]}/{number}" for number in range(n)]
    else:
        cases = [case]
    found = pool.run(damage, [(one, seed) for one in cases], SECONDS_PER_CASE)
    failures = {c: [f] if isinstance(f, Crash) else f[0] for c, f in zip(cases, found, strict=True)}
    outcomes = Counter(outcome for one in found if not isinstance(one, Crash) for outcome in one[1])
    facts = {"questions answered": dict(sorted(outcomes.items()))}
    return Result("damages", len(cases), {case: one for case, one in failures.items() if one}, facts)


@dataclass(frozen=True)
class Library:
    """A whole store, another of the same shape, and what each generation of the first must answer."""

    store: Path
    other: Path
    answers: dict[int, dict[str, Any]]
    names: dict[str, list[str]]  # files by kind, relative to the store


def strata() -> list[str]:
    """Kinds of file with the damages that can happen to them."""
    kinds = [f"{kind}/{how}" for kind in library().names for how in DAMAGES]
    return [kind for kind in kinds if kind != f"{HEAD}/deleted"]  # without its manifest a generation never was


@functools.cache
def library() -> Library:
    """Made once in each process, the same in all but for the names of segments."""
    folder = scratch("library")
    store, other = folder / "store", folder / "other"
    _fill(store, 0)
    _fill(other, 500)
    answers = {}
    for generation in (GENERATION, GENERATION - 1):
        with open_snapshot(store) as snapshot:
            assert snapshot.generation == generation
            answers[generation] = {name: ask(snapshot) for name, ask in questions(snapshot).items()}
        (store / f"MANIFEST-{generation}").rename(folder / f"MANIFEST-{generation}")
    for generation in (GENERATION, GENERATION - 1):
        (folder / f"MANIFEST-{generation}").rename(store / f"MANIFEST-{generation}")
    names: dict[str, list[str]] = {}
    for name in Tiny().files(store):
        names.setdefault(name.name, []).append(str(name))
    return Library(store, other, answers, {kind: sorted(found) for kind, found in names.items()})


def _fill(store: Path, first: int) -> None:
    """Four generations: documents, a vector index, a removal and edits, more of both. What died stays in files."""
    tiny = Tiny()

    def text(number: int) -> str:
        return f"Number {number:03} sleeps near the river. The fox saw {number:03} dogs. It is {number:03} years old"

    for generation in range(3):
        with Writer.open(store, tiny.encoder, codebook=tiny_codebook()) as writer:
            for number in range(12):
                tiny.put(writer, f"{12 * generation + number}.txt", text(first + 100 * generation + number))
            if generation:
                tiny.put(writer, "0.txt", text(first + 100 * generation + 50), id_=1)
                writer.remove_document(2 * generation)
            writer.set_roots([tiny.root])
            writer.commit()
            if not generation:
                writer.set_vector_index("IVF4_HNSW4,SQ8")
                writer.merge()


def questions(snapshot: Snapshot) -> dict[str, Callable[[Snapshot], Any]]:
    """What is asked of a whole store, by name, for asking the same of a damaged one."""
    infos = list(snapshot.iter_documents())
    some = infos[:: max(1, len(infos) // 6)]
    asked: dict[str, Callable[[Snapshot], Any]] = {
        "documents listed": lambda s: list(s.iter_documents()),
        "documents found": lambda s: sorted(s.find_documents(Tiny.root).values(), key=lambda info: info.id),
    }
    for info in some:
        passages = snapshot.document_passages(info.id)
        ids, keys = [p.id for p in passages], [p.key for p in passages]
        asked[f"document {info.id}"] = functools.partial(lambda id_, s: s.document(id_), info.id)
        asked[f"passages of {info.id}"] = functools.partial(lambda id_, s: s.document_passages(id_), info.id)
        asked[f"passage records {info.id}"] = functools.partial(lambda ids, s: s.passages(ids), ids)
        asked[f"texts {info.id}"] = functools.partial(lambda ids, s: s.passage_texts(ids), ids)
        asked[f"vectors {info.id}"] = functools.partial(lambda keys, s: s.vectors(keys).tolist(), keys)
        asked[f"states {info.id}"] = functools.partial(lambda keys, s: [o.tolist() for o in s.states(keys)], keys)
    for query in QUERIES:
        vector = Tiny().vector(query)
        asked[f"nearest {query}"] = functools.partial(lambda vector, s: s.nearest(vector, 10), vector)
        asked[f"all nearest {query}"] = functools.partial(lambda vector, s: s.nearest(vector, 10_000), vector)
        asked[f"bm25 {query}"] = functools.partial(lambda query, s: s.bm25(query, 10), query)
    return asked


def damage(case: str, seed: int) -> tuple[list[str], list[str]]:
    """One damage: what is wrong after it, and how each question was answered."""
    kind, how, number = case.split("/")
    whole = library()
    chance = np.random.default_rng([seed, int(number)])
    store = scratch("damaged")
    shutil.copytree(whole.store, store)
    file = str(chance.choice(whole.names[kind]))
    damaged = _damage(store, file, how, chance, whole)
    named = {one.file for one in verify(store)}
    is_found = bool(named) if f"{kind}/{how}" in FOREIGN_MANIFESTS else named == damaged
    problems = [] if is_found else [f"damaged {sorted(damaged)}, verify names {sorted(named)}"]
    found, outcomes = _ask(store, whole, head_is_damaged=HEAD in damaged)
    shutil.rmtree(store)
    return problems + found, outcomes


def _damage(store: Path, name: str, how: str, chance: np.random.Generator, whole: Library) -> set[str]:
    """Damage a file; the names of those that differ now."""
    file = store / name
    content = bytearray(file.read_bytes())
    before = bytes(content)
    place = int(chance.integers(len(content)))
    if how == "deleted":
        file.unlink()
        return {name}
    if how == "swapped":
        kind = file.name if "MANIFEST" not in name else None
        others = [one for one in (whole.names[kind] if kind else [HEAD, PARENT]) if one != name]
        every = [one for kind in whole.names for one in whole.names[kind] if one.startswith("seg/") and one != name]
        other = str(chance.choice(others or every))
        file.write_bytes((store / other).read_bytes())
        (store / other).write_bytes(before)
        return {name, other} if before != file.read_bytes() else set()
    if how == "of another store":
        kinds = sorted(whole.other.glob(f"seg/*/{file.name}")) if "MANIFEST" not in name else [whole.other / name]
        content = bytearray(kinds[int(chance.integers(len(kinds)))].read_bytes())
    elif how == "flipped bytes":
        content[place : place + 8] = bytes(byte ^ int(chance.integers(1, 256)) for byte in content[place : place + 8])
    elif how in ("truncated", "emptied"):
        del content[0 if how == "emptied" else place :]
    elif how == "grown":
        content += chance.bytes(int(chance.integers(1, 5000)))
    elif how.startswith("zeroed"):
        n_bytes = int(how.split()[1])
        start = place // n_bytes * n_bytes
        content[start : start + n_bytes] = bytes(len(content[start : start + n_bytes]))
    if how == "flipped bit" or content == before:
        content[place] ^= 1 << int(chance.integers(8))
    file.write_bytes(content)
    return {name}


def _ask(store: Path, whole: Library, head_is_damaged: bool) -> tuple[list[str], list[str]]:
    problems: list[str] = []
    outcomes: list[str] = []
    with open_snapshot(whole.store) as snapshot:
        asked = questions(snapshot)
    try:
        snapshot = open_snapshot(store)
    except StoreError:
        return [], ["store refused"]
    with snapshot:
        is_noticed = snapshot.notice is not None and not snapshot.index_problem  # a vector index costs time only
        if (snapshot.generation != GENERATION, is_noticed) != (head_is_damaged, head_is_damaged):
            problems.append(f"answers from generation {snapshot.generation} with the notice {snapshot.notice}")
        expected = whole.answers[snapshot.generation]
        if snapshot.generation != GENERATION:
            with open_snapshot(store) as other:
                asked = {name: ask for name, ask in questions(other).items()}
        for name, ask in asked.items():
            try:
                answer = ask(snapshot)
            except StoreError:
                outcomes.append("refused")
                continue
            if answer == expected[name]:
                outcomes.append("exactly")
            elif name.split()[0] in ("nearest", "documents", "passages", "all") and _is_less(name, answer, expected):
                outcomes.append("with less recall")
            elif name.startswith("bm25") and _texts_are_true(snapshot, answer, whole):
                outcomes.append("with moved hits")
            else:
                problems.append(f"{name}: wrong answer {str(answer)[:300]}")
    return problems, outcomes


def _is_less(name: str, answer: list[Any], expected: dict[str, Any]) -> bool:
    """Whether all that is answered is true and in order, though not all that is true is answered."""
    possible = expected[f"all {name}" if name.startswith("nearest") else name]
    places = [possible.index(one) if one in possible else -1 for one in answer]
    return places == sorted(set(places)) and -1 not in places


def _texts_are_true(snapshot: Snapshot, hits: list[Any], whole: Library) -> bool:
    """Damage to the word index may move a hit; what is shown of it is true or refused."""
    true_texts = _true_texts(whole.store)
    for hit in hits:
        try:
            if snapshot.passage_texts([hit.passage_id]) != [true_texts.get(hit.passage_id)]:
                return False
        except StoreError:
            continue
    return True


@functools.cache
def _true_texts(store: Path) -> dict[int, str]:
    with open_snapshot(store) as snapshot:
        ids = [hit.passage_id for hit in snapshot.nearest(np.ones(8, np.float32), 100_000)]
        return dict(zip(ids, snapshot.passage_texts(ids), strict=True))
