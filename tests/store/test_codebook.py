"""States kept as codes: what a codebook is fitted to, where a store keeps it, what damage to it does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xxhash

from deformer_qa.store import (
    Codebook,
    EncoderMismatch,
    InvalidExport,
    InvalidRecord,
    RowEncoder,
    StoreDamaged,
    Writer,
    export_store,
    fit_codebook,
    import_store,
    open_snapshot,
    recompute,
    repair,
    verify,
)
from deformer_qa.store.encodings import LEAST_TOKENS, codebook_shapes, encoding_named


def correlated(n: int, width: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((width, width)) * 0.6 ** np.arange(width)
    return (random.standard_normal((n, width)) @ mixing.T + 3).astype(np.float32)


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return fit_codebook(correlated(LEAST_TOKENS, 6, 1), "pq6")


@pytest.fixture
def coded(store, tiny, animals, codebook):
    """A store of codes, of two generations."""
    with Writer.open(store, tiny.encoder, codebook=codebook) as writer:
        for name, text in animals.items():
            tiny.put(writer, name, text)
        writer.commit()
        tiny.put(writer, "new.txt", "Entirely new. Dogs bark loudly")
        writer.commit()
    return store


@pytest.mark.parametrize(("encoding", "width"), [("pq4", 8), ("pq6", 12)])
def test_codes_stand_for_their_nearest_centroids(encoding, width):
    states = correlated(LEAST_TOKENS, width, 1)
    book = fit_codebook(states, encoding)
    assert book.encoding == encoding
    np.testing.assert_allclose(book.rotation.T @ book.rotation, np.eye(width), atol=1e-5)
    seen = correlated(300, width, 2)
    codes = book.codes(seen)
    rotated = ((seen - book.mean) @ book.rotation).reshape(300, len(book.centroids), -1)
    distances = ((rotated[:, :, None] - book.centroids[None]) ** 2).sum(axis=3)
    chosen = np.take_along_axis(distances, codes[:, :, None].astype(int), axis=2)[:, :, 0]
    np.testing.assert_allclose(chosen, distances.min(axis=2), rtol=1e-3, atol=1e-4)
    off = book.states(codes) - seen
    np.testing.assert_allclose((off**2).sum(axis=1), chosen.sum(axis=1), rtol=1e-3, atol=1e-3)
    assert (off**2).sum() < 0.05 * ((seen - seen.mean(axis=0)) ** 2).sum()


def test_a_rotation_that_balances_loses_less_than_none():
    states, seen = correlated(LEAST_TOKENS, 8, 1), correlated(2000, 8, 2)
    book = fit_codebook(states, "pq4")
    import faiss

    plain = faiss.ProductQuantizer(8, 2, 8)
    plain.train(states)
    unrotated = Codebook(
        np.zeros(8, "f4"), np.eye(8, dtype="f4"), faiss.vector_to_array(plain.centroids).reshape(2, 256, 4)
    )
    lost = [((one.states(one.codes(seen)) - seen) ** 2).sum() for one in (book, unrotated)]
    assert lost[0] < lost[1]


def test_a_codebook_is_the_same_each_time_it_is_fitted():
    states = correlated(LEAST_TOKENS + 5, 6, 1)
    for one, other in zip(fit_codebook(states, "pq6").arrays, fit_codebook(states, "pq6").arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_too_few_states_or_a_width_that_does_not_divide_are_refused():
    with pytest.raises(InvalidRecord, match="found 100 tokens, expected 9,984 or more"):
        fit_codebook(correlated(100, 6, 1), "pq6")
    with pytest.raises(InvalidRecord, match="found states 6 wide, expected a multiple of 4"):
        fit_codebook(correlated(100, 6, 1), "pq4")


def test_arrays_that_are_no_codebook_are_refused(codebook):
    with pytest.raises(InvalidRecord, match="do not go together"):
        Codebook(codebook.mean, codebook.rotation[:5], codebook.centroids)
    with pytest.raises(InvalidRecord, match="not finite"):
        Codebook(np.full(6, np.nan, np.float32), codebook.rotation, codebook.centroids)


def test_a_store_keeps_its_codebook_and_decodes_by_it(coded, tiny, codebook):
    with open_snapshot(coded) as snapshot:
        assert snapshot.encoding == "pq6"
        passages = [p for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)]
        texts = snapshot.passage_texts([passage.id for passage in passages])
        for states, text in zip(snapshot.states([p.key for p in passages]), texts, strict=True):
            np.testing.assert_array_equal(states, codebook.states(codebook.codes(tiny.states(text))))
        assert snapshot.size_report()["bytes"]["states"] == snapshot.size_report()["n_tokens"]
    assert len(list(coded.glob("seg/*/codebook"))) == 1
    assert verify(coded) == []
    assert tiny.orphans(coded) == []


def test_a_store_goes_on_with_its_own_codebook_whatever_comes_later(coded, tiny):
    other = fit_codebook(correlated(LEAST_TOKENS, 6, 7), "pq6")
    before = tiny.dump_of(coded)
    with Writer.open(coded, tiny.encoder, codebook=other) as writer:
        tiny.put(writer, "again.txt", "Entirely new. Owls sleep at noon")
        writer.commit()
        writer.merge()
    after = tiny.dump_of(coded)
    assert after["states"][: len(before["states"])] == before["states"]
    with pytest.raises(EncoderMismatch, match="states encoded as pq6, asked for with int8"):
        Writer.open(coded, tiny.encoder, "int8")


def test_an_exported_and_imported_store_of_codes_answers_identically(coded, tiny, tmp_path):
    with open_snapshot(coded) as snapshot:
        export_store(snapshot, tmp_path / "out")
    import_store(tmp_path / "out", tmp_path / "new")
    assert tiny.dump_of(tmp_path / "new") == tiny.dump_of(coded)
    assert verify(tmp_path / "new") == []
    (tmp_path / "out" / "codebook.safetensors").unlink()
    with pytest.raises(InvalidExport, match=r"codebook.safetensors: cannot be read"):
        import_store(tmp_path / "out", tmp_path / "other")


def test_a_compacted_store_of_codes_keeps_its_codebook(coded, tiny):
    before = tiny.dump_of(coded)
    with Writer.open(coded, tiny.encoder) as writer:
        writer.remove_document(writer.new_document_id() - 1)
        writer.compact()
    after = tiny.dump_of(coded)
    assert after["states"] == before["states"][: len(after["states"])]
    assert tiny.orphans(coded) == []
    assert verify(coded) == []


def test_a_codebook_is_not_forced_on_who_asks_for_another_encoding(store, tiny, codebook):
    with Writer.open(store, tiny.encoder, "int8", codebook=codebook) as writer:
        tiny.put(writer, "a.txt", "Some text")
        writer.commit()
    with open_snapshot(store) as snapshot:
        assert (snapshot.encoding, snapshot.manifest.codebook) == ("int8", None)


def test_an_encoding_without_its_codebook_is_refused(store, tiny, codebook):
    with pytest.raises(InvalidRecord, match=r"comes without a codebook.*qa train codebook"):
        Writer.open(store, tiny.encoder, "pq6")
    with pytest.raises(InvalidRecord, match="found states 6 wide, expected a multiple of 4"):
        Writer.open(store, tiny.encoder, "pq4", codebook=codebook)
    wide = fit_codebook(correlated(LEAST_TOKENS, 12, 1), "pq6")
    with pytest.raises(InvalidRecord, match="for states 12 wide, expected its own for 6"):
        Writer.open(store, tiny.encoder, codebook=wide)


def test_no_state_is_decoded_by_a_damaged_codebook(coded, tiny):
    (file,) = coded.glob("seg/*/codebook")
    whole = file.read_bytes()
    with open_snapshot(coded) as snapshot:
        keys = [p.key for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)]
    for place in range(0, len(whole), 501):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with open_snapshot(coded) as snapshot:
            assert snapshot.nearest(np.ones(8, np.float32), 3)
            with pytest.raises(StoreDamaged, match="codebook: the checksum does not match"):
                snapshot.states(keys[:1])
        assert [damage.file for damage in verify(coded)] == [str(file.relative_to(coded))]
        with pytest.raises(StoreDamaged, match="codebook"):
            Writer.open(coded, tiny.encoder)


def test_a_codebook_of_no_numbers_is_refused_whatever_its_checksum(coded):
    (file,) = coded.glob("seg/*/codebook")
    content = np.full(sum(int(np.prod(shape)) for shape in codebook_shapes(6, 6)), np.nan, "<f4").tobytes()
    file.write_bytes(content)
    head = coded / "MANIFEST-2"
    fields = json.loads(head.read_bytes().split(b"\n", 1)[1])
    fields["codebook"]["files"]["codebook"]["xxh3_128"] = xxhash.xxh3_128_hexdigest(content)
    body = json.dumps(fields).encode()
    first, number, _ = head.read_bytes().split(b"\n", 1)[0].split(b" ")
    checksum = xxhash.xxh3_128_hexdigest(first + b" " + number + b"\n" + body).encode()
    head.write_bytes(first + b" " + number + b" " + checksum + b"\n" + body)
    with open_snapshot(coded) as snapshot:
        keys = [p.key for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)]
        with pytest.raises(StoreDamaged, match="codebook: codebook: found a value that is not finite or out of range"):
            snapshot.states(keys[:1])


def test_a_manifest_whose_codebook_does_not_go_with_its_encoding_is_damage(coded, tiny):
    head = coded / "MANIFEST-2"
    fields = json.loads(head.read_bytes().split(b"\n", 1)[1])
    first, number, _ = head.read_bytes().split(b"\n", 1)[0].split(b" ")
    for change in ({"codebook": None}, {"encoding": "fp16"}, {"codebook": {"segment": "1-00000000", "files": {}}}):
        body = json.dumps(fields | change).encode()
        checksum = xxhash.xxh3_128_hexdigest(first + b" " + number + b"\n" + body).encode()
        head.write_bytes(first + b" " + number + b" " + checksum + b"\n" + body)
        with open_snapshot(coded) as snapshot:
            assert snapshot.generation == 1
            assert snapshot.notice is not None


def test_codes_of_a_plain_encoding_need_no_codebook():
    assert encoding_named("int8").widths(384) == (384, 1)
    assert encoding_named("int4").widths(384) == (192, 12)
    assert encoding_named("pq4").widths(384) == (96, 0)
    assert encoding_named("pq6").widths(384) == (64, 0)


class _Encoder:
    """The tiny encoder with a codebook, as the store sees it; counts what it is asked."""

    def __init__(self, tiny, codebook) -> None:
        self.tiny, self.codebook, self.n_texts = tiny, codebook, 0

    def __call__(self) -> RowEncoder:
        return RowEncoder(self.tiny.encoder, self._encode, self.codebook)

    def _encode(self, text):
        self.n_texts += 1
        return self.tiny.vector(text), self.tiny.states(text)


def test_damaged_codes_and_a_damaged_codebook_are_repaired(coded, tiny, codebook):
    before = tiny.dump_of(coded)
    states = max(coded.glob("seg/*/states"), key=lambda file: file.stat().st_size)
    content = bytearray(states.read_bytes())
    content[3] ^= 1
    states.write_bytes(content)
    encoder = _Encoder(tiny, codebook)
    assert repair(coded, encoder).n_dropped == 0
    assert encoder.n_texts == 1
    assert tiny.dump_of(coded) == before
    (file,) = coded.glob("seg/*/codebook")
    file.write_bytes(bytes(file.stat().st_size))
    other = _Encoder(tiny, fit_codebook(correlated(LEAST_TOKENS, 6, 7), "pq6"))
    (unrepaired,) = repair(coded, other).unrepaired
    assert unrepaired.file == str(file.relative_to(coded))
    (mended,) = repair(coded, encoder).mended
    assert "written anew from the reader's" in mended.action
    assert tiny.dump_of(coded) == before
    assert verify(coded) == []
    assert tiny.orphans(coded) == []


def test_rows_encoded_again_are_compared_by_the_codebook(coded, tiny, codebook):
    with open_snapshot(coded) as snapshot:
        found = recompute(snapshot, _Encoder(tiny, codebook), 1000)
    assert found.n_rows > 10
    assert (found.wrong, found.n_other_codes, found.largest_recoded_error) == ((), 0, 0.0)
    assert found.largest_state_error > 0.1
