"""The proof of the split: it computes what Hugging Face computes, wherever the two can be compared."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertForQuestionAnswering, BertModel

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.fine_tuned import FineTunedReader
from deformer_qa.reader.models import find_model
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.reading import SplitReader

TEXTS = [
    "the river",
    "The city of Ulm was founded in 854; the river Danube runs there.",
    "a" * 40 + " and the rest, with punctuation! " * 2,
    "when was it?",
]


def _ragged(chance: random.Random, n_texts: int, longest: int) -> tuple[Tensor, Tensor]:
    lengths = [chance.randint(3, longest) for _ in range(n_texts)]
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    ids = torch.randint(4, 100, mask.shape).masked_fill(~mask, 0)
    return ids, mask


def test_the_whole_model_gives_the_logits_of_hugging_face_on_ragged_batches(tiny_reader_checkpoint: Path) -> None:
    theirs = BertForQuestionAnswering.from_pretrained(tiny_reader_checkpoint).eval()
    ours = FineTunedReader.load(str(tiny_reader_checkpoint)).model
    chance = random.Random(3)
    for seed in range(8):
        torch.manual_seed(seed)
        ids, mask = _ragged(chance, 5, 90)
        types = (torch.rand(ids.shape) < 0.5).long()
        with torch.no_grad():
            expected = theirs(input_ids=ids, attention_mask=mask.long(), token_type_ids=types)
            found = ours(ids, types, mask)
        torch.testing.assert_close(found[..., 0][mask], expected.start_logits[mask], atol=1e-5, rtol=0)
        torch.testing.assert_close(found[..., 1][mask], expected.end_logits[mask], atol=1e-5, rtol=0)


def _hugging_face_under_a_block_mask(
    model: BertModel, k: int, joint: JointLayers, asked: Tensor, read: Tensor
) -> Tensor:
    """The unsplit model on both texts at once: up to layer k a mask keeps them apart, above it nothing does."""
    both = torch.cat([asked, read], dim=1)
    positions = torch.cat([torch.arange(asked.shape[1]), torch.arange(read.shape[1])])[None]
    text = torch.tensor([0] * asked.shape[1] + [1] * read.shape[1])
    apart = torch.where(text[:, None] == text[None], 0.0, torch.finfo(torch.float32).min)[None, None]
    states = model.embeddings(input_ids=both, position_ids=positions, token_type_ids=torch.zeros_like(both))
    for index, layer in enumerate(model.encoder.layer):
        if index == k:
            states = states + joint.marker[text]
        made = layer(states, attention_mask=apart if index < k else None)
        states = made[0] if isinstance(made, tuple) else made
    if k == len(model.encoder.layer):
        states = states + joint.marker[text]
    return joint.head(states[:, asked.shape[1] :])


@pytest.mark.parametrize("k", [0, 1, 2, 3, 4])
def test_lower_and_upper_half_equal_hugging_faces_layers_under_a_block_mask(tiny_bert: Path, k: int) -> None:
    theirs = BertModel.from_pretrained(tiny_bert, attn_implementation="eager").eval()
    encoder = Encoder.load(str(tiny_bert), k=k)
    joint = JointLayers(encoder.backbone.shape, 4 - k).eval()
    torch.manual_seed(k)
    torch.nn.init.normal_(joint.marker)
    torch.nn.init.normal_(joint.head.weight, std=0.2)  # logits near 1, so that 1e-5 is far above rounding
    for ours, layer in zip(joint.layers, encoder.backbone.layers[k:], strict=True):
        ours.load_state_dict(layer.state_dict())
    reader = SplitReader(encoder, joint)
    question = "where was the city?"
    made = reader.read(encoder.states(question), [encoder.states(text) for text in TEXTS])
    for text, logits in zip(TEXTS, made, strict=True):
        asked = torch.tensor([encoder.tokenizer.tokenize(question).ids])
        read = torch.tensor([encoder.tokenizer.tokenize(text).ids])
        with torch.no_grad():
            expected = _hugging_face_under_a_block_mask(theirs, k, joint, asked, read)
        np.testing.assert_allclose(logits.spans, expected[0].numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["tiny", "default"])
def test_the_vector_is_that_of_sentence_transformers(name: str, tiny_bert: Path, default_encoder: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = default_encoder if name == "default" else Encoder.load(str(tiny_bert), k=2)
    folder = find_model().path if name == "default" else tiny_bert
    theirs = SentenceTransformer(str(folder), device="cpu")
    texts = [*TEXTS, "Ein Satz mit Umlauten: Zürich, Åland, naïve. " * 2]
    expected = theirs.encode(texts, batch_size=3)
    found = np.stack([encoder.encode(text).vector for text in texts])
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_neither_batch_order_nor_padding_changes_a_logit(tiny_encoder: Encoder) -> None:
    torch.manual_seed(5)
    joint = JointLayers(tiny_encoder.backbone.shape, 2)
    torch.nn.init.normal_(joint.marker)
    reader = SplitReader(tiny_encoder, joint)
    chance = random.Random(5)
    texts = [
        " ".join(chance.choices(["the", "river", "ulm", "was", "7", "x"], k=chance.randint(1, 60))) for _ in range(40)
    ]
    question = tiny_encoder.states("who was in the city?")
    states = [tiny_encoder.states(text) for text in texts]
    alone = [reader.read(question, [one])[0] for one in states]
    order = list(range(len(texts)))
    for _ in range(3):
        chance.shuffle(order)
        together = reader.read(question, [states[index] for index in order])
        for index, logits in zip(order, together, strict=True):
            np.testing.assert_allclose(logits.spans, alone[index].spans, atol=1e-5, rtol=0)
            np.testing.assert_allclose(logits.yes_no, alone[index].yes_no, atol=1e-5, rtol=0)


def test_a_text_is_encoded_alike_whatever_was_encoded_before(tiny_encoder: Encoder) -> None:
    first = tiny_encoder.encode(TEXTS[1])
    for text in TEXTS:
        tiny_encoder.encode(text)
    again = tiny_encoder.encode(TEXTS[1])
    assert (first.vector == again.vector).all()
    assert (first.states == again.states).all()
    assert (tiny_encoder.states(TEXTS[1]) == first.states).all()
