"""Which options of ``qa index`` say what is read of a folder, and what a file may be and cost?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deformer_qa.cli.patterns import is_pattern

if TYPE_CHECKING:
    from deformer_qa.indexer.formats.limits import FileLimits

_MIB = 2**20
_MOST = 2**40  # in MiB still a number of bytes that the system takes
_LIMITS: dict[str, tuple[str, int, str]] = {  # option: field of FileLimits, unit, help
    "max-file-size": ("file_bytes", _MIB, "MiB of a file."),
    "max-text": ("text_characters", 1, "Characters of the text of a document."),
    "max-pages": ("pages", 1, "Pages, slides or sheets."),
    "max-members": ("members", 1, "Files in an archive, as office documents are."),
    "max-unpacked": ("unpacked_bytes", _MIB, "MiB of an archive when unpacked."),
    "max-ratio": ("ratio", 1, "How many times a member of an archive may be packed."),
    "max-nesting": ("nesting", 1, "Values of JSON, or parts of mail, in each other."),
    "max-seconds": ("seconds", 1, "Seconds for reading one file."),
    "max-memory": ("memory_bytes", _MIB, "MiB of memory for reading files."),
}


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--include``, ``--exclude``, ``--no-ignore``."""
    options = (
        click.option(
            "--include",
            multiple=True,
            metavar="PATTERN",
            help="Only files that this fits, as '*.pdf' or 'papers/**'. May be given several times.",
        ),
        click.option(
            "--exclude",
            multiple=True,
            metavar="PATTERN",
            help="No files or folders that this fits; patterns are those of .gitignore. May be given several times.",
        ),
        click.option(
            "--no-ignore", is_flag=True, help="Take also what .gitignore and .qaignore files in the folders name."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option per limit; the command gets them as one ``limits``: a dict for ``file_limits``."""
    from functools import wraps

    @wraps(command)
    def with_limits(*arguments: Any, **options: Any) -> Any:
        limits = {field: options.pop(_name(option)) for option, (field, _, _) in _LIMITS.items()}
        return command(*arguments, limits=limits, **options)

    wrapped: Callable[..., Any] = with_limits
    for option, (_, _, what) in reversed(_LIMITS.items()):
        wrapped = click.option(f"--{option}", type=click.IntRange(1, _MOST), metavar="N", help=f"At most: {what}")(
            wrapped
        )
    return wrapped


def file_limits(chosen: dict[str, int | None]) -> FileLimits:
    """The limits chosen, the others as they are by default."""
    from dataclasses import replace

    from deformer_qa.indexer.formats.limits import DEFAULT_LIMITS

    units = {field: unit for field, unit, _ in _LIMITS.values()}
    assert units.keys() == {field.name for field in fields(DEFAULT_LIMITS)}
    return replace(DEFAULT_LIMITS, **{field: n * units[field] for field, n in chosen.items() if n is not None})


def existing_paths(paths: tuple[Path, ...]) -> list[Path]:
    """The paths; a pattern such as ``'papers/**/*.pdf'`` that no shell has spread becomes what it fits.

    :raises click.UsageError: for a path that is not there, or a pattern that fits nothing.
    """
    found: list[Path] = []
    for path in paths:
        if _is_there(path):
            found.append(path)
        elif is_pattern(str(path)):
            found += _fitting(path)
        else:
            raise click.UsageError(f"{path}: no such file or folder.")
    return found


def _fitting(pattern: Path) -> list[Path]:
    """What a pattern fits, as in a shell: nothing hidden, unless it begins with "." in the pattern too."""
    try:
        relative = pattern.relative_to(pattern.anchor) if pattern.anchor else pattern
        found = sorted(Path(pattern.anchor or ".").glob(str(relative)))
    except (ValueError, NotImplementedError, OSError) as error:
        raise click.UsageError(f"{pattern}: not a pattern ({error}).") from error
    if not any(_is_hidden(name) for name in relative.parts):
        found = [path for path in found if not any(map(_is_hidden, path.parts))]
    if not found:
        raise click.UsageError(f"{pattern}: no file or folder fits this pattern.")
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name not in (".", "..")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return True  # it will be told why it cannot be looked at


def _name(option: str) -> str:
    return option.replace("-", "_")
