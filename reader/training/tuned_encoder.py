"""An encoder whose lower layers were trained, on disk: the folder it came from, with those layers replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.families import family_of
from deformer_qa.reader.models import find_model, read_tensors


def save_tuned_encoder(folder: Path, source: str, lower: nn.ModuleList, k: int) -> Encoder:
    """Write the model folder and load it; sentence-transformers and transformers can load it too.

    :param source: name of the encoder it was.
    :param lower: its layers 1..k, trained.
    """
    found = find_model(source)
    family = family_of(found.json("config.json"), str(found.path))
    shutil.copytree(
        found.path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "*.py")
    )
    tensors = family.with_layers(read_tensors(found), lower)
    save_file(
        {name: tensor.float().cpu().contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors"
    )
    return Encoder.load(str(folder), k=k)
