"""docs/FORMAT.md is enough to write a reader: this one knows the page and nothing of the package."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest
import xxhash

from deformer_qa.store import Writer, names, open_snapshot

PAGE = (Path(__file__).parents[2] / "docs" / "FORMAT.md").read_text()


class Stranger:
    """A reader written from the page."""

    def __init__(self, store: Path) -> None:
        self.store = store
        newest = max(int(path.name[9:]) for path in store.glob("MANIFEST-*") if path.name[9:].isdigit())
        content = (store / f"MANIFEST-{newest}").read_bytes()
        header, body = content.split(b"\n", 1)
        name, number, checksum = header.decode().split(" ")
        assert (name, number) == ("deformer-qa-store", "0")
        assert checksum == xxhash.xxh3_128_hexdigest(f"{name} {number}\n".encode() + body)
        self.manifest = json.loads(body)
        for segment in self.manifest["blocks"] + self.manifest["catalogues"]:
            assert re.fullmatch(r"[1-9][0-9]*-[0-9a-f]{8}", segment["segment"])
            assert {path.name for path in self.folder(segment).iterdir()} == segment["files"].keys()
            for file, expected in segment["files"].items():
                raw = (self.folder(segment) / file).read_bytes()
                assert (len(raw), xxhash.xxh3_128_hexdigest(raw)) == (expected["n_bytes"], expected["xxh3_128"])

    def folder(self, segment) -> Path:
        return self.store / "seg" / segment["segment"]

    def rows(self) -> dict[bytes, tuple[np.ndarray, np.ndarray]]:
        """Vector and states of every live row by key."""
        found = {}
        width, hidden = self.manifest["encoder"]["vector_width"], self.manifest["encoder"]["hidden_width"]
        for block in self.manifest["blocks"]:

            def array(file, dtype, *shape, block=block):
                return np.fromfile(self.folder(block) / file, dtype).reshape(shape)

            n_rows, n_tokens = block["n_rows"], block["n_tokens"]
            keys = [row.tobytes() for row in array("keys", "u1", n_rows, 16)]
            lookup, offsets = array("lookup", "<u4", n_rows), array("offsets", "<u8", n_rows + 1)
            vectors, sums = array("vectors", "<f4", n_rows, width), array("sums", "<u8", n_rows, 2)
            if self.manifest["encoding"] == "int8":
                values, scales = array("states", "i1", n_tokens, hidden), array("scales", "<f4", n_tokens)
                states = values * scales[:, None]
            else:
                values, scales = array("states", "<f2", n_tokens, hidden), np.empty(0, "<f4")
                states = values.astype(np.float32)
            assert [keys[row] for row in lookup] == sorted(keys)
            for row, key in enumerate(keys):
                tokens = slice(int(offsets[row]), int(offsets[row + 1]))
                assert sums[row, 0] == xxhash.xxh3_64_intdigest(key + vectors[row].tobytes())
                raw = scales[tokens].tobytes() + values[tokens].tobytes()
                assert sums[row, 1] == xxhash.xxh3_64_intdigest(key + raw)
                if row not in numbers(block["dead_rows"]):
                    found[key] = (vectors[row], states[tokens])
        return found

    def documents(self) -> dict[int, dict]:
        """Path, text and passages of every live document by id."""
        found = {}
        for catalogue in self.manifest["catalogues"]:
            connection = sqlite3.connect(f"file:{self.folder(catalogue) / 'meta.sqlite'}?immutable=1", uri=True)
            gone = numbers(catalogue["deleted_documents"])
            for id_, path in connection.execute("SELECT id, path FROM documents"):
                if id_ not in gone:
                    found[id_] = {"path": path, "passages": {}}
            for row in connection.execute("SELECT document_id, outline, text, checksum FROM texts"):
                assert row[-1] == checksum_of(row[:-1])
                if row[0] not in gone:
                    found[row[0]]["text"] = row[2].decode()
            columns = 'id, document_id, ordinal, start, "end", first_byte, end_byte, heading, key, checksum'
            for row in connection.execute(f"SELECT {columns} FROM passages ORDER BY id"):
                assert row[-1] == checksum_of(row[:-1])
                if row[1] not in gone:
                    text = found[row[1]]["text"][row[3] : row[4]]
                    assert text.encode() == found[row[1]]["text"].encode()[row[5] : row[6]]
                    assert hashlib.blake2b(text.encode(), digest_size=16).digest() == row[8]
                    found[row[1]]["passages"][row[0]] = text
            self.check_arrays(catalogue, connection)
            connection.close()
        return found

    def check_arrays(self, catalogue, connection) -> None:
        ids = np.fromfile(self.folder(catalogue) / "passage_ids", "<u8")
        owners = np.fromfile(self.folder(catalogue) / "passage_documents", "<u8")
        lengths = np.fromfile(self.folder(catalogue) / "passage_lengths", "<u4")
        expected = connection.execute("SELECT id, document_id FROM passages ORDER BY id").fetchall()
        assert list(zip(ids.tolist(), owners.tolist(), strict=True)) == expected
        counted = "SELECT count(*) FROM word_passages WHERE doc = ?"
        assert [connection.execute(counted, (id_,)).fetchone()[0] for id_ in ids.tolist()] == lengths.tolist()
        live = [int(owner) not in numbers(catalogue["deleted_documents"]) for owner in owners]
        assert catalogue["n_live_passages"] == sum(live)
        assert catalogue["n_live_terms"] == lengths[live].sum()


def numbers(ranges) -> set[int]:
    return {number for first, end in zip(ranges[::2], ranges[1::2], strict=True) for number in range(first, end)}


def checksum_of(fields) -> int:
    hasher = xxhash.xxh3_64()
    for field in fields:
        if isinstance(field, int):
            hasher.update(struct.pack("<q", field))
        else:
            raw = field.encode() if isinstance(field, str) else field
            hasher.update(struct.pack("<q", len(raw)) + raw)
    return struct.unpack("<q", struct.pack("<Q", hasher.intdigest()))[0]


@pytest.mark.parametrize("encoding", ["int8", "fp16"])
def test_a_stranger_reads_what_the_package_wrote(store, tiny, animals, encoding):
    ids = tiny.fill(store, animals, encoding)
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "dog.txt", "Dogs bark loudly. 🦊 and the dog wake", id_=ids[1])
        writer.remove_document(ids[3])
        writer.commit()
    stranger = Stranger(store)
    with open_snapshot(store) as snapshot:
        expected = {
            info.id: {
                "path": info.path,
                "text": snapshot.document(info.id).text,
                "passages": {
                    passage.id: snapshot.passage_texts([passage.id])[0]
                    for passage in snapshot.document_passages(info.id)
                },
            }
            for info in snapshot.iter_documents()
        }
        assert stranger.documents() == expected
        rows = stranger.rows()
        keys = sorted({p.key for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)})
        assert sorted(rows) == keys
        for key, vector, states in zip(keys, snapshot.vectors(keys), snapshot.states(keys), strict=True):
            np.testing.assert_array_equal(rows[key][0], vector)
            np.testing.assert_array_equal(rows[key][1], states)


def test_the_page_names_every_file(filled, tiny):
    kinds = {name.name for name in tiny.files(filled) if name.parts[0] == "seg"}
    assert kinds == names.BLOCK_FILES | names.CATALOGUE_FILES | {names.SCALES}
    assert {kind for kind in kinds if f"`{kind}`" not in PAGE} == set()
    assert all(word in PAGE for word in ("LOCK", "MANIFEST-<N>", "MANIFEST.tmp", "seg/<G>-", names.QUARANTINE_SUFFIX))
