"""Which store is meant? ``--store``, else ``QA_STORE``, else the nearest ``.qa`` from here upward, as git looks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DEFAULT_NAME = ".qa"


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--store DIR``."""
    return click.option(
        "--store",
        type=click.Path(path_type=Path, readable=False),
        envvar="QA_STORE",
        metavar="DIR",
        help="The index. Default: QA_STORE, else the nearest .qa from here upward.",
    )(command)


def located(store: Path | None) -> Path:
    """The store to read or to update: the one given, the nearest, or ``./.qa`` (which may not exist yet)."""
    if store is not None:
        return store
    here = Path.cwd()
    for folder in (here, *here.parents):
        if os.path.isdir(folder / DEFAULT_NAME):
            return folder / DEFAULT_NAME
    return here / DEFAULT_NAME
