"""What might somebody prepare who wants to lead a reader astray? Each entry makes one such store of a whole one."""

from __future__ import annotations

import json
import os
import pickle
import socket
import sqlite3
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from parts.tiny_store import Tiny

from deformer_qa.store import Writer, names
from deformer_qa.store.segments import catalogue as schema
from deformer_qa.store.segments.block import vector_sum

Change = Callable[[dict[str, Any]], Any]
HEAD = "MANIFEST-3"


def make_whole(store: Path) -> None:
    """Three generations with a vector index, deleted documents and dead rows; one catalogue and one block hold most."""
    tiny = Tiny()
    texts = {f"{number}.txt": f"Number {number} sleeps. The fox saw {number} dogs by the river" for number in range(6)}
    ids = tiny.fill(store, texts)
    with Writer.open(store, tiny.encoder) as writer:
        writer.set_vector_index("IVF4_HNSW4,SQ8")
        writer.merge()
        tiny.put(writer, "0.txt", "The text has changed. Dogs bark", id_=ids[0])
        writer.remove_document(ids[3])
        writer.commit()


def write_manifest(store: Path, body: bytes, name: str = HEAD, format_number: int = 1) -> None:
    """A manifest with a right checksum."""
    checksum = xxhash.xxh3_128_hexdigest(b"deformer-qa-store %d\n" % format_number + body)
    (store / name).write_bytes(b"deformer-qa-store %d %s\n" % (format_number, checksum.encode()) + body)


def fields_of(store: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((store / HEAD).read_bytes().split(b"\n", 1)[1])
    return fields


def rewrite(store: Path, change: Change) -> None:
    """Give the head manifest another content with a right checksum."""
    fields = fields_of(store)
    changed = change(fields)
    write_manifest(store, json.dumps(fields if changed is None else changed).encode())


def put(*place: Any) -> Change:
    """Set a value, given last, at a place of the manifest."""
    *path, key, value = place

    def change(fields: dict[str, Any]) -> None:
        at: Any = fields
        for step in path:
            at = at[step]
        at[key] = value

    return change


def _add_file(name: str) -> Change:
    return put("catalogues", 0, "files", name, {"n_bytes": 1, "xxh3_128": "0" * 32})


def _named(name: str) -> dict[str, Change]:
    return {f"a segment called {name!r}": put("blocks", 0, "segment", name)}


NONSENSE: dict[str, Change] = {
    **{
        k: c
        for n in ("../../etc", "/etc", "1-../../x", "1-0000000", "", None, 3, "9-00000000")
        for k, c in _named(n).items()
    },
    **{f"a file called {n!r}": _add_file(n) for n in ("../../../etc/passwd", "/etc/passwd", "extra")},
    "a block without keys": lambda fields: fields["blocks"][0]["files"].pop("keys") and None,
    "no blocks": lambda fields: fields.pop("blocks") and None,
    "a list": lambda fields: [],
    "a text": lambda fields: "text",
    "a segment named twice": lambda fields: fields["blocks"].append(fields["blocks"][0]),
    "-1 rows": put("blocks", 0, "n_rows", -1),
    "2.0 rows": put("blocks", 0, "n_rows", 2.0),
    "true rows": put("blocks", 0, "n_rows", True),
    "NaN rows": put("blocks", 0, "n_rows", float("nan")),
    "2**40 rows": put("blocks", 0, "n_rows", 1 << 40),
    "dead rows backwards": put("blocks", 0, "dead_rows", [3, 1]),
    "dead rows beyond the end": put("blocks", 0, "dead_rows", [0, 10**9]),
    "half a range of dead rows": put("blocks", 0, "dead_rows", [0]),
    "dead rows as text": put("blocks", 0, "dead_rows", ["0", "1"]),
    "a million dead ranges": put("blocks", 0, "dead_rows", list(range(2_000_000))),
    "negative documents": put("catalogues", 0, "deleted_documents", [-1, 3]),
    "10**9 passages": put("catalogues", 0, "n_live_passages", 10**9),
    "no vector": put("encoder", "vector_width", 0),
    "a width as text": put("encoder", "vector_width", "8"),
    "an encoder described by a list": put("encoder", "about", []),
    "an encoder with weights": put("encoder", "weights", "pickle"),
    "an unknown encoding": put("encoding", "pickle"),
    "its own parent": put("parent", 3),
    "a parent as text": put("parent", "1"),
    "a number as root": put("roots", [1]),
    "a list as feature": put("features", [[]]),
    "ids without end": put("next_document_id", 1 << 63),
    "another generation": put("generation", 1),
    "a file of 2**62 bytes": put("blocks", 0, "files", "vectors", {"n_bytes": 1 << 62, "xxh3_128": "0" * 32}),
    "2**31 rows": put("blocks", 0, "n_rows", (1 << 32) - 1),
}


class Canary:
    """Unpickled, it makes a file: nothing may ever unpickle it."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mknod, (self.path,)


def segment(store: Path, kind: str) -> Path:
    """The folder of the head's first block or catalogue."""
    return store / "seg" / str(fields_of(store)[kind][0]["segment"])


def accept(store: Path, kind: str) -> None:
    """Give the manifest the sizes and checksums of the files of that segment as they are now."""
    rewrite(store, put(kind, 0, "files", {file.name: sum_of(file) for file in segment(store, kind).iterdir()}))


def sum_of(file: Path) -> dict[str, Any]:
    """Size and checksum of a file, as a manifest has them."""
    content = file.read_bytes()
    return {"n_bytes": len(content), "xxh3_128": xxhash.xxh3_128_hexdigest(content)}


def _with_array(file: str, change: Callable[[Any], Any], dtype: str, sums: bool = True) -> Callable[[Path], None]:
    """An array of the block changed, with right checksums of rows and files."""

    def make(store: Path) -> None:
        folder = segment(store, "blocks")
        array = np.frombuffer((folder / file).read_bytes(), dtype).copy()
        change(array)
        (folder / file).write_bytes(array.tobytes())
        if sums:
            _sum_rows(folder)
        accept(store, "blocks")

    return make


def _sum_rows(folder: Path) -> None:
    keys = (folder / names.KEYS).read_bytes()
    vectors = np.frombuffer((folder / names.VECTORS).read_bytes(), "<f4").reshape(-1, Tiny.encoder.vector_width)
    states = np.frombuffer((folder / names.STATES).read_bytes(), "i1").reshape(-1, Tiny.encoder.hidden_width)
    scales = np.frombuffer((folder / names.SCALES).read_bytes(), "<f4")
    offsets = np.frombuffer((folder / names.OFFSETS).read_bytes(), "<u8").astype(int)
    sums = np.empty((len(vectors), 2), "<u8")
    for row, (start, end) in enumerate(pairwise(offsets)):
        key = keys[16 * row : 16 * row + 16]
        sums[row, 0] = vector_sum(key, vectors[row])
        sums[row, 1] = xxhash.xxh3_64_intdigest(key + scales[start:end].tobytes() + states[start:end].tobytes())
    (folder / names.SUMS).write_bytes(sums.tobytes())


def _with_sql(*statements: str) -> Callable[[Path], None]:
    """The catalogue's database changed by SQL, with right checksums of rows and files."""

    def make(store: Path) -> None:
        file = segment(store, "catalogues") / names.CATALOGUE
        connection = sqlite3.connect(file, isolation_level=None)
        connection.create_function("checksum", -1, lambda *fields: schema.row_checksum(fields), deterministic=True)
        for statement in statements:
            connection.executescript(statement) if ";" in statement else connection.execute(statement)
        connection.close()
        accept(store, "catalogues")

    return make


def _resummed(table: str, columns: dict[str, type]) -> str:
    listed = ", ".join(f'"{name}"' for name in columns if name != "checksum")
    return f"UPDATE {table} SET checksum = checksum({listed})"


def _with_bytes(at: int, content: bytes) -> Callable[[Path], None]:
    """The database's own bytes changed, with a right checksum of the file."""

    def make(store: Path) -> None:
        file = segment(store, "catalogues") / names.CATALOGUE
        whole = bytearray(file.read_bytes())
        whole[at : at + len(content)] = content
        file.write_bytes(whole)
        accept(store, "catalogues")

    return make


def _replaced(path: str, by: str) -> Callable[[Path], None]:
    """Something else in the place of a file or folder; what was there lies outside."""

    def make(store: Path) -> None:
        place = store / path.replace("BLOCK", f"seg/{segment(store, 'blocks').name}").replace(
            "CATALOGUE", f"seg/{segment(store, 'catalogues').name}"
        )
        outside = store.parent / "outside"
        os.rename(place, outside)
        if by == "link":
            place.symlink_to(outside)
        elif by == "pipe":
            os.mkfifo(place)
        elif by == "folder":
            place.mkdir()
        elif by == "loop":
            place.symlink_to(place.name)
        elif by == "device":
            place.symlink_to("/dev/zero")
        else:
            with socket.socket(socket.AF_UNIX) as ours:
                before = os.getcwd()
                os.chdir(place.parent)  # the name of a socket has little room
                ours.bind(place.name)
                os.chdir(before)

    return make


def _sparse(path: str, n_bytes: int) -> Callable[[Path], None]:
    def make(store: Path) -> None:
        os.truncate(store / path, n_bytes) if (store / path).exists() else (store / path).write_bytes(b"")
        os.truncate(store / path, n_bytes)

    return make


def pickle_as(kind: str, file: str) -> Callable[[Path], None]:
    """A pickle that makes a file when it is loaded, in the place of another file."""

    def make(store: Path) -> None:
        place = segment(store, kind) / file
        content = pickle.dumps(Canary(store.parent / "canary"))
        place.write_bytes((content + bytes(place.stat().st_size))[: max(len(content), place.stat().st_size)])
        accept(store, kind)

    return make


def _pickled_manifest(store: Path) -> None:
    (store / HEAD).write_bytes(pickle.dumps(Canary(store.parent / "canary")))


def _backwards(array: Any) -> None:
    array[:] = array[::-1].copy()


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def _many_manifests(store: Path) -> None:
    for number in range(3, 3000):
        (store / f"MANIFEST-{number}").write_bytes(b"")


def _last_number(store: Path) -> None:
    (store / "MANIFEST-999999999999999.damaged").write_bytes(b"")


def _many_rows(store: Path) -> None:
    """Four million rows, all of them holes in files of the right size."""
    folder, n_rows = segment(store, "blocks"), 1 << 22
    sizes = {"vectors": 32, "states": 6, "scales": 4, "offsets": 8, "keys": 16, "lookup": 4, "sums": 16}
    fields = fields_of(store)
    fields["blocks"][0] |= {"n_rows": n_rows, "n_tokens": n_rows}
    for file, width in sizes.items():
        n_bytes = width * (n_rows + (file == "offsets"))
        (folder / file).unlink()
        _sparse(str((folder / file).relative_to(store)), n_bytes)(store)
        fields["blocks"][0]["files"][file]["n_bytes"] = n_bytes
    write_manifest(store, json.dumps(fields).encode())


_VIEW = "ALTER TABLE documents RENAME TO old; CREATE VIEW documents AS "
_COLUMNS = "path, title, content_hash, source_state, meta, n_passages, checksum"
_REST = f"{_COLUMNS} FROM old;"
_FOREVER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS "
_NULLS = "NULL AS root, NULL AS path, NULL AS title, NULL AS content_hash, NULL AS source_state, NULL AS meta, "

_DOCUMENTS = _resummed("documents", schema.DOCUMENTS)
_TEXTS = _resummed("texts", schema.TEXTS)
_PASSAGES = _resummed("passages", schema.PASSAGES)

STORES: dict[str, Callable[[Path], None]] = {
    **{f"manifest: {name}": (lambda change: lambda store: rewrite(store, change))(c) for name, c in NONSENSE.items()},
    "manifest: json nested without end": lambda store: write_manifest(store, b"[" * 200_000),
    "manifest: a number of 10,000 digits": lambda store: write_manifest(store, b"9" * 10_000),
    "manifest: no utf-8": lambda store: write_manifest(store, b'{"generation":"\xff\xfe"}'),
    "manifest: half a character": lambda store: rewrite(store, put("encoder", "about", {"name": "\ud800"})),
    "manifest: a format of six digits": lambda store: write_manifest(store, b"{}", format_number=999_999),
    "manifest: a terabyte of holes": _sparse(HEAD, 1 << 40),
    "manifest: 200 MiB of holes": _sparse(HEAD, 200 << 20),
    "manifest: a pickle": _pickled_manifest,
    "manifests: three thousand": _many_manifests,
    "manifests: the last number there is": _last_number,
    **{f"{by} for {path}": _replaced(path, by) for by, path in (
        *(("link", place) for place in (HEAD, "LOCK", "seg", "BLOCK", "BLOCK/vectors", "CATALOGUE/meta.sqlite")),
        *(("pipe", place) for place in (HEAD, "LOCK", "seg", "BLOCK", "BLOCK/states", "CATALOGUE/meta.sqlite")),
        *(("socket", place) for place in (HEAD, "BLOCK/keys", "CATALOGUE/passage_ids")),
        *(("folder", place) for place in (HEAD, "LOCK", "CATALOGUE/meta.sqlite")),
        *(("loop", place) for place in ("seg", "BLOCK/sums")),
        *(("device", place) for place in (HEAD, "BLOCK/vectors", "CATALOGUE/meta.sqlite")),
    )},
    "block: NaN vectors": _with_array("vectors", lambda a: a.fill(np.nan), "<f4"),
    "block: one NaN": _with_array("vectors", lambda a: a.__setitem__(-30, np.nan), "<f4"),
    "block: infinite vectors": _with_array("vectors", lambda a: a.__setitem__(slice(-9, None), np.inf), "<f4"),
    "block: NaN scales": _with_array("scales", lambda a: a.fill(np.nan), "<f4"),
    "block: infinite scales": _with_array("scales", lambda a: a.fill(-np.inf), "<f4"),
    "block: offsets beyond the end": _with_array("offsets", lambda a: a.fill(2**63 + 5), "<u8", sums=False),
    "block: offsets backwards": _with_array("offsets", _backwards, "<u8", sums=False),
    "block: a lookup beyond the end": _with_array("lookup", lambda a: a.fill(2**32 - 1), "<u4", sums=False),
    "block: one key for all": _with_array("keys", lambda a: a.fill(7), "u1"),
    "block: four million rows of holes": _many_rows,
    "block: a pickle for vectors": pickle_as("blocks", "vectors"),
    "catalogue: a pickle for passage_ids": pickle_as("catalogues", "passage_ids"),
    "catalogue: a pickle for meta.sqlite": pickle_as("catalogues", "meta.sqlite"),
    "sql: a view that loads an extension": _with_sql(f"{_VIEW} SELECT id, load_extension('x') AS root, {_REST}"),
    "sql: a view without end": _with_sql(f"{_VIEW} {_FOREVER} id, {_NULLS} 1 AS n_passages, 1 AS checksum FROM c;"),
    "sql: a view of a gigabyte": _with_sql(f"{_VIEW} SELECT id, hex(zeroblob(500000000)) AS root, {_REST}"),
    "sql: a column computed": _with_sql(
        f"CREATE TABLE made (id INTEGER PRIMARY KEY, root TEXT AS (hex(zeroblob(40000000))), {_COLUMNS}); "
        f"INSERT INTO made SELECT id, {_COLUMNS} FROM documents; "
        "DROP TABLE documents; ALTER TABLE made RENAME TO documents;"
    ),
    "sql: triggers": _with_sql("CREATE TRIGGER t AFTER INSERT ON documents BEGIN DELETE FROM documents; END;"),
    "sql: a virtual table for documents": _with_sql(
        f"DROP TABLE documents; CREATE VIRTUAL TABLE documents USING fts5(id, root, {_COLUMNS});"
    ),
    "sql: no tables": _with_sql("DROP TABLE documents; DROP TABLE texts; DROP TABLE passages;"),
    "sql: words elsewhere": _with_sql("CREATE VIRTUAL TABLE words USING fts5(b,content='documents');"),
    "sql: deep json": _with_sql(f"UPDATE documents SET meta = '{_nested(100_000)}'", _DOCUMENTS),
    "sql: no json": _with_sql("UPDATE documents SET meta = 'no json'", _DOCUMENTS),
    "sql: a deep outline": _with_sql(f"UPDATE texts SET outline = '{_nested(100_000)}'", _TEXTS),
    "sql: an outline of numbers": _with_sql("UPDATE texts SET outline = '[1, 2]'", _TEXTS),
    "sql: a text that is no utf-8": _with_sql("UPDATE texts SET text = x'fffe00'", _TEXTS),
    "sql: a text as text": _with_sql("UPDATE texts SET text = 'text'", _TEXTS),
    "sql: numbers as text": _with_sql(
        "UPDATE documents SET root = 5, path = x'00', n_passages = 'many'", _DOCUMENTS
    ),
    "sql: a passage beyond its text": _with_sql(
        'UPDATE passages SET first_byte = 0, end_byte = 4000000000000, "end" = 9000000000000',
        _PASSAGES,
    ),
    "sql: a passage backwards": _with_sql(
        "UPDATE passages SET first_byte = -5, end_byte = -9000000000000", _PASSAGES
    ),
    "sqlite: a huge page count": _with_bytes(28, b"\x7f\xff\xff\xff"),
    "sqlite: pages of one byte": _with_bytes(16, b"\x00\x01"),
    "sqlite: a free list in a circle": _with_bytes(32, b"\x00\x00\x00\x02\x00\x00\xff\xff"),
    "sqlite: zeros": _with_bytes(0, bytes(8192)),
    "sqlite: pages of letters": _with_bytes(4096, b"SELECT " * 2000),
}  # fmt: skip

HARMLESS = {  # what need not be refused: readers take no lock, and no text comes from a word index
    *("link for LOCK", "pipe for LOCK", "folder for LOCK"),
    *("catalogue: a pickle for passage_ids", "sql: words elsewhere", "sqlite: a free list in a circle"),
}
