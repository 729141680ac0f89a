"""Opening a store that somebody prepared leads nowhere else and runs nothing."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
import xxhash

import deformer_qa.store as package
from deformer_qa.store import StoreDamaged, StoreError, Writer, open_snapshot, verify


def rewrite(store, change) -> None:
    """Give the head manifest another content with a right checksum."""
    manifest = store / "MANIFEST-2"
    fields = json.loads(manifest.read_bytes().split(b"\n", 1)[1])
    changed = change(fields)
    body = json.dumps(fields if changed is None else changed).encode()
    checksum = xxhash.xxh3_128_hexdigest(b"deformer-qa-store 1\n" + body)
    manifest.write_bytes(b"deformer-qa-store 1 %s\n" % checksum.encode() + body)


def rename_segment(name):
    def change(fields):
        fields["blocks"][0]["segment"] = name

    return change


def add_file(name):
    def change(fields):
        fields["catalogues"][0]["files"][name] = {"n_bytes": 1, "xxh3_128": "0" * 32}

    return change


def put(*place):
    *path, key, value = place

    def change(fields):
        for step in path:
            fields = fields[step]
        fields[key] = value

    return change


NONSENSE = [
    *(rename_segment(name) for name in ("../../etc", "/etc", "1-../../x", "1-0000000", "", None, 3, "9-00000000")),
    *(add_file(name) for name in ("../../../etc/passwd", "/etc/passwd", "extra")),
    lambda fields: fields["blocks"][0]["files"].pop("keys") and None,
    lambda fields: fields.pop("blocks") and None,
    lambda fields: [],
    lambda fields: "text",
    lambda fields: fields["blocks"].append(fields["blocks"][0]),
    put("blocks", 0, "n_rows", -1),
    put("blocks", 0, "n_rows", 2.0),
    put("blocks", 0, "n_rows", True),
    put("blocks", 0, "n_rows", 1 << 40),
    put("blocks", 0, "dead_rows", [3, 1]),
    put("blocks", 0, "dead_rows", [0, 10**9]),
    put("blocks", 0, "dead_rows", [0]),
    put("blocks", 0, "dead_rows", ["0", "1"]),
    put("catalogues", 0, "deleted_documents", [-1, 3]),
    put("catalogues", 0, "n_live_passages", 10**9),
    put("encoder", "vector_width", 0),
    put("encoder", "vector_width", "8"),
    put("encoder", "about", []),
    put("encoder", "weights", "pickle"),
    put("encoding", "pickle"),
    put("parent", 2),
    put("parent", "1"),
    put("roots", [1]),
    put("features", [[]]),
    put("next_document_id", 1 << 63),
    put("generation", 1),
]


@pytest.mark.parametrize("change", NONSENSE)
def test_a_manifest_that_makes_no_sense_is_damage_whatever_its_checksum(filled, change):
    rewrite(filled, change)
    with open_snapshot(filled) as snapshot:
        assert snapshot.generation == 1
        assert snapshot.notice is not None
    assert [damage.file for damage in verify(filled)] == ["MANIFEST-2"]


def test_json_nested_without_end_is_damage(filled):
    body = b"[" * 200_000
    checksum = xxhash.xxh3_128_hexdigest(b"deformer-qa-store 1\n" + body)
    (filled / "MANIFEST-2").write_bytes(b"deformer-qa-store 1 %s\n" % checksum.encode() + body)
    assert open_snapshot(filled).generation == 1


@pytest.mark.parametrize("name", ["vectors", "meta.sqlite", "passage_ids"])
def test_a_link_in_place_of_a_file_is_refused(filled, tmp_path, name):
    with open_snapshot(filled) as snapshot:
        segments = snapshot.manifest.segment_names
    file = next(path for path in filled.glob(f"seg/*/{name}") if path.parent.name in segments)
    os.rename(file, tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreDamaged, match=f"{name}: expected a plain file"):
        open_snapshot(filled)
    assert str(file.relative_to(filled)) in {damage.file for damage in verify(filled)}


def test_a_link_in_place_of_a_segment_or_of_all_segments_is_refused(filled, tmp_path):
    with open_snapshot(filled) as snapshot:
        segment = snapshot.manifest.blocks[0].segment
    os.rename(filled / "seg" / segment, tmp_path / "elsewhere")
    (filled / "seg" / segment).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreDamaged, match="cannot open it"):
        open_snapshot(filled)
    os.rename(filled / "seg", tmp_path / "all")
    (filled / "seg").symlink_to(tmp_path / "all")
    with pytest.raises(StoreDamaged, match="cannot open it"):
        open_snapshot(filled)


def test_a_link_or_pipe_in_place_of_a_manifest_does_not_hang_or_lead_elsewhere(filled, tmp_path):
    os.rename(filled / "MANIFEST-2", tmp_path / "elsewhere")
    (filled / "MANIFEST-2").symlink_to(tmp_path / "elsewhere")
    assert open_snapshot(filled).generation == 1
    (filled / "MANIFEST-2").unlink()
    os.mkfifo(filled / "MANIFEST-2")
    assert open_snapshot(filled).generation == 1


def test_collection_removes_links_and_not_what_they_lead_to(filled, tiny, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "letters").write_text("keep me")
    (filled / "seg" / "1-00000000").symlink_to(precious)
    (filled / "seg" / "not-ours").mkdir()
    (filled / "seg" / "not-ours" / "file").write_text("keep me too")
    (filled / "notes.txt").write_text("and me")
    Writer.open(filled, tiny.encoder).close()
    assert (precious / "letters").read_text() == "keep me"
    assert not (filled / "seg" / "1-00000000").is_symlink()
    assert (filled / "seg" / "not-ours" / "file").read_text() == "keep me too"
    assert (filled / "notes.txt").read_text() == "and me"


def test_a_lock_that_is_a_link_is_refused(filled, tiny, tmp_path):
    (tmp_path / "victim").write_text("keep me")
    (filled / "LOCK").unlink()
    (filled / "LOCK").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreError):
        Writer.open(filled, tiny.encoder)
    assert (tmp_path / "victim").read_text() == "keep me"


def test_a_database_with_views_and_triggers_of_its_own_runs_none_of_them(filled, tiny, tmp_path):
    """A catalogue whose tables are replaced by views fails its rows' checksums or SQLite's distrust."""
    with open_snapshot(filled) as snapshot:
        segment = snapshot.manifest.catalogues[0].segment
    file = filled / "seg" / segment / "meta.sqlite"
    connection = sqlite3.connect(file)
    connection.executescript(
        "ALTER TABLE documents RENAME TO old; "
        "CREATE VIEW documents AS SELECT id, load_extension('x') AS root, path, title, content_hash, source_state, "
        "meta, n_passages, checksum FROM old;"
    )
    connection.close()
    n_bytes = file.stat().st_size

    def accept(fields):
        entry = next(entry for entry in fields["catalogues"] if entry["segment"] == segment)
        entry["files"]["meta.sqlite"] = {
            "n_bytes": n_bytes,
            "xxh3_128": xxhash.xxh3_128_hexdigest(file.read_bytes()),
        }

    rewrite(filled, accept)
    with open_snapshot(filled) as snapshot, pytest.raises(StoreDamaged):
        list(snapshot.iter_documents())


def test_the_package_loads_no_pickles():
    sources = {file.name: file.read_text() for file in Path(package.__file__).parent.glob("*.py")}
    words = ("pickle", "torch", "eval(", "exec(", "allow_pickle", "np.load", "marshal", "shelve", "haystack")
    assert {name: word for name, source in sources.items() for word in words if word in source} == {}
