"""Parts that tests share: tiny real models built in code, the default model, the data that may be at hand."""

from __future__ import annotations

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import json
import string
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForQuestionAnswering, BertModel

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.asking import Pipeline
from deformer_qa.reader.checkpoint import save_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.joint import JointLayers
from deformer_qa.reader.reading import SplitReader

sys.path.append(str(Path(__file__).parent))  # for tiny_training

from tiny_training import write_training_data

REPOSITORY = Path(__file__).resolve().parents[1]
_SHARED = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets, where it is at hand."""
    if not _SHARED.is_dir():
        pytest.skip(f"public data sets are not at hand ({_SHARED.name} beside the repository)")
    return _SHARED


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


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder of a tiny random BERT."""
    torch.manual_seed(1)
    return write_model(tmp_path_factory.mktemp("tiny-bert"), BertModel(tiny_config()).eval(), sentence_transformer=True)


@pytest.fixture(scope="session")
def training_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data that a tiny model learns in seconds."""
    return write_training_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tiny_reader_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a tiny random BertForQuestionAnswering."""
    torch.manual_seed(2)
    model = BertForQuestionAnswering(tiny_config()).eval()
    return write_model(tmp_path_factory.mktemp("tiny-reader"), model, sentence_transformer=False)


@pytest.fixture(scope="session")
def tiny_encoder(tiny_bert: Path) -> Encoder:
    """The tiny BERT as an encoder, tapped after layer 2."""
    return Encoder.load(str(tiny_bert), k=2)


@pytest.fixture(scope="session")
def tiny_reader(tiny_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a split reader with random joint layers on the tiny encoder."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("tiny-split-reader")
    save_reader(folder, JointLayers(tiny_encoder.backbone.shape, 2), tiny_encoder, training={})
    return folder


@pytest.fixture(scope="session")
def default_encoder() -> Encoder:
    """The encoder that ships, tapped after layer 2."""
    return Encoder.load(k=2)


@pytest.fixture(scope="session")
def shipped_reader() -> SplitReader:
    """The reader that ships, on the default encoder."""
    return SplitReader.load()


@pytest.fixture(scope="session")
def example_store(shipped_reader: SplitReader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample corpus, indexed as ``make demo`` does it."""
    store = tmp_path_factory.mktemp("example") / ".qa"
    sync(store, shipped_reader.encoder, [REPOSITORY / "examples" / "corpus"])
    return store


@pytest.fixture
def example_pipeline(example_store: Path, shipped_reader: SplitReader) -> Iterator[Pipeline]:
    """The sample corpus, ready to ask."""
    with Pipeline.open(example_store, shipped_reader) as pipeline:
        yield pipeline
