"""The recipes behind the shipped reader, as TOML files."""

from __future__ import annotations

from pathlib import Path

from deformer_qa.reader.errors import BadTrainingData

_FOLDER = Path(__file__).parent


def recipe_file(name: str) -> Path:
    """Find a shipped recipe by name, or a recipe file by its path.

    :raises BadTrainingData: if it is neither.
    """
    shipped = _FOLDER / f"{name}.toml"
    if shipped.is_file():
        return shipped
    if Path(name).is_file():
        return Path(name)
    known = ", ".join(sorted(path.stem for path in _FOLDER.glob("*.toml")))
    raise BadTrainingData(f"{name}: no such recipe; those that ship are: {known}.")
