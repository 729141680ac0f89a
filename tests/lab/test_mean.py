"""The mean of readers' weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from deformer_qa.lab.train.mean import mean_of_readers
from deformer_qa.reader.checkpoint import WEIGHTS, save_reader
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.errors import BadTrainingData
from deformer_qa.reader.networks.joint import JointLayers
from deformer_qa.reader.reading import SplitReader


def test_the_mean_of_two_readers_is_a_reader_halfway_between_them(tiny_encoder: Encoder, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        save_reader(folder, JointLayers(tiny_encoder.backbone.shape, 2), tiny_encoder, training={})
    mean_of_readers(folders, tmp_path / "mean")
    first, second, mean = (load_file(folder / WEIGHTS) for folder in (*folders, tmp_path / "mean"))
    for name, tensor in mean.items():
        assert torch.allclose(tensor.float(), (first[name].float() + second[name].float()) / 2, atol=1e-3), name
    about = SplitReader.load(tmp_path / "mean").about
    assert about is not None
    assert about.training["mean_of"] == [str(folder) for folder in folders]


def test_readers_of_other_shapes_have_no_mean(tiny_encoder: Encoder, tmp_path: Path) -> None:
    for name, n_layers in (("first", 1), ("second", 2)):
        save_reader(tmp_path / name, JointLayers(tiny_encoder.backbone.shape, n_layers), tiny_encoder, training={})
    with pytest.raises(BadTrainingData, match="another encoder or shape"):
        mean_of_readers([tmp_path / "first", tmp_path / "second"], tmp_path / "mean")
