"""An exported and imported store answers identically; what is not exactly an export is refused with its place."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import xxhash
from parts.interruptions import Killed, interrupted, play_dead
from safetensors.numpy import load_file, save_file

from deformer_qa.store import (
    FolderTaken,
    InvalidExport,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreMissing,
    Writer,
    disk,
    export_store,
    import_store,
    open_snapshot,
    verify,
)
from deformer_qa.store.records import to_json
from deformer_qa.store.upkeep import export, import_


def exported(store: Path, folder: Path) -> Path:
    with open_snapshot(store) as snapshot:
        export_store(snapshot, folder)
    return folder


@pytest.fixture
def rich(store, tiny, animals):
    """A store of several segments, with documents edited, moved and removed, and all that a record can hold."""
    ids = tiny.fill(store, animals)
    with Writer.open(store, tiny.encoder) as writer:
        tiny.put(writer, "dog.txt", "Dogs bark loudly. The dog wakes near the river bank", id_=ids[1])
        writer.remove_document(ids[3])
        fields = {"meta": {"é": [1, 2.5, None, {"a": True}]}, "outline": ((0, "Top\u2028line"), (3, ""))}
        tiny.put(writer, "rich.txt", "Line one\nand\u2028two. \ufeff\0 nought", heading="A › B", **fields)
        tiny.put(writer, "empty.txt", "")
        writer.move_document(ids[4], root="/other", path="trout.txt", source_state="x")
        writer.set_roots([tiny.root, "/other"])
        writer.commit()
    return store


@pytest.mark.parametrize("shard_bytes", [1, 100, 1 << 30])
def test_an_exported_and_imported_store_answers_identically(rich, tiny, tmp_path, monkeypatch, shard_bytes):
    monkeypatch.setattr(export, "SHARD_BYTES", shard_bytes)
    monkeypatch.setattr(import_, "LARGEST_BLOCK", 1 + 10 * shard_bytes)
    monkeypatch.setattr(import_, "LARGEST_CATALOGUE", 3 * shard_bytes)
    folder = exported(rich, tmp_path / "out")
    assert import_store(folder, tmp_path / "new") == 1
    assert tiny.dump_of(tmp_path / "new") == tiny.dump_of(rich)
    with open_snapshot(rich) as old, open_snapshot(tmp_path / "new") as new:
        for query in ("dogs", "river night", "élan 日本の川", "line two"):
            assert new.bm25(query, 50) == old.bm25(query, 50)
        assert new.manifest.next_document_id == old.manifest.next_document_id
        assert new.manifest.next_passage_id == old.manifest.next_passage_id
        assert (new.encoder, new.encoding) == (old.encoder, old.encoding)
        assert new.size_report()["n_dead_rows"] == 0
        assert (len(new.manifest.blocks) > 1) == (shard_bytes <= 100)
        assert (len(new.manifest.catalogues) > 1) == (shard_bytes == 1)
    assert verify(tmp_path / "new") == []
    again = exported(tmp_path / "new", tmp_path / "again")
    assert (again / "documents.jsonl").read_bytes() == (folder / "documents.jsonl").read_bytes()


def test_an_export_of_fp16_states_and_one_of_nothing_come_back(store, tiny, animals, tmp_path):
    ids = tiny.fill(store, animals, "fp16")
    import_store(exported(store, tmp_path / "out"), tmp_path / "new")
    assert tiny.dump_of(tmp_path / "new") == tiny.dump_of(store)
    with Writer.open(store, None) as writer:
        for id_ in ids:
            writer.remove_document(id_)
        writer.commit()
    import_store(exported(store, tmp_path / "nothing"), tmp_path / "empty")
    with Writer.open(tmp_path / "empty", None) as writer:
        assert writer.snapshot.n_documents == 0
        assert writer.new_document_id() == ids[-1] + 1


def test_an_imported_store_is_changed_as_any_other(rich, tiny, tmp_path):
    import_store(exported(rich, tmp_path / "out"), tmp_path / "new")
    for store in (rich, tmp_path / "new"):
        with Writer.open(store, tiny.encoder) as writer:
            there = writer.snapshot.find_documents(tiny.root)
            tiny.put(writer, "dog.txt", "The dog wakes near the river bank. And more", id_=there["dog.txt"].id)
            tiny.put(writer, "late.txt", "Entirely new")
            writer.commit()
    assert tiny.dump_of(tmp_path / "new") == tiny.dump_of(rich)


def test_an_export_is_read_by_json_and_safetensors_alone(rich, tiny, tmp_path):
    folder = exported(rich, tmp_path / "out")
    about = json.loads((folder / "export.json").read_text())
    assert {*about["files"], "export.json"} == set(os.listdir(folder))
    rows = {}
    for name in about["files"]:
        raw = (folder / name).read_bytes()
        assert about["files"][name] == {"n_bytes": len(raw), "xxh3_128": xxhash.xxh3_128_hexdigest(raw)}
        if name.endswith(".safetensors"):
            tensors = load_file(folder / name)
            for row, key in enumerate(tensors["keys"]):
                tokens = slice(int(tensors["offsets"][row]), int(tensors["offsets"][row + 1]))
                states = tensors["states"][tokens] * tensors["scales"][tokens]
                rows[key.tobytes().hex()] = (tensors["vectors"][row], states)
    needed = set()
    with open_snapshot(rich) as snapshot:
        for line in (folder / "documents.jsonl").read_bytes().splitlines():
            document = json.loads(line)
            assert document["text"] == snapshot.document(document["id"]).text
            for passage in document["passages"]:
                text = document["text"][passage["start"] : passage["end"]]
                vector, states = rows[passage["key"]]
                np.testing.assert_array_equal(vector, tiny.vector(text))
                np.testing.assert_array_equal(states, snapshot.states([bytes.fromhex(passage["key"])])[0])
                needed.add(passage["key"])
    assert needed == set(rows), "what died is not exported"


def test_only_a_new_folder_is_exported_to_and_only_a_new_store_imported_to(rich, tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    folder = exported(rich, tmp_path / "empty")
    with pytest.raises(FolderTaken, match="expected no folder or an empty one for an export, found files"):
        exported(rich, folder)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    for taken in (rich, tmp_path / "notes"):
        files = sorted(taken.rglob("*"))
        with pytest.raises(FolderTaken, match="for a new store, found files"):
            import_store(folder, taken)
        assert sorted(taken.rglob("*")) == files


def test_a_damaged_store_is_not_exported(rich, tmp_path):
    victim = next(rich.glob("seg/1-*/states"))
    content = bytearray(victim.read_bytes())
    content[0] ^= 1
    victim.write_bytes(content)
    with pytest.raises(StoreDamaged, match="states: row 0"):
        exported(rich, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_an_export_without_room_is_refused_before_it_writes(rich, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda path: 1 << 20)
    with pytest.raises(StoreFull):
        exported(rich, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_half_an_export_is_never_taken_for_a_whole_one(rich, tiny, tmp_path):
    """Killed at any step the folder is not there, or it is whole; after an error nothing is left of it."""

    def fail(step, arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with interrupted(-1, None) as counter:
        exported(rich, tmp_path / "whole")
    seen = []
    for call in range(1, counter["calls"] + 1):
        folder = tmp_path / f"at-{call}"
        with pytest.raises(Killed), interrupted(call, play_dead):
            exported(rich, folder)
        seen.append(folder.exists())
        if folder.exists():
            import_store(folder, tmp_path / f"from-{call}")
        with interrupted(call, fail), pytest.raises(OSError, match="No space left"):
            exported(rich, tmp_path / f"failed-{call}")
        left = [path.name for path in tmp_path.glob(f"*failed-{call}*")]
        assert left == ([f"failed-{call}"] if seen[-1] else [])
    assert set(seen) == {False, True}


def test_an_export_is_synced_before_it_has_its_name_and_after(rich, tmp_path, monkeypatch):
    log = []

    def recorded(step, function):
        def run(target, *arguments):
            log.append((step, os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str(target)))
            return function(target, *arguments)

        return run

    for step in disk.STEPS:
        monkeypatch.setattr(disk, step, recorded(step, getattr(disk, step)))
    exported(rich, tmp_path / "out")
    unfinished = log[0][1]
    named = log.index(("rename_file", unfinished))
    created = [name for step, name in log if step == "create_file"]
    assert {Path(name).name for name in created} == set(os.listdir(tmp_path / "out"))
    assert all(log.index(("sync_file", name)) < named for name in created)
    assert log[named - 1] == ("sync_directory", unfinished)
    assert log[named + 1 :] == [("sync_directory", str(tmp_path))]


def test_an_import_that_dies_leaves_no_store_or_a_whole_one_and_can_be_repeated(rich, tiny, tmp_path):
    folder = exported(rich, tmp_path / "out")
    says = tiny.dump_of(rich)
    with interrupted(-1, None) as counter:
        import_store(folder, tmp_path / "whole")
    seen = []
    for call in range(2, counter["calls"] + 1, 3):
        store = tmp_path / f"at-{call}"
        with pytest.raises(Killed), interrupted(call, play_dead):
            import_store(folder, store)
        try:
            seen.append(tiny.dump_of(store) == says)
            assert seen[-1]
        except StoreMissing:
            seen.append(False)
            import_store(folder, store)
            assert tiny.dump_of(store) == says
            assert tiny.orphans(store) == []
        shutil.rmtree(store)
    assert set(seen) == {False, True}


def resealed(folder: Path, change=lambda about: None) -> None:
    """Give ``export.json`` the sums of the files that are there: what is wrong then is wrong in itself."""
    about = json.loads((folder / "export.json").read_text())
    del about["checksum"]
    for name in about["files"]:
        raw = (folder / name).read_bytes()
        about["files"][name] = {"n_bytes": len(raw), "xxh3_128": xxhash.xxh3_128_hexdigest(raw)}
    change(about)
    checksum = xxhash.xxh3_128_hexdigest(to_json(about).encode())
    (folder / "export.json").write_text(json.dumps({**about, "checksum": checksum}))


def line(number, change):
    """A change of one line of documents.jsonl: of its fields, or to other bytes altogether."""

    def apply(folder):
        lines = (folder / "documents.jsonl").read_bytes().splitlines(keepends=True)
        fields = json.loads(lines[number - 1])
        changed = change(fields)
        lines[number - 1] = changed if isinstance(changed, bytes) else to_json(fields).encode() + b"\n"
        (folder / "documents.jsonl").write_bytes(b"".join(lines))
        resealed(folder)

    return apply


def setting(*place_and_value):
    *path, key, value = place_and_value

    def change(fields):
        for step in path:
            fields = fields[step]
        fields[key] = value

    return change


def tensors(change):
    def apply(folder):
        found = load_file(folder / "rows-00001.safetensors")
        save_file({**found, **change(found)}, folder / "rows-00001.safetensors")
        resealed(folder)

    return apply


def rows(content):
    """Other bytes in place of the file of rows."""

    def apply(folder):
        (folder / "rows-00001.safetensors").write_bytes(content)
        resealed(folder)

    return apply


def note(change):
    """A change of what export.json says."""
    return lambda folder: resealed(folder, change)


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


BAD = [
    (line(2, lambda fields: b"{oops\n"), r"documents.jsonl line 2: .*Expecting"),
    (line(2, lambda fields: b"[" * 100_000 + b"\n"), r"documents.jsonl line 2: "),
    (line(1, lambda fields: b"\xff\xfe\n"), r"documents.jsonl line 1: "),
    (line(2, setting("extra", 1)), r"line 2: expected a document with content_hash, id"),
    (line(1, setting("id", "1")), r"line 1: document: found id of another type than int"),
    (line(1, setting("id", True)), r"line 1: document: found id of another type than int"),
    (line(2, setting("id", 1)), r"line 2: found document 1 after 1, expected ascending ids"),
    (line(4, setting("id", 99)), r"line 4: found document 99"),
    (line(1, setting("text", "Another text that is long enough for all of its passages by far, is it not?")), "line 1"),
    (line(1, setting("passages", 0, "end", 10**9)), r"line 1: .*passage 0: found offsets"),
    (line(1, setting("passages", 0, "key", "zz")), r"line 1: "),
    (line(1, setting("passages", 0, "key", "00")), r"line 1: found a key of 1 bytes, expected 16"),
    (line(1, setting("passages", 0, "key", "00" * 16)), r"line 1: .*its key is not block_key of the text"),
    (line(1, setting("passages", 0, "id", 10**6)), r"line 1: a passage's id is there twice, or not below"),
    (line(2, setting("passages", 0, "id", 1)), r"line 2: a passage's id is there twice"),
    (line(2, setting("path", "fox.txt")), r"line 2: a document before it has the place 'fox.txt' too"),
    (line(2, setting("path", "../x")), r"line 2: document 2 .*expected a path relative to a root"),
    (line(2, setting("outline", [[1]])), r"line 2: outline"),
    (line(2, setting("outline", [[10**6, "x"]])), r"line 2: .*found a heading at 1000000"),
    (line(2, lambda fields: b""), r"documents.jsonl: found .* documents and passages, expected"),
    (tensors(lambda t: {"vectors": t["vectors"][:, :7].copy()}), r"rows-00001.safetensors: tensor vectors: found"),
    (tensors(lambda t: {"states": t["states"].astype(np.float16)}), r"rows-00001.safetensors: tensor states: found"),
    (tensors(lambda t: {"more": t["keys"]}), r"found the tensors keys, more, offsets, .*expected keys, offsets"),
    (tensors(lambda t: {"vectors": changed(t["vectors"], (2, 3), np.nan)}), r"row 2: tensor vectors has a value"),
    (tensors(lambda t: {"scales": changed(t["scales"], -1, -1)}), r"row \d+: tensor scales has a value"),
    (tensors(lambda t: {"states": changed(t["states"], (0, 0), -128)}), r"row 0: tensor states has a value"),
    (tensors(lambda t: {"offsets": changed(t["offsets"], 1, 0)}), r"row 0: the offsets do not ascend"),
    (tensors(lambda t: {"offsets": changed(t["offsets"], -1, 2**63)}), r"the offsets do not ascend"),
    (tensors(lambda t: {"keys": changed(t["keys"], 1, 7)}), r"row 1: no passage needs its key 0707"),
    (tensors(lambda t: {"keys": changed(t["keys"], 1, t["keys"][0])}), r"row 1: no passage needs its key .*twice"),
    (
        tensors(lambda t: {n: t[n][:-1].copy() for n in ("keys", "vectors", "offsets")} | {
            n: t[n][: int(t["offsets"][-2])].copy() for n in ("states", "scales")}),
        r"documents.jsonl: 1 passages' keys have no row",
    ),
    (rows(b"\x80\x04pickle"), "not readable as safetensors"),
    (rows((1 << 62).to_bytes(8, "little") + b"{}"), "not readable as safetensors"),
    (note(setting("n_documents", 9)), "found .* documents and passages"),
    (note(setting("n_tokens", 9)), "export.json: found .* rows and tokens"),
    (note(setting("encoding", "int3")), "export.json: encoding: found 'int3'"),
    (note(setting("version", 7)), "export.json: found 'deformer-qa-export' version 7"),
    (note(setting("encoder", "hidden_width", 0)), "export.json: a number is out of range"),
    (note(setting("next_document_id", -1)), "export.json: a count is not an integer"),
    (note(setting("roots", [1])), "export.json: its roots or encoder are no text"),
    (note(setting("surplus", 1)), "export.json: it does not say what an export holds"),
    (
        note(setting("files", "../x", {"n_bytes": 1, "xxh3_128": "0" * 32})),
        "export.json: found the files ../x",
    ),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BAD)))
def test_what_is_no_export_is_refused_with_its_place(store, tiny, animals, tmp_path, number):
    change, message = BAD[number]
    tiny.fill(store, dict(list(animals.items())[:4]))
    folder = exported(store, tmp_path / "out")
    change(folder)
    with pytest.raises(InvalidExport, match=message) as caught:
        import_store(folder, tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("Nothing was imported.")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["documents.jsonl", "rows-00001.safetensors", "export.json"])
def test_a_flipped_bit_anywhere_in_an_export_is_found(filled, tmp_path, name):
    folder = exported(filled, tmp_path / "out")
    content = (folder / name).read_bytes()
    for place in range(0, len(content), 1 + len(content) // 40):
        flipped = bytearray(content)
        flipped[place] ^= 4
        (folder / name).write_bytes(flipped)
        if name == "export.json" and json_or_none(flipped) == json_or_none(content):
            continue  # white space
        with pytest.raises(InvalidExport, match=name):
            import_store(folder, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def json_or_none(raw):
    try:
        return json.loads(raw)
    except ValueError:
        return None


def test_a_file_that_is_missing_a_link_or_a_pipe_is_no_file_of_an_export(filled, tmp_path):
    folder = exported(filled, tmp_path / "out")
    documents = folder / "documents.jsonl"
    documents.rename(tmp_path / "elsewhere")
    with pytest.raises(InvalidExport, match=r"documents\.jsonl: cannot be read"):
        import_store(folder, tmp_path / "new")
    documents.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidExport, match=r"documents\.jsonl: cannot be read"):
        import_store(folder, tmp_path / "new")
    documents.unlink()
    os.mkfifo(documents)
    with pytest.raises(InvalidExport, match=r"documents\.jsonl: expected a plain file"):
        import_store(folder, tmp_path / "new")


def test_an_import_into_a_store_that_is_being_written_is_refused(filled, tiny, tmp_path):
    folder = exported(filled, tmp_path / "out")
    with Writer.open(tmp_path / "new", tiny.encoder), pytest.raises(StoreError, match="is writing to this store"):
        import_store(folder, tmp_path / "new")
