"""Defaults from files: the user's, then the project's; environment variables and flags come after them.

A file is TOML: option names at the top for all commands, or in a table named like a command::

    store = "/data/papers.qa"
    [ask]
    answers = 5
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import click

USER_FILE = "config.toml"
PROJECT_FILE = "qa.toml"


def configured_defaults(root: click.Group) -> dict[str, Any]:
    """click's ``default_map`` from the files there are.

    :raises click.UsageError: naming the file and the key that no command has, or the value's place.
    """
    import platformdirs

    files = [Path(platformdirs.user_config_dir("qa", appauthor=False)) / USER_FILE, *_project_files()]
    defaults: dict[str, Any] = {}
    for file in files:
        if os.path.isfile(file):  # false, not an error, where we may not look
            _merge(defaults, _checked(_read(file), root, file))
    return defaults


def _project_files() -> list[Path]:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if os.path.isfile(folder / PROJECT_FILE):
            return [folder / PROJECT_FILE]
    return []


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: not readable as TOML ({error}).") from error


def _checked(content: dict[str, Any], group: click.Group, file: Path) -> dict[str, Any]:
    """The file's content with top-level options spread over the commands that have them."""
    defaults: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            command = group.commands.get(key)
            if command is None:
                raise click.UsageError(f'{file}: unknown table "{key}"; tables are named like commands.')
            if isinstance(command, click.Group):
                defaults[key] = _checked(value, command, file)
                continue
            names = _option_names(command)
            for name in value:
                if name not in names:
                    raise click.UsageError(f'{file}: [{key}]: unknown option "{name}"; known are: {", ".join(names)}.')
            defaults.setdefault(key, {}).update({names[name]: one for name, one in value.items()})
        else:
            takers = [(name, one) for name, one in group.commands.items() if key in _option_names(one)]
            if not takers:
                raise click.UsageError(f'{file}: unknown option "{key}"; no command has it.')
            for name, command in takers:
                defaults.setdefault(name, {}).setdefault(_option_names(command)[key], value)
    return defaults


def _option_names(command: click.Command) -> dict[str, str]:
    """Long option names, without dashes, and the parameters they set."""
    return {
        spelling.removeprefix("--"): parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name
        for spelling in parameter.opts
        if spelling.startswith("--")
    }


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
