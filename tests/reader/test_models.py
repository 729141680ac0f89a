"""Finding and loading models: what is refused, and how it is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from deformer_qa.reader import models
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import ModelNotFound, TextTooLong, UnsupportedModel
from deformer_qa.reader.fine_tuned import FineTunedReader


def _copy(folder: Path, to: Path, **config: object) -> Path:
    shutil.copytree(folder, to)
    content = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**content, **config}))
    return to


def test_the_default_encoder_is_the_published_one(default_encoder: Encoder) -> None:
    assert default_encoder.about["name"] == "all-MiniLM-L6-v2"
    assert default_encoder.about["max_tokens"] == 256
    assert default_encoder.hidden_width == 384


def test_other_weights_under_the_default_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models._PINNED, "model.safetensors", "0" * 64)
    with pytest.raises(ModelNotFound, match="expected the published all-MiniLM-L6-v2"):
        models.find_model()


def test_the_encoder_id_is_of_the_content_and_of_k(tiny_bert: Path, tmp_path: Path) -> None:
    copy = _copy(tiny_bert, tmp_path / "elsewhere")
    assert Encoder.load(str(copy), k=2).encoder_id == Encoder.load(str(tiny_bert), k=2).encoder_id
    assert Encoder.load(str(copy), k=3).encoder_id != Encoder.load(str(tiny_bert), k=2).encoder_id


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"model_type": "gpt2"}, 'family "gpt2", supported are: bert'),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"hidden_act": "swish"}, "swish"),
    ],
)
def test_an_unsupported_model_is_refused_by_name(
    config: dict[str, object], found: str, tiny_bert: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedModel, match=found):
        Encoder.load(str(_copy(tiny_bert, tmp_path / "model", **config)), k=2)


def test_unknown_pooling_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    copy = _copy(tiny_bert, tmp_path / "model")
    (copy / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(UnsupportedModel, match="max_tokens"):
        Encoder.load(str(copy), k=2)


def test_a_folder_without_a_model_and_a_path_that_is_not_there_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no config\.json"):
        Encoder.load(str(tmp_path), k=2)
    with pytest.raises(ModelNotFound, match="no model folder there"):
        Encoder.load(str(tmp_path / "nothing"), k=2)


def test_a_hub_id_out_of_reach_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelNotFound, match="no-such/model: no such folder") as caught:
        Encoder.load("no-such/model", k=2)
    assert "\n" not in str(caught.value)


def test_old_weight_files_and_old_tensor_names_are_read(tiny_bert: Path, tmp_path: Path) -> None:
    copy = _copy(tiny_bert, tmp_path / "model")
    weights = models.read_weights(models.find_model(str(copy)))
    tensors = {name: torch.from_numpy(one) for name, one in weights.items()}
    old = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
    }
    torch.save(old, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    text = "the river of the city"
    found = Encoder.load(str(copy), k=2).encode(text).vector
    assert (found == Encoder.load(str(tiny_bert), k=2).encode(text).vector).all()


def test_another_shape_is_another_encoder(tiny_bert: Path, tmp_path: Path) -> None:
    other = Encoder.load(str(_copy(tiny_bert, tmp_path / "model", num_attention_heads=8)), k=2)
    assert other.encoder_id != Encoder.load(str(tiny_bert), k=2).encoder_id


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}", ModelNotFound),
        ("tokenizer.json", b"{}", ModelNotFound),
        ("config.json", b'{"model_type": "bert"}', UnsupportedModel),
        ("config.json", b"{", ModelNotFound),
    ],
)
def test_a_damaged_model_folder_is_one_line(
    file: str, content: bytes, error: type[Exception], tiny_bert: Path, tmp_path: Path
) -> None:
    copy = _copy(tiny_bert, tmp_path / "model")
    (copy / file).write_bytes(content)
    with pytest.raises(error) as caught:
        Encoder.load(str(copy), k=2)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="not those that its configuration describes"):
        Encoder.load(str(_copy(tiny_bert, tmp_path / "model", vocab_size=99)), k=2)


def test_a_letters_combining_marks_stay_with_it(default_encoder: Encoder) -> None:
    text = "It was painted by Jose\u0301 Ferre\u0301."
    tokens = default_encoder.tokenizer.tokenize(text)
    last = max(row for row, (start, _) in enumerate(tokens.offsets) if start and start < len(text) - 3)
    first, end = tokens.characters(last, last)
    assert text[first:end] == "Ferre\u0301"


def test_k_beyond_the_layers_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(UnsupportedModel, match="k=5"):
        Encoder.load(str(tiny_bert), k=5)


def test_a_bare_encoder_is_no_reader(tiny_bert: Path) -> None:
    with pytest.raises(UnsupportedModel, match="no span head"):
        FineTunedReader.load(str(tiny_bert))


def test_a_text_beyond_the_encoder_is_refused_with_both_numbers(tiny_encoder: Encoder) -> None:
    with pytest.raises(TextTooLong, match="question: 95 tokens, at most 94 are taken"):
        tiny_encoder.encode("the " * 95, "question")
