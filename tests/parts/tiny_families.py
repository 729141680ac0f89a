"""A tiny random extractive reader of every family, with a tokenizer of its kind, as Hugging Face saves them."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    ElectraConfig,
    ElectraForQuestionAnswering,
    ModernBertConfig,
    ModernBertForQuestionAnswering,
    PreTrainedModel,
    RobertaConfig,
    RobertaForQuestionAnswering,
    XLNetConfig,
    XLNetForQuestionAnsweringSimple,
)

WINDOW = 8
"""Of the tiny ModernBERT: four tokens on either side, fewer than any text here has."""
_WORDS = ["the", "of", "and", "was", "in", "who", "when", "where", "city", "river"]
_VOCABULARY = 320
_SIZES = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}


def _bert_like_tokenizer() -> Tokenizer:
    pieces = list(string.ascii_lowercase + string.digits + string.punctuation)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *_WORDS, *pieces, *(f"##{piece}" for piece in pieces)]
    numbers = {piece: number for number, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _with_template(tokenizer, "[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")


def _byte_level_tokenizer(special: list[str], single: str, pair: str) -> Tokenizer:
    """Blanks belong to the token behind them, and offsets take them in."""
    vocabulary = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġt", "he", "Ġthe", "Ġo", "Ġof"]
    merges = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("Ġ", "o"), ("Ġo", "f")]
    numbers = {piece: number for number, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(numbers, merges, unk_token=special[-1]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _with_template(tokenizer, single, pair)


def _roberta_tokenizer() -> Tokenizer:
    return _byte_level_tokenizer(
        ["<s>", "<pad>", "</s>", "<unk>"], "<s> $A </s>", "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0"
    )


def _modernbert_tokenizer() -> Tokenizer:
    return _byte_level_tokenizer(
        ["[PAD]", "[CLS]", "[SEP]", "[UNK]"], "[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0"
    )


def _xlnet_tokenizer() -> Tokenizer:
    """Pieces of what is between blanks, punctuation included, as SentencePiece has them."""
    special = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>"]
    letters = list(string.ascii_letters + string.digits + string.punctuation)
    pieces = [("▁", -3.0), *((letter, -5.0) for letter in letters), *((f"▁{word}", -4.0) for word in _WORDS)]
    tokenizer = Tokenizer(models.Unigram([*((one, 0.0) for one in special), *pieces], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _with_template(tokenizer, "$A:0 <sep>:0 <cls>:2", "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2")


def _with_template(tokenizer: Tokenizer, single: str, pair: str) -> Tokenizer:
    names = {part.split(":")[0] for part in pair.split() if not part.startswith("$")}
    special = [(name, tokenizer.token_to_id(name)) for name in sorted(names)]
    tokenizer.add_special_tokens(sorted(names))
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
    return tokenizer


def _bert() -> PreTrainedModel:
    return BertForQuestionAnswering(BertConfig(**_SIZES))


def _electra() -> PreTrainedModel:
    return ElectraForQuestionAnswering(ElectraConfig(**_SIZES, embedding_size=24))


def _roberta() -> PreTrainedModel:
    return RobertaForQuestionAnswering(RobertaConfig(**_SIZES, type_vocab_size=1, layer_norm_eps=1e-5))


def _distilbert() -> PreTrainedModel:
    sizes = {"dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 128}
    return DistilBertForQuestionAnswering(DistilBertConfig(vocab_size=_VOCABULARY, **sizes, sinusoidal_pos_embds=True))


def _xlnet() -> PreTrainedModel:
    sizes = {"d_model": 32, "n_layer": 4, "n_head": 4, "d_inner": 48, "clamp_len": 24}
    return XLNetForQuestionAnsweringSimple(XLNetConfig(vocab_size=_VOCABULARY, **sizes, use_mems_eval=False))


def _modernbert() -> PreTrainedModel:
    special = {"pad_token_id": 0, "cls_token_id": 1, "bos_token_id": 1, "sep_token_id": 2, "eos_token_id": 2}
    config = ModernBertConfig(
        **_SIZES, **special, local_attention=WINDOW, global_attn_every_n_layers=2, attn_implementation="eager"
    )
    return ModernBertForQuestionAnswering(config)


FAMILIES: dict[str, tuple[Callable[[], PreTrainedModel], Callable[[], Tokenizer]]] = {
    "bert": (_bert, _bert_like_tokenizer),
    "electra": (_electra, _bert_like_tokenizer),
    "roberta": (_roberta, _roberta_tokenizer),
    "distilbert": (_distilbert, _bert_like_tokenizer),
    "xlnet": (_xlnet, _xlnet_tokenizer),
    "modernbert": (_modernbert, _modernbert_tokenizer),
}


def write_family(folder: Path, name: str) -> Path:
    """A folder of a random reader of a family; every weight counts, biases and norms too."""
    make, tokenizer = FAMILIES[name]
    spread = 0.12 if name == "modernbert" else 0.2  # no norm keeps its states small, and 1e-5 is to be above rounding
    torch.manual_seed(7)
    model = make().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=spread)
            else:
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder
