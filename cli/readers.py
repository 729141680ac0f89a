"""Which reader answers? ``--reader DIR``, else the one shipped with the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.reader.shipped import SHIPPED

if TYPE_CHECKING:
    from deformer_qa.reader.reading import SplitReader


def reader_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--reader DIR``."""
    return click.option(
        "--reader",
        "reader_folder",
        type=click.Path(path_type=Path, readable=False),
        envvar="QA_READER",
        metavar="DIR",
        help="A reader made by qa train. Default: the one shipped.",
    )(command)


def checked_device(context: click.Context, option: click.Parameter, name: str) -> str:
    """A device that is there."""
    import torch

    try:
        torch.empty(1, device=name).tolist()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise click.BadParameter(f'"{name}" cannot be used here ({reason}).', context, option) from error
    return name


def loaded(folder: Path | None) -> SplitReader:
    """The reader and its encoder."""
    from deformer_qa.reader.reading import SplitReader

    return SplitReader.load(folder or SHIPPED)
