"""Options that commands share: the store, the reader, conditions on metadata, patterns of paths, encodings, stdin."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.pipeline.errors import BadQuestion
from deformer_qa.reader.engines.names import ENGINES
from deformer_qa.reader.shipped import SHIPPED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deformer_qa.pipeline.filters import Filter
    from deformer_qa.reader.encoder import Encoder
    from deformer_qa.reader.reading import SplitReader
    from deformer_qa.store.encodings import Encoding


DEFAULT_NAME = ".qa"


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--store DIR``."""
    return click.option(
        "--store",
        type=click.Path(path_type=Path, readable=False),
        envvar="QA_STORE",
        metavar="DIR",
        help="The index. Default: QA_STORE, else the nearest .qa in this folder or above.",
    )(command)


def located(store: Path | None) -> Path:
    """The store to use: the one given, else the nearest ``.qa``, else ``./.qa`` (which may not exist yet)."""
    if store is not None:
        return store
    here = Path.cwd()
    for folder in (here, *here.parents):
        if os.path.isdir(folder / DEFAULT_NAME):
            return folder / DEFAULT_NAME
    return here / DEFAULT_NAME


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
    """Check that a device is usable."""
    if name == "cpu":
        return name
    import torch

    try:
        torch.empty(1, device=name).tolist()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise click.BadParameter(f'"{name}" cannot be used here ({reason}).', context, option) from error
    return name


def engine_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--engine NAME``."""
    return click.option(
        "--engine",
        type=click.Choice(ENGINES),
        help="What runs the joint layers. Default: the fastest here, see qa doctor.",
    )(command)


def device_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--device NAME``."""
    return click.option(
        "--device", metavar="NAME", default="cpu", show_default=True, callback=checked_device, help="cpu, cuda, ..."
    )(command)


def threads_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--threads N``, which ``what`` ("Read N passages at once.") explains."""
    return click.option(
        "--threads",
        "n_threads",
        type=click.IntRange(1, 1024),
        metavar="N",
        help=f"{what} Default: one for each usable processor.",
    )


def loaded(folder: Path | None, threads: int | None = None) -> SplitReader:
    """Load the reader with its encoder."""
    from deformer_qa.reader.reading import SplitReader

    return SplitReader.load(folder or SHIPPED).use(n_threads=threads)


def where_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--where FILTER``, as text; ``parsed`` turns it into a filter once the command runs."""
    return click.option(
        "--where",
        metavar="FILTER",
        help="Only documents whose metadata match, such as 'year >= 2020 and lang == \"en\"'. "
        "docs/reference/filters.md has the grammar.",
    )(command)


def parsed(where: str | None) -> Filter | None:
    """Parse the filter; None if none was given.

    :raises BadFilter: pointing at the place of the error.
    """
    if where is None:
        return None
    from deformer_qa.pipeline.filter_language import parsed_filter

    return parsed_filter(where)


SPECIAL = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Whether a text contains ``*``, ``?`` or ``[``."""
    return bool(SPECIAL & set(text))


class Pattern:
    """``*`` matches any part of a name, ``?`` a character, ``[ab]`` and ``[!ab]`` one of a set, ``**`` any folders.

    As in a shell, only ``**`` matches across a ``/``. Unlike in a shell, all also match names with a leading dot.
    """

    def __init__(self, pattern: str) -> None:
        """:param pattern: for full paths, a relative pattern starts at the current folder

        :raises ValueError: if a set in it is invalid, such as ``[z-a]``.
        """
        here = "" if pattern.startswith("/") else re.escape(os.path.join(os.getcwd(), ""))
        try:
            self._relative = re.compile(_expression(pattern))
            self._full = re.compile(here + _expression(pattern))
        except re.error as error:
            raise ValueError(f"invalid pattern ({error.msg})") from error

    def names(self, full: str, relative: str) -> bool:
        """Whether it matches a document's full path, or its path relative to its root."""
        return bool(self._full.fullmatch(full) or self._relative.fullmatch(relative))


def _expression(pattern: str) -> str:
    parts = [part for part in pattern.split("/") if part != "."]
    spelled = [r"(?:[^/]+/)*" if part == "**" else _name(part) + "/" for part in parts[:-1]]
    return "".join(spelled) + (".+" if parts and parts[-1] == "**" else _name(parts[-1]) if parts else "")


def _name(part: str) -> str:
    """The regular expression for one name."""
    found, place = "", 0
    while place < len(part):
        end = part.find("]", place + 3 if part[place : place + 2] == "[!" else place + 2)
        if part[place] == "[" and end > 0:
            inside = part[place + 1 : end]
            negated, inside = inside.startswith("!"), inside.removeprefix("!")
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside).replace("--", r"-\-")
            found += f"[^/{inside}]" if negated else f"(?!/)[{inside}]"
            place = end + 1
            continue
        found += {"*": "[^/]*", "?": "[^/]"}.get(part[place], re.escape(part[place]))
        place += 1
    return found


ENCODINGS = ("fp16", "int8", "int4", "pq4", "pq6")
"""The store's encodings, repeated here because its module is too slow to import for ``qa --help``."""


def encoding_of(encoder: Encoder, name: str | None) -> Encoding:
    """An encoding by name; None means the encoding of a new store for this encoder.

    :raises InvalidRecord: if it needs a codebook that the encoder lacks.
    """
    from deformer_qa.indexer.encoding import codebook_of
    from deformer_qa.store.encodings import DEFAULT_ENCODING, encoding_named

    codebook = codebook_of(encoder)
    chosen = name or (codebook.encoding if codebook else DEFAULT_ENCODING)
    return encoding_named(chosen, codebook if codebook and codebook.encoding == chosen else None)


def through(encoding: Encoding) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Encode and decode states, as the store does before the joint layers get them."""
    return lambda states: encoding.decode(encoding.encode(states))


_MOST_BYTES = 1 << 20
"""Limit for stdin. It is larger than that of a question, because blanks around a question do not count."""


def question_on_stdin() -> str:
    """Read a question from stdin as UTF-8, up to a limit.

    :raises BadQuestion: if it is not UTF-8, or exceeds the limit.
    """
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        from deformer_qa.pipeline.questions import MOST_CHARACTERS

        raise BadQuestion(
            f"The question on stdin has over {_MOST_BYTES:,} bytes, at most {MOST_CHARACTERS:,} characters "
            "are taken; shorten it."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadQuestion(
            f"The question on stdin is not UTF-8 at byte {error.start + 1:,}; send it as UTF-8."
        ) from None
