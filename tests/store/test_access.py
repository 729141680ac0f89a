"""Who may open a store: one writer, anybody who may read, and only with the encoder that built it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from deformer_qa.store import (
    EncoderInfo,
    EncoderMismatch,
    InvalidRecord,
    StoreAccess,
    StoreLocked,
    StoreMissing,
    Writer,
    open_snapshot,
    verify,
)

NOBODY = 65534


@pytest.fixture
def public_folder():
    """A folder that another user can reach."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    for place, _, _ in os.walk(folder):
        os.chmod(place, 0o755)
    shutil.rmtree(folder)


def as_nobody(tiny, work):
    """Run something as a user without rights over the test's files (root may read everything)."""

    def child():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work()

    status, result = tiny.in_child(child)
    assert status == 0, result
    return result


def message_of(kind, work):
    try:
        work()
    except kind as error:
        return str(error)
    return "no error"


def test_a_second_writer_is_refused_at_once_naming_the_first(filled, tiny):
    with Writer.open(filled, tiny.encoder), pytest.raises(StoreLocked) as caught:
        Writer.open(filled, tiny.encoder)
    assert caught.value.pid == os.getpid()
    assert caught.value.host == socket.gethostname()
    assert f"process {os.getpid()} on {socket.gethostname()}, started 20" in str(caught.value)
    assert "is writing to this store. Wait for it to end" in str(caught.value)
    Writer.open(filled, tiny.encoder).close()


def test_a_writer_in_another_process_is_named_and_its_death_frees_the_store(filled, tiny):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        Writer.open(filled, tiny.encoder)
        os.write(write_end, b"locked")
        time.sleep(60)
        os._exit(0)
    assert os.read(read_end, 6) == b"locked"
    with pytest.raises(StoreLocked) as caught:
        Writer.open(filled, tiny.encoder)
    assert caught.value.pid == child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with Writer.open(filled, tiny.encoder) as writer:
        assert writer.snapshot is not None
        assert writer.snapshot.generation == 2
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("note", [b"", b"{", b"[1]", b'{"pid": "x", "host": 1, "started": null}', b"\xff" * 100])
def test_a_lock_whose_note_makes_no_sense_is_still_a_lock(filled, tiny, note):
    with Writer.open(filled, tiny.encoder):
        (filled / "LOCK").write_bytes(note)
        with pytest.raises(StoreLocked, match="another process is writing to this store"):
            Writer.open(filled, tiny.encoder)


def test_reading_needs_no_lock_and_sees_the_last_commit(filled, tiny):
    with Writer.open(filled, tiny.encoder) as writer:
        tiny.put(writer, "new.txt", "Entirely new")
        with open_snapshot(filled) as before:
            writer.commit()
            assert (before.generation, open_snapshot(filled).generation) == (2, 3)


def test_a_read_only_folder_answers_and_is_not_written(public_folder, tiny, animals):
    store = public_folder / ".qa"
    tiny.fill(store, animals)
    tiny.fill(store, {"more.txt": "More text in a second segment"})
    expected = tiny.dump_of(store)
    files = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    for folder in (store, *(path for path in store.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    for file in files:
        file.chmod(0o444)

    def work():
        refusal = message_of(StoreAccess, lambda: Writer.open(store, tiny.encoder))
        return tiny.dump_of(store), verify(store), refusal

    dump, damages, refusal = as_nobody(tiny, work)
    assert (dump, damages) == (expected, [])
    assert refusal.startswith(f"{store}/LOCK: no permission to write the store (Permission denied)")
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == files


def test_a_folder_that_becomes_read_only_stops_the_commit_not_the_index(public_folder, tiny, animals):
    store = public_folder / ".qa"
    tiny.fill(store, animals)
    expected = tiny.dump_of(store)
    for path in (store, *store.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)

    def work():
        writer = Writer.open(store, tiny.encoder)
        (store / "seg").chmod(0o777) if os.geteuid() == os.stat(store / "seg").st_uid else None
        tiny.put(writer, "new.txt", "Entirely new")
        return message_of(StoreAccess, writer.commit)

    (store / "seg").chmod(0o555)
    message = as_nobody(tiny, work)
    (store / "seg").chmod(0o755)
    assert "no permission to write the store (Permission denied)" in message
    assert tiny.dump_of(store) == expected


def test_what_may_not_be_read_is_named(public_folder, tiny, animals):
    store = public_folder / ".qa"
    tiny.fill(store, animals)
    (vectors,) = store.glob("seg/*/vectors")

    def refusal():
        return message_of(StoreAccess, lambda: open_snapshot(store))

    for path in (vectors, store / "MANIFEST-1", store):
        mode = path.stat().st_mode
        path.chmod(0)
        assert as_nobody(tiny, refusal).startswith(f"{path}: no permission to read the store")
        path.chmod(mode)
    assert as_nobody(tiny, refusal) == "no error"


def test_a_store_cannot_be_made_where_nobody_may_write(public_folder, tiny):
    message = as_nobody(
        tiny, lambda: message_of(StoreAccess, lambda: Writer.open(public_folder / "deep" / ".qa", tiny.encoder))
    )
    assert "cannot make the store's folder (Permission denied)" in message


def test_a_store_is_made_with_its_parents_unless_forbidden(tmp_path, tiny):
    with pytest.raises(StoreMissing, match="there is no store here"):
        Writer.open(tmp_path / "a" / "b", tiny.encoder, create=False)
    assert not (tmp_path / "a").exists()
    Writer.open(tmp_path / "a" / "b", tiny.encoder).close()
    with pytest.raises(StoreMissing):
        Writer.open(tmp_path / "a" / "b", tiny.encoder, create=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreMissing, match="found a file, expected a store's folder"):
        Writer.open(tmp_path / "file", tiny.encoder)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (EncoderInfo("other", 8, 6, {}), r"built with another encoder \(tiny-encoder-1, asked for with other\)"),
        (EncoderInfo("tiny-encoder-1", 9, 6, {}), "built with vector width 8, asked for with 9"),
        (EncoderInfo("tiny-encoder-1", 8, 7, {}), "built with hidden width 6, asked for with 7"),
    ],
)
def test_another_encoder_is_refused(filled, tiny, other, problem):
    with pytest.raises(EncoderMismatch, match=problem):
        Writer.open(filled, other)
    Writer.open(filled, tiny.encoder).close()


def test_a_reader_with_another_encoder_is_refused(filled):
    with pytest.raises(EncoderMismatch) as caught:
        open_snapshot(filled, encoder_id="other")
    assert (caught.value.found, caught.value.expected) == ("tiny-encoder-1", "other")
    assert "index again into a new folder, or use the reader" in str(caught.value)
    open_snapshot(filled, encoder_id="tiny-encoder-1").close()


def test_what_is_said_about_the_encoder_to_people_is_not_compared(filled):
    Writer.open(filled, EncoderInfo("tiny-encoder-1", 8, 6, {"name": "renamed"})).close()


def test_another_encoding_is_refused_and_none_takes_the_stores_own(filled, store, tiny, tmp_path):
    with pytest.raises(EncoderMismatch, match="states encoded as int8, asked for with fp16"):
        Writer.open(filled, tiny.encoder, "fp16")
    Writer.open(tmp_path / "half", tiny.encoder, "fp16").close()
    tiny.fill(tmp_path / "half", {"a.txt": "Some text"}, "fp16")
    with Writer.open(tmp_path / "half", tiny.encoder) as writer:
        assert writer.encoding == "fp16"
    with pytest.raises(InvalidRecord, match="found 'int3', expected one of fp16, int8, int4, pq4, pq6"):
        Writer.open(tmp_path / "new", tiny.encoder, "int3")


@pytest.mark.parametrize(
    "encoder", [EncoderInfo("\ud800", 8, 6, {}), EncoderInfo("x", 8, 6, {"a": object()}), EncoderInfo("x", 0, 6, {})]
)
def test_an_encoder_that_no_manifest_can_hold_is_refused(store, encoder):
    with pytest.raises(InvalidRecord, match="encoder: "):
        Writer.open(store, encoder)
    assert not store.exists()


def test_many_snapshots_can_be_open_at_once(filled, tiny):
    snapshots = [open_snapshot(filled) for _ in range(20)]
    first = snapshots[0].nearest(np.ones(8, np.float32), 5)
    assert all(snapshot.nearest(np.ones(8, np.float32), 5) == first for snapshot in snapshots)
    for snapshot in snapshots:
        snapshot.close()
