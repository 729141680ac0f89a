"""Write command-line.md from the commands themselves: ``python docs/reference/command_line.py``.

A test compares the page with what this makes, so a changed option or help text fails until the page is written again.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from deformer_qa.cli.main import root

PAGE = Path(__file__).with_name("command-line.md")
_HEAD = """# Commands

This page is generated from the code: run `make docs` after changing a command. It lists every
command with its arguments, options and defaults, as `qa COMMAND --help` does.

What all commands share (where the store is, configuration, output forms, exit codes) is on the page
[What all commands share](conventions.md).
"""


def page() -> str:
    """The whole page as Markdown."""
    found = list(commands(root, "qa"))
    index = "\n".join(f"| [`{name}`](#{name.replace(' ', '-')}) | {_first_line(command)} |" for name, command in found)
    return "\n".join([_HEAD, f"| command | |\n|---|---|\n{index}\n", *(_section(*one) for one in found)])


def commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group that is no group itself, with its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        elif command is not None:
            yield f"{prefix} {name}", command


def _first_line(command: click.Command) -> str:
    return _in_table(command.get_short_help_str(limit=500))


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    options = [one for one in command.params if isinstance(one, click.Option)]
    rows = "\n".join(f"| {_spelling(one)} | {_meaning(one, context)} |" for one in options)
    return f"## {name}\n\n```text\n{usage}\n```\n\n{_prose(command.help or '')}\n\n| option | |\n|---|---|\n{rows}\n"


def _prose(text: str) -> str:
    """The help text: paragraphs at 100 columns, what stands behind a backspace as it is."""
    paragraphs = re.split(r"\n\s*\n", textwrap.dedent(text).strip())
    return "\n\n".join(
        "```sh\n" + one.removeprefix("\b\n") + "\n```"
        if one.startswith("\b")
        else textwrap.fill(_literal(" ".join(one.split())), 100, break_long_words=False, break_on_hyphens=False)
        for one in paragraphs
    )


def _spelling(option: click.Option) -> str:
    names = "`, `".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return f"`{names}`"
    return f"`{names}` `{_in_table(option.make_metavar(click.Context(root)))}`"


def _meaning(option: click.Option, context: click.Context) -> str:
    extra = option.get_help_extra(context)
    facts = ["Required."] if "required" in extra else []
    if "default" in extra:
        facts.append(f"Default: `{extra['default']}`.")
    if "range" in extra:
        facts.append(f"`{re.sub('<=1099511627776', '', str(extra['range'])).replace('1<=x', 'x>=1')}`.")
    return " ".join([_in_table(_literal(option.help or "")), *facts])


def _literal(text: str) -> str:
    """Patterns such as ``*`` and ``[`` as they are, which Markdown would take for its own."""
    return re.sub(r"([*\[\]<>])", r"\\\1", text)


def _in_table(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
