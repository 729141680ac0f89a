"""Keep figures part by part, so that a stopped analysis can continue where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deformer_qa.reader.errors import BadTrainingData


class Record:
    """A JSON file of named parts; each is computed once and then written at once.

    :ivar parts: the parts so far, in the order they were computed
    """

    def __init__(self, file: Path, about: dict[str, Any]) -> None:
        """:param about: the inputs of the figures; a file with other inputs is refused.

        :raises BadTrainingData: if ``file`` belongs to another analysis, or does not hold figures.
        """
        self.file, self.about = file, json.loads(json.dumps(about))
        self.parts: dict[str, Any] = {}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise BadTrainingData(f"{file.parent}: expected a folder for figures, found a file.") from None
        if file.is_file():
            found = _read(file)
            if found["about"] != self.about:
                other = [key for key in self.about if found["about"].get(key) != self.about[key]]
                raise BadTrainingData(
                    f"{file}: figures of another analysis are there, with another "
                    f"{' and '.join(other) or 'set of keys'}; "
                    "take another folder, or remove it."
                )
            self.parts = found["parts"]

    def part(self, name: str, make: Callable[[], Any], of: Mapping[str, Any] | None = None) -> Any:
        """Return the part of that name, computed with ``make`` and written if it is not there.

        :param of: further inputs of this part alone; if they differ from those of the kept part, it is computed again.
        """
        expected = json.loads(json.dumps(dict(of or {})))
        kept = self.parts.get(name)
        if kept is None or kept["of"] != expected:
            kept = self.parts[name] = {"of": expected, "figures": json.loads(json.dumps(make()))}
            self._write()
        return kept["figures"]

    def _write(self) -> None:
        beside = self.file.with_name(self.file.name + ".new")
        content = {"schema": 1, "about": self.about, "parts": self.parts}
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(beside, self.file)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content["about"], dict) and isinstance(content["parts"], dict):
            return dict(content)
    except (KeyError, TypeError, ValueError):
        pass
    raise BadTrainingData(f"{file}: expected figures that qa analyze kept, found something else; remove it.")
