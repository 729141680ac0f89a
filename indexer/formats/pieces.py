"""Text put together from pieces with an outline each, as chapters, mails and cells are, blank lines between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Outline = tuple[tuple[int, str], ...]


class Pieces:
    """Collects a document's text piece by piece; what is told of a piece is moved to where it comes to stand."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._n_characters = 0
        self._outline: list[tuple[int, str]] = []
        self._locations: dict[str, list[tuple[int, int | str]]] = {}

    def add(
        self, text: str, outline: Iterable[tuple[int, str]] = (), located: Mapping[str, int | str] | None = None
    ) -> None:
        """A piece without the empty lines around it; one without text is nothing.

        :param outline: (offset in the piece, heading)
        :param located: by kind where all of it stands
        """
        kept = text.lstrip("\r\n")
        n_before = len(text) - len(kept)
        kept = kept.rstrip()
        if not kept.strip():
            return
        if self._texts:
            self._append("\n\n")
        for kind, value in (located or {}).items():
            self._locations.setdefault(kind, []).append((self._n_characters, value))
        self._outline += [(self._n_characters + max(0, offset - n_before), heading) for offset, heading in outline]
        self._append(kept)

    def heading(self, heading: str) -> None:
        """A heading on a line of its own."""
        self.add(heading, ((0, heading),))

    def finish(self) -> tuple[str, Outline, dict[str, tuple[tuple[int, int | str], ...]]]:
        """The text, its outline, its locations."""
        locations = {kind: tuple(marks) for kind, marks in self._locations.items()}
        return "".join(self._texts), tuple(self._outline), locations

    def _append(self, text: str) -> None:
        self._texts.append(text)
        self._n_characters += len(text)
