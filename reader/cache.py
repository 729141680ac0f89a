"""Small facts about this machine and its files that are slow to find, kept between runs in the user's cache folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_MOST_KEPT = 256


class KeptFacts:
    """A JSON file of facts by key. A file that cannot be read or written only costs the time to find them again."""

    def __init__(self, name: str) -> None:
        """:param name: of the file in the cache folder."""
        from platformdirs import user_cache_path

        self.path = user_cache_path("qa", appauthor=False) / name

    def get(self, key: str) -> Any:
        """The fact of a key, None if it is not known."""
        return self._read().get(key)

    def keep(self, key: str, fact: Any) -> None:
        """Keep a fact; the oldest go if there are too many."""
        facts = self._read()
        facts.pop(key, None)
        facts = dict([*facts.items(), (key, fact)][-_MOST_KEPT:])
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
            partial.replace(self.path)
        except OSError:
            pass

    def _read(self) -> dict[str, Any]:
        try:
            facts = json.loads(Path(self.path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}
