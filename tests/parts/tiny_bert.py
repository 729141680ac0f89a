"""A BERT small enough to be built in code, in the folder that Hugging Face and sentence-transformers would write."""

from __future__ import annotations

import json
import string
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForQuestionAnswering, BertModel


def _tiny_tokenizer() -> Tokenizer:
    pieces = list(string.ascii_lowercase + string.digits + string.punctuation)
    words = ["the", "of", "and", "was", "in", "who", "when", "where", "city", "river"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *pieces, *(f"##{piece}" for piece in pieces)]
    numbers = {piece: number for number, piece in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])],
    )
    return tokenizer


def tiny_config(**changes: object) -> BertConfig:
    """A BERT of four layers, 32 wide, with weights large enough that attention matters."""
    values = {
        "vocab_size": 256,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
        "initializer_range": 0.2,
        **changes,
    }
    return BertConfig(**values)


def write_model(folder: Path, model: BertModel | BertForQuestionAnswering, *, sentence_transformer: bool) -> Path:
    """A model folder as Hugging Face and sentence-transformers write it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
    _tiny_tokenizer().save(str(folder / "tokenizer.json"))
    about_tokenizer = {"tokenizer_class": "BertTokenizer", "model_max_length": 128, "do_lower_case": True}
    special = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**about_tokenizer, **special}), encoding="utf-8")
    if sentence_transformer:
        (folder / "1_Pooling").mkdir(exist_ok=True)
        kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
        listed = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(kinds)
        ]
        (folder / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
        pooling = {"word_embedding_dimension": model.config.hidden_size, "pooling_mode_mean_tokens": True}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
        (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 96}', encoding="utf-8")
    return folder
