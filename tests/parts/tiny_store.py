"""A tiny encoder in code, and how tests fill a store with it and say what is in one."""

from __future__ import annotations

import hashlib
import os
import pickle
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from deformer_qa.store import (
    Codebook,
    DocumentRecord,
    EncoderInfo,
    PassageDraft,
    Snapshot,
    Writer,
    block_key,
    fit_codebook,
    open_snapshot,
)
from deformer_qa.store.encodings import LEAST_TOKENS

ANIMALS = {
    "fox.txt": "The quick fox jumps over the dogs. It barked at the river. Élan vital, naïve façade",
    "dog.txt": "Dogs bark loudly. The dog sleeps near the river bank",
    "birds/owl.txt": "Owls hunt mice at night. The night is dark and the owl is quiet",
    "birds/hen.txt": "Hens lay eggs. The fox hunts hens at night. Dogs bark loudly",
    "fish.txt": "A trout swims in the river. 日本の川. 🦊 and 3 dogs",
}

ENCODER = EncoderInfo("tiny-encoder-1", vector_width=8, hidden_width=6, about={"name": "tiny", "k": 2})

ENCODINGS = ("fp16", "int8", "int4", "pq6")  # that six values a token can have


@lru_cache
def tiny_codebook() -> Codebook:
    """A codebook for states like the tiny encoder's."""
    return fit_codebook(np.random.default_rng(3).standard_normal((LEAST_TOKENS, 6)).astype(np.float32), "pq6")


class Tiny:
    """Everything a test needs to fill a store and to say what is in it."""

    encoder = ENCODER
    root = "/corpus"

    def vector(self, text: str) -> np.ndarray:
        return self._random(text, 1).standard_normal(8).astype(np.float32)

    def states(self, text: str) -> np.ndarray:
        return self._random(text, 2).standard_normal((len(text.split()) + 2, 6)).astype(np.float32)

    def sentences(self, text: str) -> list[tuple[int, int]]:
        """One passage per sentence: offsets without the full stop."""
        found, start = [], 0
        for sentence in text.split(". "):
            if sentence.strip():
                found.append((start, start + len(sentence)))
            start += len(sentence) + 2
        return found

    def drafts(self, text: str, heading: str = "") -> list[PassageDraft]:
        return [PassageDraft(a, b, heading, block_key(text[a:b])) for a, b in self.sentences(text)]

    def record(self, id_: int, path: str, text: str, **fields: Any) -> DocumentRecord:
        known: dict[str, Any] = {
            "root": self.root,
            "title": path.removesuffix(".txt"),
            "content_hash": hashlib.sha256(text.encode()).hexdigest(),
            "outline": (),
            "meta": {},
            "source_state": f"{len(text)}:1",
        }
        return DocumentRecord(id=id_, path=path, text=text, **{**known, **fields})

    def put(
        self, writer: Writer, path: str, text: str, id_: int | None = None, heading: str = "", **fields: Any
    ) -> int:
        """Add or replace a document with the rows of its sentences; returns its id."""
        id_ = writer.new_document_id() if id_ is None else id_
        for draft in self.drafts(text):
            sentence = text[draft.start : draft.end]
            if not writer.has_row(draft.key):
                writer.add_row(draft.key, self.vector(sentence), self.states(sentence))
        writer.put_document(self.record(id_, path, text, **fields), self.drafts(text, heading))
        return id_

    def fill(self, path: Path, texts: dict[str, str], encoding: str | None = None) -> list[int]:
        """One commit of some documents; returns their ids."""
        codebook = tiny_codebook() if encoding == "pq6" else None
        with Writer.open(path, ENCODER, encoding, codebook=codebook) as writer:
            ids = [self.put(writer, name, text) for name, text in texts.items()]
            writer.set_roots([self.root])
            writer.commit()
        return ids

    def dump(self, snapshot: Snapshot) -> dict[str, Any]:
        """All that a snapshot says, for comparison; the generation apart."""
        infos = list(snapshot.iter_documents())
        passages = [passage for info in infos for passage in snapshot.document_passages(info.id)]
        keys = [passage.key for passage in passages]
        return {
            "roots": snapshot.roots,
            "counts": (snapshot.n_documents, snapshot.n_passages),
            "documents": [snapshot.document(info.id) for info in infos],
            "infos": infos,
            "passages": passages,
            "texts": snapshot.passage_texts([passage.id for passage in passages]),
            "vectors": snapshot.vectors(keys).tolist(),
            "states": [states.tolist() for states in snapshot.states(keys)],
            "nearest": snapshot.nearest(np.ones(8, dtype=np.float32), 1000),
            "bm25": snapshot.bm25("the fox and 3 dogs barking at a river", 1000),
        }

    def dump_of(self, path: Path) -> dict[str, Any]:
        with open_snapshot(path) as snapshot:
            return self.dump(snapshot)

    def files(self, path: Path) -> list[Path]:
        """Every file of a store but its lock, relative to it."""
        found = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
        return sorted(file for file in found if file.name != "LOCK")

    def orphans(self, path: Path) -> list[str]:
        """What lies in a store that neither its head nor its parent needs."""
        from deformer_qa.store.generations import find_head, read_manifest

        head = find_head(path).manifest
        kept = [head, *([read_manifest(path, head.parent)] if head.parent else [])]
        wanted = {"LOCK", "seg"} | {f"MANIFEST-{manifest.generation}" for manifest in kept}
        segments = {name for manifest in kept for name in manifest.segment_names}
        found = set(os.listdir(path)) - wanted
        return sorted(found | set(os.listdir(path / "seg")) - segments)

    def in_child(self, work: Callable[[], Any]) -> tuple[int, Any]:
        """Run something in a forked child; returns its exit status and what it returned, or its traceback."""
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read_end)
            status = 0
            try:
                result = work()
            except BaseException:
                result, status = traceback.format_exc(), 1
            with os.fdopen(write_end, "wb") as pipe:
                pipe.write(pickle.dumps(result))
            os._exit(status)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            content = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status, pickle.loads(content) if content else None

    def _random(self, text: str, stream: int) -> np.random.Generator:
        return np.random.default_rng([stream, *block_key(text)])
