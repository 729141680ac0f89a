"""A sample encoded again shows whether rows are those of their texts: checksums cannot."""

from __future__ import annotations

import numpy as np
import pytest
from parts.tiny_store import ENCODINGS

from deformer_qa.store import EncoderInfo, EncoderMismatch, RowEncoder, Writer, open_snapshot, recompute


def encoder(tiny, change=lambda vector, states: (vector, states)):
    return lambda: RowEncoder(tiny.encoder, lambda text: change(tiny.vector(text), tiny.states(text)))


def recomputed(store, load, n=1000, seed=0):
    with open_snapshot(store) as snapshot:
        return recompute(snapshot, load, n, seed)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_of_the_same_encoder_differ_by_what_the_encoding_loses(store, tiny, animals, encoding):
    tiny.fill(store, animals, encoding)
    found = recomputed(store, encoder(tiny))
    with open_snapshot(store) as snapshot:
        assert found.n_rows == snapshot.size_report()["n_rows"]
        errors = [
            np.abs(snapshot.states([p.key])[0] - tiny.states(snapshot.passage_texts([p.id])[0]))
            for key, p in {
                p.key: p for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)
            }.items()
        ]
    assert found.largest_state_error == max(one.max() for one in errors) > 0
    assert found.mean_state_error == pytest.approx(np.concatenate(errors).mean())
    assert (found.largest_recoded_error, found.largest_vector_error, found.mean_vector_error) == (0, 0, 0)
    assert (found.n_other_codes, found.wrong) == (0, ())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_float_noise_changes_codes_and_is_no_error(store, tiny, animals, encoding):
    rng = np.random.default_rng(1)
    texts = {f"{n}.txt": " ".join(f"word{n}{i}" for i in range(200)) for n in range(20)}
    tiny.fill(store, texts, encoding)

    def noisy(vector, states):
        noise = rng.standard_normal(states.shape).astype(np.float32)
        return vector * np.float32(1 + 1e-6), states + np.float32(1e-5) * noise

    found = recomputed(store, encoder(tiny, noisy))
    if encoding in ("fp16", "int8"):  # the others' steps are too wide for it
        assert found.n_other_codes > 10
        assert found.largest_recoded_error > 0
    assert found.wrong == ()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("what", ["a state", "a vector", "another length"])
def test_a_row_that_is_not_that_of_its_text_is_named(store, tiny, animals, encoding, what):
    tiny.fill(store, animals, encoding)
    with open_snapshot(store) as snapshot:
        (passage,) = snapshot.document_passages(snapshot.document_at(tiny.root, "fish.txt"))[1:2]

    def other(text):
        vector, states = tiny.vector(text), tiny.states(text)
        if text == "日本の川":
            vector[3] += 0.01 * (what == "a vector")
            states[1, 2] += 0.2 * (what == "a state")
            states = states[1:] if what == "another length" else states
        return vector, states

    found = recomputed(store, lambda: RowEncoder(tiny.encoder, other))
    assert found.wrong == (passage.id,)


def test_only_as_many_live_rows_as_asked_for_are_encoded_the_same_for_the_same_seed(filled, tiny):
    texts: list[list[str]] = []

    def counting():
        texts.append([])

        def encode(text):
            texts[-1].append(text)
            return tiny.vector(text), tiny.states(text)

        return RowEncoder(tiny.encoder, encode)

    for seed in (0, 0, 1, 2, 3):
        assert recomputed(filled, counting, 3, seed).n_rows == 3
    assert [len(some) for some in texts] == [3] * 5
    assert texts[0] == texts[1]
    assert len({tuple(some) for some in texts}) > 1
    everything = recomputed(filled, counting, 1000)
    with open_snapshot(filled) as snapshot:
        live = {p.key for info in snapshot.iter_documents() for p in snapshot.document_passages(info.id)}
        assert snapshot.size_report()["n_dead_rows"] > 0
    assert everything.n_rows == len(texts[-1]) == len(set(texts[-1])) == len(live)


def test_a_store_without_rows_has_nothing_to_compare(filled, tiny):
    with Writer.open(filled, tiny.encoder) as writer:
        for info in list(writer.snapshot.iter_documents()):
            writer.remove_document(info.id)
        writer.commit()
    assert recomputed(filled, encoder(tiny), 5).n_rows == 0


def test_another_encoder_is_refused(filled, tiny):
    other = EncoderInfo("another", 8, 6, {})
    with pytest.raises(EncoderMismatch):
        recomputed(filled, lambda: RowEncoder(other, lambda text: (tiny.vector(text), tiny.states(text))))
