"""Reads the metadata of a document, plain values by name, from a YAML head or a file beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from deformer_qa.indexer.formats.parsed import NotReadable, one_line
from deformer_qa.indexer.formats.text_encoding import decode, storable

MOST_CHARACTERS = 100_000
MOST_FIELDS = 1_000
_DEEPEST = 100
SIDECAR_SUFFIXES = (".meta.json", ".meta.yaml", ".meta.yml")


def from_sidecar(name: str, raw: bytes) -> tuple[dict[str, Any], list[str]]:
    """The metadata in the file beside a document, as ``plain`` returns them.

    :raises NotReadable: if it is not JSON or YAML, whichever its name states.
    """
    text = decode(raw)
    return from_json(text) if name.endswith(".json") else from_yaml(text)


def from_json(text: str) -> tuple[dict[str, Any], list[str]]:
    """The fields of a JSON object, as ``plain`` returns them. :raises NotReadable: if it is not one."""
    try:
        return plain(json.loads(_checked(text)))
    except json.JSONDecodeError as error:
        raise NotReadable(f"not JSON ({error.msg}, line {error.lineno:,})", "metadata") from None
    except (ValueError, RecursionError) as error:
        raise NotReadable(f"not JSON ({one_line(str(error))[:100]})", "metadata") from None


def from_yaml(text: str) -> tuple[dict[str, Any], list[str]]:
    """The fields of a YAML mapping, as ``plain`` returns them. :raises NotReadable: if it is not one."""
    import yaml

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        _check_nesting(yaml.parse(_checked(text), loader))
        return plain(yaml.load(text, loader))
    except NotReadable:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1:,}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise NotReadable(f"not YAML ({one_line(str(problem))[:100]}{place})", "metadata") from None
    except Exception as error:  # making values from YAML can fail in many ways
        raise NotReadable(f"not YAML ({one_line(str(error))[:100]})", "metadata") from None


def _check_nesting(events: Iterable[Any]) -> None:
    """Refuse deep nesting, on which the library crashes."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > _DEEPEST:
            raise NotReadable(f"YAML nested more than {_DEEPEST} deep", "metadata")


def plain(fields: Any) -> tuple[dict[str, Any], list[str]]:
    """Keep texts, numbers, booleans and lists of them by name; dates become ISO 8601 texts. Then notes on the rest.

    A text or list that YAML refers to repeatedly counts each time, so that a small file cannot become large metadata.

    :raises NotReadable: if ``fields`` is not a mapping.
    """
    if fields is None:
        return {}, []
    if not isinstance(fields, Mapping):
        raise NotReadable("expected a mapping of names to values", "metadata")
    if len(fields) > MOST_FIELDS:
        raise NotReadable(f"{len(fields):,} fields, at most {MOST_FIELDS:,} are kept", "metadata")
    kept, left_out, n_left = {}, [], MOST_CHARACTERS
    for name, value in fields.items():
        if (size := _size(value, n_left)) > n_left:
            left_out.append(f"its metadata field {one_line(str(name))[:50]!r} is too long, or all fields together are")
            continue
        n_left -= size
        if _is_plain(value) or (isinstance(value, list) and all(map(_is_plain, value))):
            kept[storable(str(name))] = [_scalar(one) for one in value] if isinstance(value, list) else _scalar(value)
        elif value is not None:
            left_out.append(f"its metadata field {one_line(str(name))[:50]!r} is no text, number, date or list of them")
    return kept, left_out


def _checked(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        reason = f"metadata of {len(text):,} characters, at most {MOST_CHARACTERS:,} are read"
        raise NotReadable(reason, "metadata")
    return text


def _size(value: Any, enough: int) -> int:
    """The size of a text in characters, of a list in items and characters; stops early above ``enough``."""
    if isinstance(value, list):
        return len(value) + (sum(map(len, filter(_is_text, value))) if len(value) <= enough else 0)
    return len(value) if isinstance(value, str) else 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int | date) and not (isinstance(value, int) and abs(value) >= 2**63)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    return value.isoformat() if isinstance(value, date | datetime) else value
