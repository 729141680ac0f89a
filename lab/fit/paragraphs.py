"""Make a store of a SQuAD file's paragraphs, one document each, for measuring open questions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deformer_qa.lab.data.squad import SquadParagraph
    from deformer_qa.reader.encoder import Encoder


def index_paragraphs(
    paragraphs: Sequence[SquadParagraph], store: Path, encoder: Encoder, encoding: str | None = None
) -> None:
    """Index distinct paragraphs with their articles' titles; passages that the store has are not encoded again.

    The paragraphs are kept in ``<store>.paragraphs.jsonl`` beside the store, so that the store's root stays there.
    """
    from deformer_qa.indexer.sync import sync

    file = store.parent / f"{store.name}.paragraphs.jsonl"
    titles: dict[str, str] = {}
    for one in paragraphs:
        titles.setdefault(one.context, one.title)
    lines = "".join(json.dumps({"title": title, "text": text}) + "\n" for text, title in titles.items())
    if not file.is_file() or file.read_text(encoding="utf-8") != lines:
        file.write_text(lines, encoding="utf-8")
    sync(store, encoder, [file], encoding=encoding)
