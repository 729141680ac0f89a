"""docs/reference/format.md is enough to write a reader: this one knows the page and nothing of the package."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import struct
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xxhash
from parts.tiny_store import ENCODINGS

from deformer_qa.store import Writer, names, open_snapshot
from deformer_qa.store.segments import words

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "format.md").read_text()


class Stranger:
    """A reader written from the page."""

    def __init__(self, store: Path) -> None:
        self.store = store
        newest = max(int(path.name[9:]) for path in store.glob("MANIFEST-*") if path.name[9:].isdigit())
        content = (store / f"MANIFEST-{newest}").read_bytes()
        header, body = content.split(b"\n", 1)
        name, number, checksum = header.decode().split(" ")
        assert (name, number) == ("deformer-qa-store", "1")
        assert checksum == xxhash.xxh3_128_hexdigest(f"{name} {number}\n".encode() + body)
        self.manifest = json.loads(body)
        codebooks = [self.manifest["codebook"]] if self.manifest["codebook"] else []
        for segment in self.manifest["blocks"] + self.manifest["catalogues"] + self.manifest["indexes"] + codebooks:
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
            scales = np.empty((n_tokens, 0), "<f4")
            if self.manifest["encoding"] == "int8":
                values, scales = array("states", "i1", n_tokens, hidden), array("scales", "<f4", n_tokens, 1)
                states = values * scales
            elif self.manifest["encoding"] == "int4":
                values = array("states", "u1", n_tokens, hidden // 2)
                scales = array("scales", "<f2", n_tokens, -(-hidden // 32))
                halves = np.stack([values % 16, values // 16], axis=2).reshape(n_tokens, hidden)
                states = (halves.astype(np.float32) - 8) * np.repeat(scales.astype(np.float32), 32, axis=1)[:, :hidden]
            elif self.manifest["encoding"] == "pq6":
                values = array("states", "u1", n_tokens, hidden // 6)
                states = self.decoded(values, hidden)
            else:
                values = array("states", "<f2", n_tokens, hidden)
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

    def decoded(self, codes: np.ndarray, hidden: int) -> np.ndarray:
        flat = np.fromfile(self.folder(self.manifest["codebook"]) / "codebook", "<f4")
        mean, rotation = flat[:hidden], flat[hidden : hidden + hidden**2].reshape(hidden, hidden)
        centroids = flat[hidden + hidden**2 :].reshape(hidden // 6, 256, 6)
        rotated = np.concatenate([centroids[m][codes[:, m]] for m in range(hidden // 6)], axis=1)
        return rotated @ rotation.T + mean

    def documents(self) -> dict[int, dict]:
        """Path, text and passages of every live document by id."""
        found = {}
        for catalogue in self.manifest["catalogues"]:
            connection = sqlite3.connect(f"file:{self.folder(catalogue) / 'meta.sqlite'}?immutable=1", uri=True)
            gone = numbers(catalogue["deleted_documents"])
            (mark,) = connection.execute("PRAGMA user_version").fetchone()
            assert mark % 2**32 == int(catalogue["segment"].split("-")[1], 16)
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
            self.check_words(catalogue, connection)
            connection.close()
        return found

    def check_arrays(self, catalogue, connection) -> None:
        ids = np.fromfile(self.folder(catalogue) / "passage_ids", "<u8")
        owners = np.fromfile(self.folder(catalogue) / "passage_documents", "<u8")
        lengths = np.fromfile(self.folder(catalogue) / "passage_lengths", "<u4")
        expected = connection.execute("SELECT id, document_id FROM passages ORDER BY id").fetchall()
        assert list(zip(ids.tolist(), owners.tolist(), strict=True)) == expected
        assert catalogue["n_terms"] == lengths.sum()
        live = [int(owner) not in numbers(catalogue["deleted_documents"]) for owner in owners]
        assert catalogue["n_live_passages"] == sum(live)
        assert catalogue["n_live_terms"] == lengths[live].sum()

    def check_words(self, catalogue, connection) -> None:
        """The postings are what FTS5 says of titles, headings and texts."""
        folder, n_words = self.folder(catalogue), catalogue["n_words"]
        lengths = np.fromfile(folder / "passage_lengths", "<u4")
        words, offsets = (folder / "words").read_bytes(), np.fromfile(folder / "word_offsets", "<u8").reshape(-1, 2)
        places, counts = np.fromfile(folder / "posting_places", "<u4"), np.fromfile(folder / "posting_counts", "<u4")
        assert (len(offsets), len(places), len(counts)) == (n_words + 1, *2 * [catalogue["n_postings"]])
        own = sqlite3.connect(":memory:")
        tokenizer = re.search(r"tokenizer\s+`(.*?)`", PAGE)
        assert tokenizer is not None
        own.execute(f"CREATE VIRTUAL TABLE t USING fts5(title, heading, body, tokenize='{tokenizer[1]}')")
        own.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, instance)")
        sql = (
            "SELECT title, heading, text, first_byte, end_byte FROM passages p JOIN documents d ON d.id = p.document_id"
        )
        sql += " JOIN texts t ON t.document_id = d.id ORDER BY p.id"
        for place, (title, heading, text, first, end) in enumerate(connection.execute(sql)):
            row = (place, *map(spelled, (title, heading, text[first:end].decode())))
            own.execute("INSERT INTO t(rowid, title, heading, body) VALUES (?, ?, ?, ?)", row)
        expected = own.execute("SELECT term, doc, count(*) FROM v GROUP BY term, doc ORDER BY term, doc").fetchall()
        found = [
            (words[int(offsets[word, 0]) : int(offsets[word + 1, 0])].decode(), int(places[n]), int(counts[n]))
            for word in range(n_words)
            for n in range(int(offsets[word, 1]), int(offsets[word + 1, 1]))
        ]
        assert found == expected
        bounds = np.fromfile(folder / "word_bounds", "<f4")
        mean = lengths.sum() / len(lengths)
        for word, bound in enumerate(bounds):
            held = slice(int(offsets[word, 1]), int(offsets[word + 1, 1]))
            shares = counts[held] / (counts[held] + 1.2 * (0.25 + 0.75 * lengths[places[held]] / mean))
            assert shares.max() <= bound <= shares.max() + 1e-6

    def check_indexes(self) -> int:
        """Every row of the covered blocks lies in one list, near its code; returns how many there are."""
        n_rows = 0
        width = self.manifest["encoder"]["vector_width"]
        blocks = {block["segment"]: block for block in self.manifest["blocks"]}
        for index in self.manifest["indexes"]:
            folder = self.folder(index)
            vectors = [
                np.fromfile(self.folder(blocks[block["segment"]]) / "vectors", "<f4").reshape(block["n_rows"], width)
                for block in index["covers"]
            ]
            rows, scales = np.fromfile(folder / "list_rows", "<u4"), np.fromfile(folder / "list_scales", "<f4")
            codes = np.fromfile(folder / "list_codes", "i1").reshape(-1, width)
            assert sorted(rows.tolist()) == list(range(sum(map(len, vectors))))
            errors = np.abs(np.concatenate(vectors)[rows] - codes * scales[:, None])
            assert (errors <= 0.5001 * scales[:, None]).all()
            offsets = np.fromfile(folder / "list_offsets", "<u8")
            n_lists = int(re.match(r"IVF(\d+)", index["factory"])[1])
            assert (len(offsets), offsets[0], offsets[-1]) == (n_lists + 1, 0, len(rows))
            centroids = np.fromfile(folder / "centroids", "<f4").reshape(n_lists, width)
            distances = ((np.concatenate(vectors)[rows][:, None] - centroids[None]) ** 2).sum(axis=2)
            own = np.repeat(np.arange(n_lists), np.diff(offsets.astype(int)))
            assert (distances[np.arange(len(rows)), own] <= distances.min(axis=1) + 1e-4).all()
            assert 1 <= index["n_probes"] <= n_lists
            n_rows += len(rows)
        return n_rows


def spelled(text: str) -> str:
    """A text as the page's paragraph on spelling has it."""
    rows = dict(re.findall(r"^\| (letters in pairs|other forms|points|signs) \| (.*) \|$", PAGE, re.M))
    ranges = {
        name: "".join(
            f"{chr(int(first, 16))}-{chr(int(last or first, 16))}"
            for first, last in re.findall(r"\b([0-9A-F]{4,6})(?:-([0-9A-F]{4,6}))?\b", row)
        )
        for name, row in rows.items()
    }
    both = ranges["letters in pairs"] + ranges["other forms"]

    def is_sign(character: str) -> bool:
        return bool(re.match(f"[{ranges['signs']}]", character)) and unicodedata.category(character)[0] == "M"

    def in_pairs(run: re.Match[str]) -> str:
        letters: list[str] = []
        for character in run[0]:
            if letters and is_sign(character):
                letters[-1] += character
            else:
                letters.append(character)
        return " " + " ".join([*letters, *(a + b for a, b in pairwise(letters))]) + " "

    text = re.sub(
        f"[{both}][{both}\u200b-\u200d\u2060]*",
        lambda run: unicodedata.normalize("NFKC", re.sub("[\u200b-\u200d\u2060]", "", run[0])),
        text,
    )
    text = re.sub(f"[{ranges['points']}]", "", text)
    text = re.sub(f"[{ranges['letters in pairs']}]+", in_pairs, text)
    return "".join(chr(0xF0000 + ord(one)) if is_sign(one) else one for one in text)


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


@pytest.mark.parametrize("encoding", ENCODINGS)
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
            np.testing.assert_allclose(rows[key][1], states, rtol=0, atol=1e-6)


@pytest.mark.parametrize("factory", ["IVF4,SQ8", "IVF8_HNSW4,SQ8"])
def test_a_stranger_finds_the_vector_index_as_the_page_says(filled, tiny, factory):
    with Writer.open(filled, tiny.encoder) as writer:
        writer.set_vector_index(factory)
        assert writer.merge()
    assert Stranger(filled).check_indexes() == 13


def test_the_page_names_every_file(filled, tiny):
    with Writer.open(filled, tiny.encoder) as writer:
        writer.set_vector_index("IVF8_HNSW4,SQ8")
        writer.merge()
    kinds = {name.name for name in tiny.files(filled) if name.parts[0] == "seg"}
    assert kinds == names.BLOCK_FILES | names.CATALOGUE_FILES | names.INDEX_FILES | {names.SCALES, names.CENTROID_GRAPH}
    kinds |= names.CODEBOOK_FILES
    assert {kind for kind in kinds if f"`{kind}`" not in PAGE} == set()
    assert all(word in PAGE for word in ("LOCK", "MANIFEST-<N>", "MANIFEST.tmp", "seg/<G>-", names.QUARANTINE_SUFFIX))


def test_the_page_says_how_the_package_spells() -> None:
    every = [chr(code) for code in range(0x20, 0x20010) if not 0xD800 <= code < 0xE000]
    text = " ".join("".join(every[start : start + 5]) for start in range(0, len(every), 4))
    assert spelled(text) == words.spelled(text)
    for known in (text[:2000], "naïve Élan 1854, Ἀθῆναι, Москва́ e\u0301 🦊"):
        assert spelled(known) == words.spelled(known) == known
