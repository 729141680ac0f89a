"""The proof of the split, of every family: it computes what Hugging Face computes, wherever the two can be compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parts.tiny_families import FAMILIES, WINDOW, write_family
from parts.tiny_training import recipe_of
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForQuestionAnswering, PreTrainedModel, XLNetForQuestionAnsweringSimple

from deformer_qa.lab.train.examples import Example, collate
from deformer_qa.lab.train.model import ReaderInTraining
from deformer_qa.lab.train.start import starting_joint, starting_lower
from deformer_qa.reader.checkpoint import save_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.reader.fine_tuned import FineTunedReader
from deformer_qa.reader.reading import SplitReader

QUESTION = "when was the city?"
TEXTS = [
    "the river",
    "The city of Ulm was founded in 854; the river Danube runs there.",
    "who (in the end) was it? ",
]
KINDS = list(FAMILIES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny fine-tuned checkpoint of every family."""
    return {name: write_family(tmp_path_factory.mktemp(name), name) for name in KINDS}


@cache
def _theirs(folder: Path) -> PreTrainedModel:
    kind = AutoModelForQuestionAnswering
    if json.loads((folder / "config.json").read_text())["model_type"] == "xlnet":
        kind = XLNetForQuestionAnsweringSimple  # the other head is what "Auto" stands for
    return kind.from_pretrained(folder, attn_implementation="eager").eval()


def _close(found: Tensor | np.ndarray, expected: Tensor | np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-5, rtol=0)


# The whole model


@pytest.mark.parametrize(("name", "left"), [*((name, False) for name in KINDS), ("xlnet", True), ("modernbert", True)])
def test_the_whole_model_gives_the_logits_of_hugging_face_on_ragged_batches(
    name: str, left: bool, folders: dict[str, Path]
) -> None:
    theirs, ours = _theirs(folders[name]), FineTunedReader.load(str(folders[name])).model
    chance = torch.Generator().manual_seed(3)
    lengths = torch.tensor([31, 3, 70, 18, 44])
    mask = torch.arange(70)[None] < lengths[:, None]
    mask = mask.flip(1) if left else mask
    ids = torch.randint(6, 100, mask.shape, generator=chance).masked_fill(~mask, theirs.config.pad_token_id)
    n_types = {"xlnet": 3, "bert": 2, "electra": 2}.get(name, 1)
    types = torch.randint(0, n_types, mask.shape, generator=chance)
    given = {"input_ids": ids, "attention_mask": mask.long()}
    if n_types > 1:
        given["token_type_ids"] = types
    with torch.no_grad():
        expected = theirs(**given)
        found = ours(ids, types, mask)
    _close(found[..., 0][mask], expected.start_logits[mask])
    _close(found[..., 1][mask], expected.end_logits[mask])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("passage_first", [False, True])
def test_a_checkpoint_reads_a_pair_as_its_own_tokenizer_lays_it_out(
    name: str, passage_first: bool, folders: dict[str, Path]
) -> None:
    theirs, ours = _theirs(folders[name]), FineTunedReader.load(str(folders[name]), passage_first=passage_first)
    tokenizer = Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    for text, found in zip(TEXTS, ours.read_texts(QUESTION, TEXTS), strict=True):
        pair = tokenizer.encode(*((text, QUESTION) if passage_first else (QUESTION, text)))
        types = {"token_type_ids": torch.tensor([pair.type_ids])} if name in ("bert", "electra", "xlnet") else {}
        with torch.no_grad():
            made = theirs(input_ids=torch.tensor([pair.ids]), **types)
        logits = torch.stack([made.start_logits[0], made.end_logits[0]], dim=1)
        texts = pair.sequence_ids
        passage = [row for row, one in enumerate(texts) if one == (0 if passage_first else 1)]
        classification = len(texts) - 1 if name == "xlnet" else 0
        _close(found, logits[[classification, *passage, passage[-1] + 1]])


def test_pairs_of_a_checkpoint_stand_as_its_family_is_fine_tuned(folders: dict[str, Path]) -> None:
    found = {name: FineTunedReader.load(str(folders[name])).passage_first for name in KINDS}
    assert found == {name: name == "xlnet" for name in KINDS}


# The split model: Hugging Face's layers over both texts, kept apart by a mask up to layer k


def _block_mask(texts: Sequence[Tensor]) -> Tensor:
    number = torch.cat([torch.full((len(one),), index) for index, one in enumerate(texts)])
    return number[:, None] == number[None]


def _bert_like_split(model: PreTrainedModel, texts: Sequence[Tensor], k: int) -> Tensor:
    """Both texts' states after the last layer, *Shape:* (tokens, hidden); each is embedded alone."""
    base = model.base_model
    states = torch.cat([base.embeddings(input_ids=one[None]) for one in texts], dim=1)
    if hasattr(base, "embeddings_project"):
        states = base.embeddings_project(states)
    apart = torch.where(_block_mask(texts), 0.0, torch.finfo(torch.float32).min)[None, None]
    layers = base.encoder.layer if hasattr(base, "encoder") else base.transformer.layer
    for index, layer in enumerate(layers):
        made = layer(states, attention_mask=apart if index < k else None)
        states = made[0] if isinstance(made, tuple) else made
    return states[0]


def _modernbert_split(model: PreTrainedModel, texts: Sequence[Tensor], k: int) -> Tensor:
    base = model.model
    states = base.embeddings(input_ids=torch.cat(list(texts))[None])
    restarting = torch.cat([torch.arange(len(one)) for one in texts])
    going_on = torch.arange(len(restarting))
    for index, layer in enumerate(base.layers):
        seen = _block_mask(texts) if index < k else torch.ones(len(going_on), len(going_on), dtype=torch.bool)
        if layer.attention_type == "sliding_attention":
            seen = seen & ((going_on[:, None] - going_on[None]).abs() <= WINDOW // 2)
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]
        positions = (restarting if index < k else going_on)[None]
        turned = base.rotary_emb(states, positions, layer.attention_type)
        states = layer(states, attention_mask=mask, position_embeddings=turned)
    return model.head(base.final_norm(states))[0]


def _xlnet_split(model: PreTrainedModel, texts: Sequence[Tensor], k: int, n_padding: int) -> Tensor:
    """With padding on the left, where XLNet has it; texts end with their <cls>."""
    base = model.transformer
    padding = torch.full((n_padding,), 5)
    types = torch.cat(
        [
            torch.full((n_padding,), 3),
            *(torch.tensor([number] * (len(one) - 1) + [2]) for number, one in enumerate(texts)),
        ]
    )
    n_rows = len(types)
    seen = torch.ones(n_rows, n_rows)
    seen[:, :n_padding] = 0
    apart = seen.clone()
    apart[n_padding:, n_padding:] = _block_mask(texts).float()
    differ = torch.nn.functional.one_hot((types[:, None] != types[None]).long(), 2).float()[:, :, None]
    states = base.word_embedding(torch.cat([padding, *texts]))[:, None]
    waves = base.relative_positional_encoding(n_rows, n_rows, bsz=1)
    for index, layer in enumerate(base.layer):
        unseen = (1 - (apart if index < k else seen))[:, :, None, None]
        states = layer(states, None, attn_mask_h=unseen, attn_mask_g=None, r=waves, seg_mat=differ)[0]
    return states[n_padding:, 0]


def _split_by_hugging_face(
    model: PreTrainedModel, question: Tensor, passage: Tensor, k: int, passage_first: bool, n_padding: int
) -> Tensor:
    """Logits of the passage's rows, in its own tokenizer's order."""
    texts = [passage, question] if passage_first else [question, passage]
    with torch.no_grad():
        if model.config.model_type == "xlnet":
            states = _xlnet_split(model, texts, k, n_padding)
        elif model.config.model_type == "modernbert":
            states = _modernbert_split(model, texts, k)
        else:
            states = _bert_like_split(model, texts, k)
        head = model.classifier if model.config.model_type == "modernbert" else model.qa_outputs
        rows = slice(len(passage)) if passage_first else slice(len(question), None)
        return head(states[rows])


_SPLITS = [
    (name, k, passage_first, n_padding)
    for name in KINDS
    for k in (0, 2, 3, 4)
    for passage_first in (False, True)
    for n_padding in ((0, 5) if name == "xlnet" else (0,))
]


@pytest.mark.parametrize(("name", "k", "passage_first", "n_padding"), _SPLITS)
def test_lower_and_upper_half_equal_hugging_faces_layers_under_a_block_mask(
    name: str, k: int, passage_first: bool, n_padding: int, folders: dict[str, Path]
) -> None:
    reader = SplitReader.from_fine_tuned(str(folders[name]), k, passage_first=passage_first)
    tokenizer = Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    states = [reader.encoder.states(text) for text in TEXTS]
    asked = torch.tensor(tokenizer.encode(QUESTION).ids)
    for text, made in zip(TEXTS, reader.read(reader.encoder.states(QUESTION), states), strict=True):
        read = torch.tensor(tokenizer.encode(text).ids)
        expected = _split_by_hugging_face(_theirs(folders[name]), asked, read, k, passage_first, n_padding)
        if name == "xlnet":
            expected = torch.cat([expected[-1:], expected[:-1]])
        _close(made.spans, expected)


# Padding, batches, vectors


@pytest.mark.parametrize("name", KINDS)
def test_states_in_a_padded_batch_are_those_of_the_text_alone(name: str, folders: dict[str, Path]) -> None:
    encoder = Encoder.load(str(folders[name]), k=3)
    texts = [encoder.tokenizer.tokenize(text).ids for text in TEXTS]
    n_rows = max(map(len, texts)) + 5
    ids = torch.tensor([[*one, *[9] * (n_rows - len(one))] for one in texts])
    mask = torch.arange(n_rows)[None] < torch.tensor([[len(one)] for one in texts])
    with torch.no_grad():
        states = encoder.backbone.embed(ids)
        states = encoder.backbone.run(states, encoder.backbone.alone(states, mask), 0, 3)
    for text, found, tokens in zip(TEXTS, states, mask, strict=True):
        _close(found[tokens], encoder.states(text))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("passage_first", [False, True])
def test_padding_between_the_texts_changes_nothing(name: str, passage_first: bool, folders: dict[str, Path]) -> None:
    """As in training: a padded question and a padded passage, all rows of all layers."""
    reader = SplitReader.from_fine_tuned(str(folders[name]), 2, passage_first=passage_first)
    joint, encoder = reader.joint, reader.encoder
    asked = [torch.from_numpy(encoder.states(text)) for text in (QUESTION, "who?")]
    read = [torch.from_numpy(encoder.states(text)) for text in TEXTS[:2]]
    questions, passages = (torch.nn.utils.rnn.pad_sequence(texts, batch_first=True) for texts in (asked, read))
    masks = [
        torch.arange(padded.shape[1])[None] < torch.tensor([[len(one)] for one in texts])
        for padded, texts in ((questions, asked), (passages, read))
    ]
    with torch.no_grad():
        context = joint.context(questions, passages, *masks)
        states = joint.layer_states(joint.beside(questions, passages), context)[-1]
        rows = joint.passage_rows(questions.shape[1], passages.shape[1])
        together = joint.logits(states[:, rows]).spans
        for index in range(2):
            alone = joint(asked[index][None], read[index][None])
            _close(together[index][masks[1][index]], alone.spans[0])


@pytest.mark.parametrize("name", KINDS)
def test_the_vector_is_the_mean_of_hugging_faces_last_layer(name: str, folders: dict[str, Path]) -> None:
    encoder = Encoder.load(str(folders[name]), k=2)
    tokenizer = Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    for text in TEXTS:
        encoding = tokenizer.encode(text)
        given = {"token_type_ids": torch.tensor([encoding.type_ids])} if name == "xlnet" else {}
        with torch.no_grad():
            last = _theirs(folders[name]).base_model(torch.tensor([encoding.ids]), **given)[0]
        _close(encoder.encode(text).vector, torch.nn.functional.normalize(last[0].mean(0), dim=0))


# From text to text, to disk and back


@pytest.mark.parametrize("name", KINDS)
def test_tokens_lie_in_the_text_and_words_end_before_punctuation(name: str, folders: dict[str, Path]) -> None:
    tokenizer = Encoder.load(str(folders[name]), k=2).tokenizer
    text = "the city  of Ulm, founded in 854;"
    tokens = tokenizer.tokenize(text)
    pieces = [text[start:end] for start, end in tokens.offsets]
    assert "".join(pieces) == "".join(text.split())
    assert [pieces[0], pieces[-1]] == ["", ""]
    assert [tokens.words[0], tokens.words[-1]] == [-1, -1]
    assert tokenizer.offsets(text) == list(tokens.offsets[1:-1])
    for word in ("Ulm", "854", ";", "founded"):
        begin = text.index(word)
        row = next(row for row, (start, end) in enumerate(tokens.offsets) if start <= begin < end)
        first, last = tokens.characters(row, row)
        assert text[first:last] == word


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("passage_first", [False, True])
def test_a_reader_comes_back_from_disk_as_it_was(
    name: str, passage_first: bool, folders: dict[str, Path], tmp_path: Path
) -> None:
    reader = SplitReader.from_fine_tuned(str(folders[name]), 2, passage_first=passage_first)
    torch.nn.init.normal_(reader.joint.marker)
    reader.joint.half().float()  # readers are kept in half precision
    save_reader(tmp_path, reader.joint, reader.encoder, training={})
    again = SplitReader.load(tmp_path).use("torch")
    assert again.encoder.encoder_id == reader.encoder.encoder_id
    question = reader.encoder.states(QUESTION)
    states = [reader.encoder.states(text) for text in TEXTS]
    for before, after in zip(reader.read(question, states), again.read(question, states), strict=True):
        assert (before.spans == after.spans).all()
        assert (before.yes_no == after.yes_no).all()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("width", [0, 16])
def test_every_family_is_trained_with_its_lower_layers_and_narrowed(
    name: str, width: int, folders: dict[str, Path]
) -> None:
    recipe = recipe_of(folders[name], tune_lower=True, retrieval=1.0, kd=1.0, lrs=1.0, feed_forward_width=width)
    encoder, whole = Encoder.load(recipe.encoder, k=2), SplitReader.from_fine_tuned(recipe.encoder, 0)
    joint = starting_joint(encoder, recipe, None)
    model = ReaderInTraining(encoder, joint, whole.joint, recipe, starting_lower(encoder, recipe, None))
    items = [
        Example(encoder.tokenizer.tokenize(QUESTION).ids, (encoder.tokenizer.tokenize(text).ids,), 1, 2)
        for text in TEXTS
    ]
    loss = model(**collate(items))["loss"]
    loss.backward()
    still = {one for one, parameter in model.named_parameters() if parameter.grad is None}
    assert still == {f"joint.{head}.{kind}" for head in ("yes_no", "choice") for kind in ("weight", "bias")}
    assert torch.isfinite(loss)
    if not width:
        as_they_are = SplitReader.from_fine_tuned(recipe.encoder, 2).joint
        for part in ("layers", "finish"):
            pairs = zip(getattr(joint, part).parameters(), getattr(as_they_are, part).parameters(), strict=True)
            assert all((ours == theirs).all() for ours, theirs in pairs)
        begun = SplitReader(encoder, joint)
        for item, text in zip(items, TEXTS, strict=True):
            alone = begun.read(encoder.states(QUESTION), [encoder.states(text)])[0].spans
            together = model(**collate(items))["logits"][items.index(item)].detach()
            _close(together[: len(item.passages[0])], alone)


# What is refused


def _changed(folder: Path, to: Path, **config: Any) -> Path:
    shutil.copytree(folder, to)
    content = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**content, **config}))
    return to


@pytest.mark.parametrize(
    ("name", "config", "found"),
    [
        ("bert", {"is_decoder": True}, "is_decoder"),
        ("bert", {"num_attention_heads": 5}, "5 attention heads"),
        ("electra", {"position_embedding_type": "relative_key"}, "relative_key"),
        ("roberta", {"pad_token_id": None}, "pad_token_id"),
        ("distilbert", {"activation": "relu"}, "relu"),
        ("xlnet", {"attn_type": "uni"}, "uni"),
        ("xlnet", {"bi_data": True}, "bi_data"),
        ("xlnet", {"d_head": 16}, "d_head"),
        ("modernbert", {"rope_scaling": {"type": "linear"}}, "rope_scaling"),
        ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "yarn"),
        ("modernbert", {"layer_types": ["full_attention"] * 3}, "3 for 4 layers"),
        ("modernbert", {"hidden_activation": "silu"}, "silu"),
    ],
)
def test_a_variant_that_is_not_computed_is_refused_by_name(
    name: str, config: dict[str, Any], found: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = _changed(folders[name], tmp_path / "model", **config)
    with pytest.raises(UnsupportedModel, match=found):
        Encoder.load(str(folder), k=2)


def test_the_beam_search_head_of_xlnet_is_refused_and_the_other_named(folders: dict[str, Path], tmp_path: Path) -> None:
    from transformers import XLNetForQuestionAnswering

    folder = _changed(folders["xlnet"], tmp_path / "model")
    XLNetForQuestionAnswering(_theirs(folders["xlnet"]).config).save_pretrained(folder)
    with pytest.raises(UnsupportedModel, match="XLNetForQuestionAnsweringSimple"):
        FineTunedReader.load(str(folder))


def test_a_classifier_of_modernbert_is_no_reader(folders: dict[str, Path], tmp_path: Path) -> None:
    """Its tensors have the very names and sizes of a reader's."""
    folder = _changed(folders["modernbert"], tmp_path / "model", architectures=["ModernBertForSequenceClassification"])
    with pytest.raises(UnsupportedModel, match="no span head"):
        FineTunedReader.load(str(folder))


def test_a_text_of_roberta_has_fewer_tokens_than_its_table_has_rows(folders: dict[str, Path]) -> None:
    with pytest.raises(UnsupportedModel, match="126 tokens, 127 are wanted"):
        Encoder.load(str(folders["roberta"]), k=2, max_tokens=127)
    encoder = Encoder.load(str(folders["roberta"]), k=2, max_tokens=126)
    assert encoder.encode("a" * 124).states.shape == (126, 32)


def test_older_configurations_of_modernbert_mean_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    """From before layer types and rotary bases were lists."""
    content = json.loads((folders["modernbert"] / "config.json").read_text())
    old = {key: value for key, value in content.items() if key not in ("layer_types", "rope_parameters")}
    folder = _changed(folders["modernbert"], tmp_path / "model")
    bases = {"global_rope_theta": 160_000.0, "local_rope_theta": 10_000.0}
    (folder / "config.json").write_text(json.dumps({**old, **bases, "global_attn_every_n_layers": 2}))
    new, again = (Encoder.load(str(one), k=3) for one in (folders["modernbert"], folder))
    assert new.encoder_id == again.encoder_id
    assert (new.states(TEXTS[1]) == again.states(TEXTS[1])).all()
