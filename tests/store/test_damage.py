"""No answer is built from damaged bytes, and every damaged file is named."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash

from deformer_qa.store import (
    DocumentNotFound,
    PassageNotFound,
    StoreDamaged,
    StoreError,
    StoreFormat,
    StoreMissing,
    Writer,
    manifest,
    open_snapshot,
    verify,
)


def flip(file, place: int, bits: int = 1) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= bits
    file.write_bytes(content)


def test_verify_names_each_file_with_one_changed_byte(filled, tiny):
    assert verify(filled) == []
    kinds = set()
    for name in tiny.files(filled):
        whole = (filled / name).read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            flip(filled / name, place)
            assert [damage.file for damage in verify(filled)] == [str(name)]
            (filled / name).write_bytes(whole)
        kinds.add(name.name)
    assert verify(filled) == []
    assert kinds == {
        *("MANIFEST-1", "MANIFEST-2"),
        *("vectors", "states", "scales", "offsets", "keys", "lookup", "sums"),
        *("meta.sqlite", "passage_ids", "passage_documents", "passage_lengths"),
        *("words", "word_offsets", "word_bounds", "posting_places", "posting_counts"),
    }


def test_verify_names_every_damaged_file_at_once(filled, tiny):
    files = [name for name in tiny.files(filled) if name.name != "MANIFEST-2"]
    for name in files:
        flip(filled / name, 0)
    head_only = {str(name) for name in files if name.parts[1:2] != ()} | {"MANIFEST-1"}
    assert {damage.file for damage in verify(filled)} == head_only


@pytest.mark.parametrize("change", ["shorter", "longer", "gone", "folder"])
def test_verify_names_a_file_of_another_size_or_kind(filled, tiny, change):
    for name in tiny.files(filled):
        file = filled / name
        if name.name.startswith("MANIFEST-2") and change == "gone":
            continue  # without its manifest a generation never was
        whole = file.read_bytes()
        file.unlink()
        if change == "folder":
            file.mkdir()
        elif change != "gone":
            file.write_bytes(whole[:-1] if change == "shorter" else whole + b"\0")
        assert [damage.file for damage in verify(filled)] == [str(name)]
        if change == "folder":
            file.rmdir()
        file.write_bytes(whole)
    assert verify(filled) == []


def test_no_bit_of_a_manifest_can_change_unnoticed(filled):
    whole = (filled / "MANIFEST-2").read_bytes()
    manifest.from_bytes("MANIFEST-2", whole)
    for place in range(len(whole)):
        for bit in range(8):
            changed = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
            with pytest.raises(StoreDamaged):
                manifest.from_bytes("MANIFEST-2", changed)
    for other in (whole[:-1], whole + b"\n", b"", whole[:30], whole.replace(b"\n", b"\r\n", 1)):
        with pytest.raises(StoreDamaged):
            manifest.from_bytes("MANIFEST-2", other)
    with pytest.raises(StoreDamaged, match="its generation is not that of its name"):
        manifest.from_bytes("MANIFEST-3", whole)


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty"])
def test_a_damaged_head_is_stood_in_for_by_its_parent_with_a_notice(filled, tiny, how):
    head = filled / "MANIFEST-2"
    whole = head.read_bytes()
    if how == "flipped":
        flip(head, 200)
    else:
        head.write_bytes(whole[:300] if how == "truncated" else b"")
    with open_snapshot(filled) as snapshot:
        assert snapshot.generation == 1
        assert snapshot.n_documents == 5
        assert snapshot.notice is not None
        assert snapshot.notice.startswith("MANIFEST-2: ")
        assert "answering from the generation before it, 1" in snapshot.notice
    assert [damage.file for damage in verify(filled)] == ["MANIFEST-2"]


def test_a_writer_sets_a_damaged_head_aside_and_goes_on_from_the_parent(filled, tiny):
    flip(filled / "MANIFEST-2", 200)
    damaged = (filled / "MANIFEST-2").read_bytes()
    segments_of_head = {path.name for path in filled.glob("seg/2-*")}
    with Writer.open(filled, tiny.encoder) as writer:
        assert writer.notice is not None
        assert writer.snapshot is not None
        assert writer.snapshot.generation == 1
        assert verify(filled) == []
        with open_snapshot(filled) as snapshot:
            assert snapshot.notice is not None
            assert snapshot.notice.startswith("MANIFEST-2.damaged: a damaged manifest was set aside; answering from")
        tiny.put(writer, "new.txt", "A new text after the damage")
        assert writer.commit() == 3
    assert (filled / "MANIFEST-2.damaged").read_bytes() == damaged
    assert segments_of_head <= {path.name for path in filled.glob("seg/*")}
    with open_snapshot(filled) as snapshot:
        assert (snapshot.generation, snapshot.n_documents, snapshot.notice) == (3, 6, None)
    assert verify(filled) == []


def test_a_store_whose_manifests_are_all_damaged_is_refused(filled, tiny):
    flip(filled / "MANIFEST-1", 90)
    flip(filled / "MANIFEST-2", 90)
    with pytest.raises(StoreDamaged, match=r"MANIFEST-2: the checksum does not match the content"):
        open_snapshot(filled)
    with pytest.raises(StoreDamaged):
        Writer.open(filled, tiny.encoder)
    assert [damage.file for damage in verify(filled)] == ["MANIFEST-2", "MANIFEST-1"]


def test_a_damaged_parent_stops_collection_but_no_answer(filled, tiny):
    flip(filled / "MANIFEST-1", 90)
    before = sorted(filled.glob("seg/*"))
    with Writer.open(filled, tiny.encoder):
        assert sorted(filled.glob("seg/*")) == before
    with open_snapshot(filled) as snapshot:
        assert (snapshot.generation, snapshot.notice) == (2, None)


@pytest.mark.parametrize("length", ["shorter", "longer", "none"])
def test_a_segment_file_of_another_size_is_refused_at_opening(filled, tiny, length):
    for name in tiny.files(filled):
        if name.parts[0] != "seg" or name.parts[1] not in manifest_of(filled).segment_names:
            continue
        file = filled / name
        whole = file.read_bytes()
        file.unlink()
        if length != "none":
            file.write_bytes(whole[:-1] if length == "shorter" else whole + b"x")
        with pytest.raises(StoreDamaged, match=rf"{name}: expected {len(whole):,} bytes, found .*qa verify") as caught:
            open_snapshot(filled)
        assert caught.value.file == str(name)
        file.write_bytes(whole)


def manifest_of(store):
    with open_snapshot(store) as snapshot:
        return snapshot.manifest


def test_no_answer_is_built_from_a_damaged_row(filled, tiny):
    """Every byte of every block file in turn: the same rows or a named refusal."""
    with open_snapshot(filled) as snapshot:
        passages = [p for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)]
        keys = [passage.key for passage in passages]
        whole_vectors, whole_states = snapshot.vectors(keys), snapshot.states(keys)
        segments = [entry.segment for entry in snapshot.manifest.blocks]
    refusals, n_same = [], 0
    for file in sorted(path for name in segments for path in (filled / "seg" / name).iterdir()):
        whole = file.read_bytes()
        for place in range(0, len(whole), 5):
            flip(file, place, 0x10)
            with open_snapshot(filled) as snapshot:
                try:
                    np.testing.assert_array_equal(snapshot.vectors(keys), whole_vectors)
                    for states, expected in zip(snapshot.states(keys), whole_states, strict=True):
                        np.testing.assert_array_equal(states, expected)
                    n_same += 1
                except StoreDamaged as error:
                    refusals.append(error.file)
            file.write_bytes(whole)
    assert all(file.startswith("seg/") for file in refusals)
    assert len(refusals) > 150
    assert n_same < len(refusals)  # bytes of dead rows, and places of the lookup that no bisection visits


def test_a_damaged_vector_is_refused_when_it_would_answer(filled):
    with open_snapshot(filled) as snapshot:
        segment = snapshot.manifest.blocks[0].segment
    file = filled / "seg" / segment / "vectors"
    file.write_bytes(np.full(file.stat().st_size // 4, 1e9, "<f4").tobytes())
    with open_snapshot(filled) as snapshot, pytest.raises(StoreDamaged, match=r"vectors: row \d+: the checksum"):
        snapshot.nearest(np.ones(8, np.float32), 2)


def test_no_text_or_record_is_built_from_a_damaged_catalogue(store, tiny, animals):
    """Bytes of the SQLite file in turn: whatever is answered is what was committed, or there is a named refusal."""
    tiny.fill(store, animals)
    expected = tiny.dump_of(store)
    (file,) = store.glob("seg/*/meta.sqlite")
    whole = file.read_bytes()
    touched = [place for place in range(0, len(whole), 61) if whole[place]]
    refusals = []
    for place in touched:
        flip(file, place, 0x04)
        try:
            with open_snapshot(store) as snapshot:
                for document in expected["documents"]:
                    passages = [p for p in expected["passages"] if p.document_id == document.id]
                    ids = [passage.id for passage in passages]
                    try:
                        assert snapshot.document(document.id) == document
                        assert snapshot.passages(ids) == passages
                        assert snapshot.passage_texts(ids) == [document.text[p.start : p.end] for p in passages]
                    except (DocumentNotFound, PassageNotFound) as missing:
                        refusals.append(str(missing))
                known = {passage.id for passage in expected["passages"]}
                assert {hit.passage_id for hit in snapshot.bm25("the fox and the dog", 100)} <= known
                assert set(snapshot.nearest(np.ones(8, np.float32), 100)) <= set(expected["nearest"])
        except StoreDamaged as refusal:
            refusals.append(refusal.file)
        file.write_bytes(whole)
    assert refusals.count(str(file.relative_to(store))) > 20


def test_the_catalogue_of_another_segment_is_refused_though_its_rows_are_whole(store, tiny):
    """Two files of one size, each whole, in each other's place: no row checksum can tell."""
    tiny.fill(store, {"a.txt": "The first text"})
    tiny.fill(store, {"b.txt": "The other text"})
    one, other = sorted(store.glob("seg/*/meta.sqlite"))
    assert one.stat().st_size == other.stat().st_size
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"meta\.sqlite: found the catalogue of another segment"):
        open_snapshot(store)


def header(number: int, body: bytes) -> bytes:
    checksum = xxhash.xxh3_128_hexdigest(b"deformer-qa-store %d\n" % number + body)
    return b"deformer-qa-store %d %s\n" % (number, checksum.encode()) + body


def test_a_newer_format_is_refused_and_its_parent_does_not_answer(filled, tiny):
    body = (filled / "MANIFEST-2").read_bytes().split(b"\n", 1)[1]
    (filled / "MANIFEST-3").write_bytes(header(7, body))
    for attempt in (lambda: open_snapshot(filled), lambda: Writer.open(filled, tiny.encoder), lambda: verify(filled)):
        with pytest.raises(StoreFormat, match=r"MANIFEST-3: found format 7, expected format 1\. Upgrade deformer-qa"):
            attempt()


def test_a_store_of_before_the_format_was_frozen_is_to_be_built_again(filled):
    body = (filled / "MANIFEST-2").read_bytes().split(b"\n", 1)[1]
    (filled / "MANIFEST-2").write_bytes(header(0, body))
    with pytest.raises(StoreFormat, match=r"found format 0, expected format 1\. Build the store again"):
        open_snapshot(filled)


def test_an_unknown_feature_is_refused_by_name(filled):
    body = (filled / "MANIFEST-2").read_bytes().split(b"\n", 1)[1]
    changed = body.replace(b'"features":[]', b'"features":["delta-states"]')
    (filled / "MANIFEST-2").write_bytes(header(1, changed))
    with pytest.raises(StoreFormat, match="found the features delta-states"):
        open_snapshot(filled)


def test_a_store_that_is_not_there_is_said_to_be_missing(tmp_path):
    (tmp_path / "file").write_text("not a store")
    (tmp_path / "empty").mkdir()
    for path, problem in (
        ("nowhere", "there is no store here"),
        ("file", "found a file, expected a store's folder"),
        ("empty", "this folder holds no committed index"),
    ):
        for attempt in (open_snapshot, verify):
            with pytest.raises(StoreMissing, match=problem):
                attempt(tmp_path / path)


def test_every_message_is_one_line(filled):
    flip(filled / "MANIFEST-1", 90)
    flip(filled / "MANIFEST-2", 90)
    with pytest.raises(StoreError) as caught:
        open_snapshot(filled)
    assert "\n" not in str(caught.value)
