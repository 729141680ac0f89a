"""One generation of a store, open for reading: it does not change while writers commit and collect."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import names
from deformer_qa.store.disk import FileSum
from deformer_qa.store.encodings import Codebook, Encoding, encoding_named
from deformer_qa.store.errors import DocumentNotFound, PassageNotFound, StoreDamaged, StoreError
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Entry, IndexEntry, Manifest, to_bytes
from deformer_qa.store.records import DocumentInfo, DocumentRecord, EncoderInfo, Hit, PassageRecord
from deformer_qa.store.segments import bm25
from deformer_qa.store.segments.block import Block, BlockFiles
from deformer_qa.store.segments.catalogue import QUERY_BATCH, Catalogue, CatalogueFiles
from deformer_qa.store.segments.codebook_file import CodebookFiles, open_codebook
from deformer_qa.store.segments.dense import RowHit, nearest_among, nearest_rows
from deformer_qa.store.segments.vector_index import IndexFiles, VectorIndex, open_indexes

if TYPE_CHECKING:
    from deformer_qa.store.conditions import Where

Identity = tuple[str, frozenset[tuple[str, FileSum]]]


def identity(entry: Entry) -> Identity:
    """Identify a segment by name and checksums, so that a store replaced on disk is not mistaken for the old one."""
    return entry.segment, frozenset(entry.files.items())


def open_files_of(segments: Iterable[Block | Catalogue | VectorIndex]) -> dict[Identity, Any]:
    """The open files of some segments, by identity, which also tells their kind."""
    return {identity(segment.entry): segment.files for segment in segments}


FILTERED_CANDIDATES = 4  # times as many as requested, multiplied again while the filter leaves too few

T = TypeVar("T")


class Snapshot:
    """A generation of the store. Safe to use from threads; close it, or use it in ``with``.

    Nothing on disk records that it is open: its maps keep the files readable after they are collected.
    """

    def __init__(
        self, path: Path, manifest: Manifest, notice: str | None = None, reuse: Snapshot | None = None
    ) -> None:
        """:param reuse: another generation, whose open files are shared if both have them, unless it is closed."""
        self.path = path
        self.manifest = manifest
        self.notice = notice
        shared: dict[Identity, Any] = {}
        if reuse is not None and (reuse.encoder, reuse.encoding) == (manifest.encoder, manifest.encoding):
            shared = open_files_of((*reuse._all_blocks, *reuse._all_catalogues, *reuse._indexes))

        def known(entry: Entry) -> Any:
            return shared.get(identity(entry)) if shared else None

        def block_files(entry: BlockEntry) -> BlockFiles:
            return known(entry) or BlockFiles(path, entry, manifest.encoder, manifest.encoding)

        def catalogue_files(entry: CatalogueEntry) -> CatalogueFiles:
            return known(entry) or CatalogueFiles(path, entry)

        def index_files(entry: IndexEntry) -> IndexFiles:
            return known(entry) or IndexFiles(path, entry, manifest.encoder.vector_width)

        self._all_blocks: tuple[Block, ...] = tuple(Block(entry, block_files(entry)) for entry in manifest.blocks)
        self._all_catalogues: tuple[Catalogue, ...] = tuple(
            Catalogue(entry, catalogue_files(entry)) for entry in manifest.catalogues
        )
        self._indexes: tuple[VectorIndex, ...]
        self._indexes, self.index_problem = open_indexes(manifest.indexes, self._all_blocks, index_files)
        if self.index_problem:
            self.notice = f"{notice} {self.index_problem}" if notice else self.index_problem
        older = reuse._codebook_files if reuse else None
        self._codebook_files: CodebookFiles | None = open_codebook(path, manifest, older)
        self._query_words = bm25.QueryWords()
        self._closed = False

    @property
    def generation(self) -> int:
        return self.manifest.generation

    @property
    def encoder(self) -> EncoderInfo:
        return self.manifest.encoder

    @property
    def encoding(self) -> str:
        return self.manifest.encoding

    @property
    def roots(self) -> tuple[str, ...]:
        return self.manifest.roots

    @property
    def n_documents(self) -> int:
        return sum(entry.n_live_documents for entry in self.manifest.catalogues)

    @property
    def n_passages(self) -> int:
        return sum(entry.n_live_passages for entry in self.manifest.catalogues)

    # Retrieval

    def nearest(
        self, query: NDArray[np.float32], n: int, among: Collection[int] | None = None, *, exact: bool = False
    ) -> list[Hit]:
        """The n live passages whose vectors have the largest inner product with the query, best first.

        The search is exact for rows without a vector index; for others the index proposes candidates, at least n if
        there are n.

        ``query``: *Shape* (vector_width,), float32. ``among`` limits the answer to these passage ids; unknown ids are
        ignored. Equal scores are in order of passage id. ``exact`` bypasses the vector indexes.

        :raises StoreDamaged: if a vector of the answer is not the one that was committed.
        """
        query = np.ascontiguousarray(query, dtype=np.float32)
        if query.shape != (self.encoder.vector_width,) or not np.isfinite(query).all():
            raise ValueError(f"query: found shape {query.shape}, expected {self.encoder.vector_width} finite numbers")
        if n <= 0:
            return []
        indexes = () if exact else self._indexes
        if among is None:
            hits = self._passages_of(nearest_rows(self.blocks, query, n, indexes))
        else:
            hits = self._nearest_among(query, n, set(among), indexes)
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage_id))[:n]

    def _nearest_among(
        self, query: NDArray[np.float32], n: int, ids: set[int], indexes: Sequence[VectorIndex]
    ) -> list[Hit]:
        """The n nearest passages among these: compares few one by one, and of many takes candidates until n remain."""
        n_asked = FILTERED_CANDIDATES * n
        while n_asked * FILTERED_CANDIDATES < len(ids):
            found = nearest_rows(self.blocks, query, n_asked, indexes)
            hits = [hit for hit in self._passages_of(found) if hit.passage_id in ids]
            if len(hits) >= n or len(found) < n_asked:
                return hits
            n_asked *= FILTERED_CANDIDATES
        wanted = self._gather(list(ids), lambda catalogue, some: {p.id: p.key for p in catalogue.passages(some)})
        rows = self._rows_by_block(sorted(set(wanted.values())))
        scores = {row.key: row.score for row in nearest_among(self.blocks, query, n, rows)}
        return [Hit(id_, scores[key]) for id_, key in wanted.items() if key in scores]

    def bm25(
        self,
        query: str,
        n: int,
        among: Collection[int] | None = None,
        *,
        exact: bool = False,
        every_word: bool = False,
    ) -> list[Hit]:
        """The n live passages that score highest for the query's words, best first; see ``store.segments.bm25``.

        Title and heading count with the text. A repeated word counts once. Equal scores are in order of passage id.
        ``exact`` reads all postings of all words, which changes no answer. ``every_word`` leaves only passages
        that hold all of the query's words.
        """
        words = self._query_words.of(query)
        return bm25.rank(self.catalogues, words, n, among, prune=not exact, every_word=every_word)

    # Documents and passages

    def document(self, document_id: int) -> DocumentRecord:
        """A document with its text, checked.

        :raises DocumentNotFound: if no live document has this id.
        """
        return self.documents([document_id])[0]

    def documents(self, ids: Sequence[int]) -> list[DocumentRecord]:
        """Some documents with their texts, checked, in the order of ``ids``; read together.

        :raises DocumentNotFound: if an id is not that of a live document.
        """
        found = self._gather(ids, lambda catalogue, some: {one.id: one for one in catalogue.documents(some)})
        return _in_order(ids, found, DocumentNotFound)

    def has_document(self, document_id: int) -> bool:
        """Whether a live document has this id."""
        return any(catalogue.document_infos([document_id]) for catalogue in self.catalogues)

    def document_infos(self, ids: Sequence[int]) -> list[DocumentInfo]:
        """Some documents without their texts, in the order of ``ids``."""
        found = self._gather(ids, lambda catalogue, some: {info.id: info for info in catalogue.document_infos(some)})
        return _in_order(ids, found, DocumentNotFound)

    def iter_documents(self) -> Iterator[DocumentInfo]:
        """All documents in ascending order of id, read a page at a time."""
        return heapq.merge(*(c.iter_documents() for c in self.catalogues), key=lambda info: info.id)

    def find_documents(self, root: str) -> dict[str, DocumentInfo]:
        """The documents of a root by their path."""
        infos = [info for catalogue in self.catalogues for info in catalogue.documents_of_root(root)]
        return {info.path: info for info in sorted(infos, key=lambda info: info.path)}

    def documents_where(self, where: Where) -> list[DocumentInfo]:
        """The documents that SQL finds for a condition (``conditions.where``), in ascending order of id."""
        infos = [info for catalogue in self.catalogues for info in catalogue.documents_where(where)]
        return sorted(infos, key=lambda info: info.id)

    def passages_of_documents(self, ids: Sequence[int]) -> list[int]:
        """The ids of the passages of these documents, ascending; unknown ids are ignored."""
        wanted = np.asarray(ids, np.uint64)
        found = [catalogue.passages_of_documents(wanted) for catalogue in self.catalogues]
        return sorted(np.concatenate(found).tolist()) if found else []

    def document_at(self, root: str, path: str) -> int | None:
        """The id of the document at a place, None if there is none."""
        found = (catalogue.document_at(root, path) for catalogue in self.catalogues)
        return next((id_ for id_ in found if id_ is not None), None)

    def document_passages(self, document_id: int) -> list[PassageRecord]:
        """The passages of a document, in order.

        :raises DocumentNotFound: if no live document has this id.
        """
        for catalogue in self.catalogues:
            if catalogue.document_infos([document_id]):
                return catalogue.passages_of_document(document_id)
        raise DocumentNotFound(document_id)

    def passages(self, ids: Sequence[int]) -> list[PassageRecord]:
        """Some passages, in the order of ``ids``.

        :raises PassageNotFound: if an id is not that of a live passage.
        """
        found = self._gather(ids, lambda catalogue, some: {record.id: record for record in catalogue.passages(some)})
        return _in_order(ids, found, PassageNotFound)

    def passage_texts(self, ids: Sequence[int]) -> list[str]:
        """The texts of some passages, in the order of ``ids``, each compared with its key.

        :raises PassageNotFound: if an id is not that of a live passage.
        :raises StoreDamaged: if a text is not the one that was encoded.
        """
        return _in_order(ids, self._gather(ids, Catalogue.passage_texts), PassageNotFound)

    def passages_with_texts(self, ids: Sequence[int]) -> list[tuple[PassageRecord, str]]:
        """Some passages with their texts, in the order of ``ids``, each text compared with its key.

        :raises PassageNotFound, StoreDamaged: as ``passage_texts``.
        """
        return _in_order(ids, self._gather(ids, Catalogue.passages_with_texts), PassageNotFound)

    def passage_inputs(self, ids: Sequence[int]) -> list[str]:
        """The encoder inputs of some passages, in the order of ``ids``: their texts, most below a heading.

        :raises PassageNotFound, StoreDamaged: as ``passage_texts``.
        """
        return _in_order(ids, self._gather(ids, Catalogue.passage_inputs), PassageNotFound)

    def passage_ids(self) -> NDArray[np.uint64]:
        """The ids of all passages, in any order. *Shape:* (n_passages,), uint64."""
        return np.concatenate([np.empty(0, np.uint64), *(c.live_passage_ids() for c in self.catalogues)])

    # Rows

    def states(self, keys: Sequence[bytes]) -> list[NDArray[np.float32]]:
        """The decoded states of some rows, in the order of ``keys``; each a fresh array.

        *Shape* of each: (n_tokens, hidden_width), float32.

        :raises StoreDamaged: naming file and row, if they are not those that were committed.
        """
        located = self._locate(keys)  # before the codebook, so that a closed snapshot says that it is closed
        decode = self.states_encoding().decode
        return [decode(block.files.encoded_states(row)) for block, row in located]

    def states_encoding(self) -> Encoding:
        """The encoding of states in this store, with its codebook if it has one.

        :raises StoreDamaged: if the codebook is not the one that was committed.
        """
        return encoding_named(self.encoding, self.codebook)

    @property
    def codebook(self) -> Codebook | None:
        """The store's own codebook, None if its encoding has none.

        :raises StoreDamaged: if it is not the one that was committed.
        """
        return self._codebook_files.codebook if self._codebook_files else None

    def vectors(self, keys: Sequence[bytes]) -> NDArray[np.float32]:
        """The vectors of some rows, checked, in the order of ``keys``. *Shape:* (n_keys, vector_width), float32."""
        vectors = np.empty((len(keys), self.encoder.vector_width), dtype=np.float32)
        for place, (block, row) in enumerate(self._locate(keys)):
            vectors[place] = block.files.vector(row)
        return vectors

    def has_row(self, key: bytes) -> bool:
        """Whether this key has a row, dead or alive."""
        return any(block.files.find_one(key) >= 0 for block in self.blocks)

    def find_rows(self, keys: Sequence[bytes]) -> list[NDArray[np.int64]]:
        """For each block of the manifest, in order, the row of each key, -1 if the block lacks it.

        *Shape* of each: (n_keys,), int64.
        """
        return [block.files.find(keys) for block in self.blocks]

    # The rest

    def size_report(self) -> dict[str, Any]:
        """The bytes, rows and tokens of the generation, by kind of file."""
        n_bytes: dict[str, int] = {}
        for entry in self.manifest.segments:
            for file, file_sum in entry.files.items():
                n_bytes[file] = n_bytes.get(file, 0) + file_sum.n_bytes
        n_bytes["manifest"] = len(to_bytes(self.manifest))
        blocks = self.manifest.blocks
        return {
            "bytes": n_bytes,
            "total_bytes": sum(n_bytes.values()),
            "n_segments": len(self.manifest.segments),
            "n_blocks": len(blocks),
            "n_catalogues": len(self.manifest.catalogues),
            "n_indexes": len(self.manifest.indexes),
            "n_rows": sum(entry.n_rows for entry in blocks),
            "n_dead_rows": sum(entry.n_rows - entry.n_live_rows for entry in blocks),
            "n_tokens": sum(entry.n_tokens for entry in blocks),
            "n_deleted_documents": sum(e.n_documents - e.n_live_documents for e in self.manifest.catalogues),
        }

    def close(self) -> None:
        """Close the files; values already returned stay valid."""
        self._closed = True
        self._all_blocks = ()
        self._all_catalogues = ()
        self._indexes = ()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The open blocks, in the manifest's order; for this package only."""
        blocks = self._all_blocks
        self._require_open()
        return blocks

    @property
    def catalogues(self) -> tuple[Catalogue, ...]:
        """The open catalogues, in the manifest's order; for this package only."""
        catalogues = self._all_catalogues
        self._require_open()
        return catalogues

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: this snapshot is closed; open another with open_snapshot.")

    def _gather(self, ids: Sequence[int], read: Callable[[Catalogue, Sequence[int]], Mapping[int, T]]) -> dict[int, T]:
        found: dict[int, T] = {}
        wanted = sorted(set(ids))
        for start in range(0, len(wanted), QUERY_BATCH):
            for catalogue in self.catalogues:
                found.update(read(catalogue, wanted[start : start + QUERY_BATCH]))
        return found

    def _passages_of(self, rows: Sequence[RowHit]) -> list[Hit]:
        """Every live passage of some rows, in any order."""
        scores = {row.key: row.score for row in rows}
        keys = list(scores)
        hits = []
        for start in range(0, len(keys), QUERY_BATCH):
            for catalogue in self.catalogues:
                for passage in catalogue.passages_with_keys(keys[start : start + QUERY_BATCH]):
                    if passage.key not in scores:
                        raise StoreDamaged(catalogue.files.shown, f"the index of keys leads to passage {passage.id}")
                    hits.append(Hit(passage.id, scores[passage.key]))
        return hits

    def _rows_by_block(self, keys: Sequence[bytes]) -> list[NDArray[np.int64]]:
        """The rows of these keys in each block.

        :raises StoreDamaged: if a key is in no block.
        """
        found = self.find_rows(keys)
        held = np.zeros(len(keys), dtype=np.bool_)
        for rows in found:
            held |= rows >= 0
        if not held.all():
            raise self._missing_row(keys[int(np.flatnonzero(~held)[0])])
        return [rows[rows >= 0] for rows in found]

    def _locate(self, keys: Sequence[bytes]) -> list[tuple[Block, int]]:
        places: list[tuple[Block, int] | None] = [None] * len(keys)
        for block, rows in zip(self.blocks, self.find_rows(keys), strict=True):
            for place in np.flatnonzero(rows >= 0):
                places[place] = (block, int(rows[place]))
        located = []
        for key, found in zip(keys, places, strict=True):
            if found is None:
                raise self._missing_row(key)
            located.append(found)
        return located

    def _missing_row(self, key: bytes) -> StoreDamaged:
        files = ", ".join(names.segment_file(entry.segment, names.KEYS) for entry in self.manifest.blocks[:3])
        return StoreDamaged(files or names.SEGMENTS, f"expected a row with key {key.hex()}, found none")


def _in_order(ids: Sequence[int], found: Mapping[int, T], missing: Callable[[int], StoreError]) -> list[T]:
    for id_ in ids:
        if id_ not in found:
            raise missing(id_)
    return [found[id_] for id_ in ids]
