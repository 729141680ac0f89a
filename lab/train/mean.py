"""Average readers: ``python -m deformer_qa.lab.train.mean READER READER --out DIR``.

If one reader was trained further from the other, both lie in one basin, and the mean of their weights is often better
than either (Wortsman et al. 2022).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from deformer_qa.reader.checkpoint import WEIGHTS
from deformer_qa.reader.codebook import CODEBOOK
from deformer_qa.reader.description import DESCRIPTION, describe_reader
from deformer_qa.reader.errors import BadTrainingData, ReaderError


def mean_of_readers(folders: Sequence[Path], out: Path) -> None:
    """Write a reader with the mean weights of several; it has the description of the last and is not yet fitted.

    :raises BadTrainingData: if they differ in shape or encoder, or ``out`` exists.
    """
    about = [describe_reader(folder) for folder in folders]
    weights = [load_file(folder / WEIGHTS) for folder in folders]
    shapes = [{name: tensor.shape for name, tensor in one.items()} for one in weights]
    for folder, one, shape in zip(folders, about, shapes, strict=True):
        if (one.encoder_id, one.k, shape) != (about[0].encoder_id, about[0].k, shapes[0]):
            raise BadTrainingData(f"{folder}: another encoder or shape than {folders[0]}; no mean can be taken.")
    if out.exists():
        raise BadTrainingData(f"{out}: is there; take another folder.")
    out.mkdir(parents=True)
    mean = {name: torch.stack([one[name].float() for one in weights]).mean(0).half() for name in weights[0]}
    save_file(mean, out / WEIGHTS)
    content = json.loads((folders[-1] / DESCRIPTION).read_text(encoding="utf-8"))
    content["training"]["mean_of"] = [one.name for one in about]
    (out / DESCRIPTION).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if (folders[-1] / CODEBOOK).is_file():
        shutil.copy(folders[-1] / CODEBOOK, out / CODEBOOK)


def main() -> int:
    """Parse the arguments and write the mean; return 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m deformer_qa.lab.train.mean")
    parser.add_argument("readers", nargs="+", type=Path, help="folders of readers of one shape")
    parser.add_argument("--out", type=Path, required=True, help="where the mean goes")
    given = parser.parse_args()
    try:
        mean_of_readers(given.readers, given.out)
    except ReaderError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
