"""Read data files: JSON or JSON lines, plain or .xz."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

from deformer_qa.reader.errors import BadTrainingData


def read_json(path: Path) -> Any:
    """Read a ``.json`` or ``.json.xz`` file.

    :raises BadTrainingData: if the file is missing or not JSON.
    """
    return _parsed(path, _text(path))


def read_json_records(path: Path) -> list[Any]:
    """Read the records of a file that is one JSON list, or has one record on each line.

    :raises BadTrainingData: as ``read_json``; it names the line.
    """
    text = _text(path)
    if text.lstrip().startswith("["):
        return list(_parsed(path, text))
    return [_parsed(path, line, f"line {n}: ") for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def _text(path: Path) -> str:
    try:
        if path.suffix == ".xz":
            with lzma.open(path, "rt", encoding="utf-8") as stream:
                return stream.read()
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadTrainingData(f"{path}: no such file.") from None
    except (OSError, lzma.LZMAError, EOFError, ValueError) as error:
        raise BadTrainingData(f"{path}: not readable as JSON ({error}).") from error


def _parsed(path: Path, text: str, where: str = "") -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadTrainingData(f"{path}: {where}not readable as JSON ({error}).") from error


def is_text(value: Any) -> bool:
    """Whether a value is Unicode text: a string without lone surrogates."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def sha256_of(file: Path) -> str:
    """Compute the SHA-256 of a file's bytes, in hexadecimal.

    :raises BadTrainingData: if there is no such file, or it is a folder.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise BadTrainingData(f"{file}: no such file.") from None
    except (IsADirectoryError, NotADirectoryError):
        raise BadTrainingData(
            f"{file}: expected a data file in a folder; the training data are given as the folder."
        ) from None
