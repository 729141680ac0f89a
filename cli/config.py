"""Reads default options from files: the project's override the user's, environment variables and flags override both.

A file is TOML: option names at the top apply to all commands, those in a table to the command of its name::

    store = "/data/papers.qa"
    [ask]
    answers = 5
    [index]
    exclude = ["*.log", "drafts/"]
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

USER_FILE = "config.toml"
PROJECT_FILE = "qa.toml"


def configured_defaults(root: click.Group) -> dict[str, Any]:
    """click's ``default_map`` from the existing files.

    :raises click.UsageError: naming the file and the unknown key, or the place of a bad value.
    """
    import platformdirs

    files = [Path(platformdirs.user_config_dir("qa", appauthor=False)) / USER_FILE, *_project_files()]
    defaults: dict[str, Any] = {}
    for file in files:
        if os.path.isfile(file):  # False, not an error, for a folder without access
            _merge(defaults, _checked(_read(file), root, file))
    return defaults


def _project_files() -> list[Path]:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if os.path.isfile(folder / PROJECT_FILE):
            return [folder / PROJECT_FILE]
    return []


def _read(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: not readable as TOML ({error}).") from error


def _checked(content: dict[str, Any], group: click.Group, file: Path) -> dict[str, Any]:
    """The file's content, with top-level options copied to the commands that have them."""
    defaults: dict[str, Any] = {}
    for key, value in content.items():
        if not isinstance(value, dict):
            if not _spread(defaults, group, key, value, file):
                raise click.UsageError(f'{file}: unknown option "{key}"; no command has it.')
            continue
        command = group.get_command(click.Context(group), key)
        if command is None:
            raise click.UsageError(f'{file}: unknown table "{key}"; tables are named like commands.')
        if isinstance(command, click.Group):
            _merge(defaults.setdefault(key, {}), _checked(value, command, file))
            continue
        options = _options(command)
        for name, one in value.items():
            if name not in options:
                known = ", ".join(options)
                raise click.UsageError(f'{file}: [{key}]: unknown option "{name}"; known are: {known}.')
            defaults.setdefault(key, {})[options[name].name] = _value(options[name], name, one, file)
    return defaults


def _spread(defaults: dict[str, Any], group: click.Group, key: str, value: Any, file: Path) -> bool:
    """Copy a top-level option to every command below that has it; False if none does."""
    taken = False
    for name, command in _commands(group).items():
        if isinstance(command, click.Group):
            taken |= _spread(defaults.setdefault(name, {}), command, key, value, file)
        elif key in _options(command):
            option = _options(command)[key]
            defaults.setdefault(name, {}).setdefault(option.name, _value(option, key, value, file))
            taken = True
    return taken


def _commands(group: click.Group) -> dict[str, click.Command]:
    """All commands of a group; this imports those of ``qa``."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command}


def _value(option: click.Option, key: str, value: Any, file: Path) -> Any:
    """The value for an option; a list if it may be given several times."""
    if option.multiple:
        return [
            _placed(option, _plain(key, one, file), file) for one in (value if isinstance(value, list) else [value])
        ]
    return _placed(option, _plain(key, value, file), file)


def _plain(key: str, value: Any, file: Path) -> Any:
    if not isinstance(value, (str, int, float, bool)):
        raise click.UsageError(f"{file}: {key}: expected a text or a number, found {value!r}.")
    return value


def _placed(option: click.Option, value: Any, file: Path) -> Any:
    """The value; a path in a file is relative to the file's folder."""
    if isinstance(option.type, click.Path) and isinstance(value, str):
        return str(file.parent / Path(value).expanduser())
    return value


def _options(command: click.Command) -> dict[str, click.Option]:
    """Options by their long names, without dashes."""
    return {
        spelling.removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for spelling in parameter.opts
        if spelling.startswith("--")
    }


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
