"""Which indexed document is which document of a file? By content first, then by place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from deformer_qa.indexer.formats import ParsedDocument
from deformer_qa.indexer.plan import FileWork, record_of
from deformer_qa.store import DocumentInfo


@dataclass(frozen=True)
class Pair:
    """A document of a file with the indexed document that it continues, if any."""

    document: ParsedDocument
    earlier: DocumentInfo | None

    @property
    def is_same(self) -> bool:
        """Whether the content is the same, so that there is nothing to encode."""
        return self.earlier is not None and self.earlier.content_hash == self.document.content_hash


def pair_documents(documents: Sequence[ParsedDocument], work: FileWork) -> tuple[list[Pair], list[DocumentInfo]]:
    """A pair for each document of a file, in order, and the indexed documents that are left: nothing continues them."""
    by_content: dict[str, list[DocumentInfo]] = defaultdict(list)
    for known in (*work.moved, *work.own):
        by_content[known.content_hash].append(known)
    own_by_record = {record_of(info): info for info in work.own}
    earlier: dict[str, DocumentInfo] = {}
    info: DocumentInfo | None
    for document in documents:  # those that are where they were, before others of the same content may claim them
        info = own_by_record.get(document.record)
        if info and info.content_hash == document.content_hash:
            earlier[document.record] = info
            by_content[document.content_hash].remove(info)
    for document in documents:
        if document.record not in earlier and by_content.get(document.content_hash):
            earlier[document.record] = by_content[document.content_hash].pop(0)
    taken = {known.id for known in earlier.values()}
    for document in documents:
        info = own_by_record.get(document.record)
        if document.record not in earlier and info and info.id not in taken:
            earlier[document.record] = info
            taken.add(info.id)
    pairs = [Pair(document, earlier.get(document.record)) for document in documents]
    return pairs, [known for known in (*work.moved, *work.own) if known.id not in taken]
