"""Does every asker see one whole generation, whatever a writer does? Threads of two processes against a third."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from parts.tiny_store import Tiny
from torture.pool import Crash, Pool
from torture.report import Result
from torture.variants import broken

from deformer_qa.store import Snapshot, StoreLocked, Writer, open_snapshot, verify
from deformer_qa.store.newest import NewestSnapshot

N_PROCESSES, N_THREADS = 2, 2
N_DOCUMENTS = 4
QUERIES = ("a place where the number stands", "place 2 says", "number 17", "nothing of that")
MORE_MEMORY = 32 << 20  # that an asker may take between the first fifth of its asks and the last
PATIENCE = 600.0


def run(pool: Pool, seed: int, n: int, n_commits: int, variant: str = "") -> Result:
    """n asks over at least so many commits, merges and collections included."""
    folder = Path(tempfile.mkdtemp(prefix="asks-", dir=pool.folder))
    share = -(-n // N_PROCESSES)
    roles: list[tuple[Any, ...]] = [(str(folder), -1, share, n_commits, variant)]
    roles += [(str(folder), number, share, n_commits, variant) for number in range(N_PROCESSES)]
    with Pool(len(roles)) as own:
        written, *asked = own.run(play, roles, PATIENCE)
    crashes = [one for one in (written, *asked) if isinstance(one, Crash)]
    if crashes:
        return Result("asks", 0, {"process": crashes})
    problems = [problem for one in asked for problem in one["problems"]]
    expected = written["said"]
    seen: Counter[int] = Counter()
    for generation, query, said, n_times in (entry for one in asked for entry in one["said"]):
        seen[generation] += n_times
        if expected.get((generation, query)) != said:
            problems.append(f"generation {generation}, question {query}: not what the writer found there")
    problems += [f"verify names {damage.file}" for damage in verify(folder / ".qa")]
    facts = {
        "commits": written["commits"],
        "merges and compactions": written["merges"],
        "generations asked": len(seen),
        "second writers refused": sum(one["refused"] for one in asked),
        "descriptors more at the end": max(one["descriptors"] for one in asked),
        "MiB more at the end": max(one["memory"] for one in asked) >> 20,
    }
    return Result("asks", sum(seen.values()), {"all": problems[:20]} if problems else {}, facts)


def play(place: str, role: int, n_asks: int, n_commits: int, variant: str) -> dict[str, Any]:
    """One process: the writer, or one of the askers."""
    with broken(variant):
        return _write(Path(place), n_asks, n_commits) if role < 0 else _ask_often(Path(place), role, n_asks)


def _write(folder: Path, n_asks: int, n_commits: int) -> dict[str, Any]:
    """Commits in which all documents speak of the same number, spread over the asks."""
    tiny, store = Tiny(), folder / ".qa"
    said: dict[tuple[int, int], str] = {}
    n_merges = 0

    def look() -> None:
        with open_snapshot(store) as snapshot:
            said.update({(snapshot.generation, query): answer(snapshot, query) for query in range(len(QUERIES))})

    with Writer.open(store, tiny.encoder) as writer:
        ids = [writer.new_document_id() for _ in range(N_DOCUMENTS)]
        for number in range(n_commits):
            for place, id_ in enumerate(ids):
                text = f"Number {number} stands here. Place {place} says {number}. It stays at place {place}"
                tiny.put(writer, f"{place}.txt", text, id_=id_, title=f"Number {number}")
            writer.commit()
            look()
            for change in _merges(writer, number):
                n_merges += 1
                change()
                look()
            if not number:
                (folder / "pid").write_text(str(os.getpid()))
            wanted = N_PROCESSES * n_asks * number // n_commits
            while _n_asked(folder) < wanted and not _n_ended(folder):
                time.sleep(0.0005)
        while _n_ended(folder) < N_PROCESSES:
            time.sleep(0.01)  # the lock is held until nobody tries for it
    return {"said": said, "commits": n_commits, "merges": n_merges}


def _n_asked(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("asked-*"))


def _n_ended(folder: Path) -> int:
    return len(list(folder.glob("ended-*")))


def _merges(writer: Writer, number: int) -> Iterator[Any]:
    if number % 4 == 3:
        yield writer.merge
    if number % 10 == 9:
        yield writer.compact


def _ask_often(folder: Path, role: int, n_asks: int) -> dict[str, Any]:
    """The asks of one process, by threads; what each generation said, and what is left when they are done."""
    try:
        return _asks(folder, role, n_asks)
    finally:
        (folder / f"ended-{role}").touch()


def _asks(folder: Path, role: int, n_asks: int) -> dict[str, Any]:
    while not (folder / "pid").exists():
        time.sleep(0.002)
    shared = NewestSnapshot(folder / ".qa")
    said: Counter[tuple[int, int, str]] = Counter()
    problems: list[str] = []
    refused: list[int] = []
    levels: list[int] = []
    n_descriptors = len(os.listdir("/proc/self/fd"))
    done = (folder / f"asked-{role}").open("ab", buffering=0)

    def work(thread: int) -> None:
        chance = np.random.default_rng([role, thread])
        try:
            for number in range(n_asks // N_THREADS):
                query = int(chance.integers(len(QUERIES)))
                if thread % 2:
                    with open_snapshot(folder / ".qa") as fresh:
                        said[fresh.generation, query, answer(fresh, query)] += 1
                else:
                    newest = shared.get()
                    said[newest.generation, query, answer(newest, query)] += 1
                done.write(b".")
                if number % 250 == 7:
                    refused.append(_try_to_write(folder))
                if number in (n_asks // N_THREADS // 5, n_asks // N_THREADS - 1):
                    levels.append(_resident_bytes())
        except Exception as error:
            problems.append(f"thread {thread}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    done.close()
    n_more = len(os.listdir("/proc/self/fd")) - n_descriptors
    memory = max(levels[-N_THREADS:], default=0) - min(levels[:N_THREADS], default=0)
    if n_more > 0:
        problems.append(f"{n_more} descriptors were not given back")
    if memory > MORE_MEMORY:
        problems.append(f"{memory:,} bytes of memory were not given back")
    entries = [(*key, n_times) for key, n_times in said.items()]
    return {"said": entries, "problems": problems, "refused": sum(refused), "descriptors": n_more, "memory": memory}


def _try_to_write(folder: Path) -> int:
    """Be refused as second writer, with the first one's number."""
    try:
        Writer.open(folder / ".qa", Tiny.encoder).close()
    except StoreLocked as error:
        if error.pid == int((folder / "pid").read_text()):
            return 1
        raise AssertionError(f"refused because of process {error.pid}") from error
    raise AssertionError("a second writer was let in")


def answer(snapshot: Snapshot, query: int) -> str:
    """One ask: both rankings, and the records, texts and states of what they found. A digest of it."""
    question = QUERIES[query]
    nearest = snapshot.nearest(Tiny().vector(question), 5)
    found = [*nearest, *snapshot.bm25(question, 5)]
    passages = snapshot.passages([hit.passage_id for hit in found])
    infos = snapshot.document_infos([passage.document_id for passage in passages])
    (title,) = {info.title for info in infos}  # of one number, all of them
    texts = snapshot.passage_texts([passage.id for passage in passages])
    assert all(title.split()[1] in text or "stays" in text for text in texts), (title, texts)
    states = snapshot.states([passage.key for passage in passages])
    assert all(len(one) == len(text.split()) + 2 for one, text in zip(states, texts, strict=True))
    told = repr((found, passages, infos, texts, [one.tobytes() for one in states]))
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _resident_bytes() -> int:
    """Memory that is this process's own: the maps of committed files are the page cache's."""
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGESIZE")
