"""The recipes behind the shipped reader, as TOML files."""

from __future__ import annotations

from pathlib import Path


def shipped_recipe(name: str) -> Path | None:
    """The file of a recipe that comes with the package, None where there is none of that name."""
    path = Path(__file__).parent / f"{name}.toml"
    return path if path.is_file() else None
