"""Parts that tests share: tiny real models built in code, the default model, the data that may be at hand."""

from __future__ import annotations

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from parts.tiny_bert import tiny_config, write_model
from parts.tiny_training import write_training_data
from transformers import BertForQuestionAnswering, BertModel

from deformer_qa.indexer.sync import sync
from deformer_qa.pipeline.ask import Pipeline
from deformer_qa.reader.checkpoint import save_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.reading import SplitReader

REPOSITORY = Path(__file__).resolve().parents[1]
_SHARED = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets, where it is at hand."""
    if not _SHARED.is_dir():
        pytest.skip(f"public data sets are not at hand ({_SHARED.name} beside the repository)")
    return _SHARED


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
