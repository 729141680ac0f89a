"""Makes ``tests/store/format_1``, the frozen sample of format 1: run once, when the format was frozen, never again.

cd tests && python -m parts.sample_store FOLDER
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from deformer_qa.store import Writer, open_snapshot
from parts.tiny_store import ANIMALS, Tiny, tiny_codebook


def main(folder: Path) -> None:
    store, tiny = folder / "store", Tiny()
    with Writer.open(store, tiny.encoder, codebook=tiny_codebook()) as writer:
        writer.set_vector_index("IVF4_HNSW4,SQ8")
        ids = [tiny.put(writer, name, text, meta={"name": name}) for name, text in ANIMALS.items()]
        writer.set_roots([tiny.root])
        writer.merge()
        tiny.put(writer, "dog.txt", "Dogs bark loudly. The dog wakes near the river bank", id_=ids[1], heading="A dog")
        writer.remove_document(ids[3])
        writer.move_document(ids[4], root=tiny.root, path="trout.txt")
        writer.commit()
    (store / "LOCK").unlink()
    with open_snapshot(store) as snapshot:
        passages = [p for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)]
        ids = [passage.id for passage in passages]
        headings = [passage.heading for passage in passages]
        expected = {
            "documents": {
                info.id: [info.path, snapshot.document(info.id).text, dict(info.meta)]
                for info in snapshot.iter_documents()
            },
            "passages": dict(zip(ids, zip(snapshot.passage_texts(ids), headings, strict=True), strict=True)),
            "nearest": [[hit.passage_id, hit.score] for hit in snapshot.nearest(tiny.vector("a question"), 5)],
            "bm25": [[hit.passage_id, hit.score] for hit in snapshot.bm25("dogs at the river", 5)],
            "states": {p.id: snapshot.states([p.key])[0].round(5).tolist() for p in passages},
        }
    (folder / "says.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
