"""The real command on a tiny reader: a corpus to index, the reader's folder, and how ``qa`` is started."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMMAND = """
import sys
from deformer_qa.indexer.sync import sync
from deformer_qa.cli.main import main
sync.__kwdefaults__["commit_seconds"] = float(sys.argv.pop(1))
main()
"""


def make_reader(folder: Path) -> Path:
    """A folder of a reader with random weights on a tiny BERT beside it."""
    import torch
    from parts.tiny_bert import tiny_config, write_model
    from transformers import BertModel

    from deformer_qa.reader.checkpoint import save_reader
    from deformer_qa.reader.networks.joint import JointLayers

    torch.manual_seed(1)
    write_model(folder / "bert", BertModel(tiny_config()).eval(), sentence_transformer=True)
    loaded = encoder(folder)
    save_reader(folder / "reader", JointLayers(loaded.backbone.shape, 2), loaded, training={})
    return folder


@functools.cache
def encoder(folder: Path) -> Any:
    """The tiny BERT as an encoder, loaded once in each process."""
    from deformer_qa.reader.encoder import Encoder

    return Encoder.load(str(folder / "bert"), k=2)


def start(arguments: Sequence[str | Path], commit_seconds: float = 60.0) -> subprocess.Popen[bytes]:
    """``qa`` with these arguments as a process of its own; commits every so many seconds."""
    command = [sys.executable, "-c", COMMAND, str(commit_seconds), *map(str, arguments)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **quiet)


def index_arguments(folder: Path, corpus: Path, store: Path) -> list[str | Path]:
    return ["index", corpus, "--store", store, "--reader", folder / "reader"]


def write_corpus(corpus: Path, texts: dict[str, str]) -> None:
    """Make a folder hold these files and no others."""
    for file in corpus.rglob("*.txt"):
        if str(file.relative_to(corpus)) not in texts:
            file.unlink()
    for name, text in texts.items():
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (corpus / name).write_text(text, encoding="utf-8")
