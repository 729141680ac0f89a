"""``qa doctor``: say what this machine has, and which engines run the reader here."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from deformer_qa import __version__
from deformer_qa.cli.options import loaded, reader_option
from deformer_qa.cli.output import ExitCode, emit_facts, format_option

_LIBRARIES = ("numpy", "onnxruntime", "tokenizers", "faiss-cpu", "torch", "transformers", "haystack-ai")


@click.command()
@reader_option
@format_option
def doctor(reader_folder: Path | None, form: str) -> int:
    """Say what this machine has, and which engine runs each part of the reader here, and why."""
    from deformer_qa.reader.cache import KeptFacts
    from deformer_qa.reader.machine import processor, usable_cpus

    reader = loaded(reader_folder)
    assert reader.about is not None
    about: dict[str, Any] = {
        "deformer-qa": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processor": processor(),
        "cores": usable_cpus(),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "reader": reader.about.name,
        "encoder": f"{reader.encoder.source}, k={reader.encoder.k}, {reader.encoder.encoder_id}",
        "encoder_engine": reader.encoder.choice.engine,
        "encoder_reason": reader.encoder.choice.reason,
        "joint_engine": reader.choice.engine,
        "joint_reason": reader.choice.reason,
        "cache": str(KeptFacts("engines.json").path.parent),
    }
    rows = [(key.replace("_", " "), _shown(value)) for key, value in about.items()]
    emit_facts(form, about, rows)
    return ExitCode.OK


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _shown(value: Any) -> str:
    return ", ".join(f"{name} {one}" for name, one in value.items()) if isinstance(value, dict) else str(value)
