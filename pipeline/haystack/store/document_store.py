"""Implement Haystack's document store protocol on our store: a write is one commit, a read sees one generation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from haystack import Document, default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import ComponentDevice

from deformer_qa.pipeline.haystack.async_calls import AsyncCalls
from deformer_qa.pipeline.haystack.documents import (
    ROOT,
    document_id,
    document_of,
    haystack_errors,
    meta_of,
    path_of,
    record_of,
    with_meta,
)
from deformer_qa.pipeline.haystack.filters import condition_of, matching_documents
from deformer_qa.pipeline.readers import shared_reader
from deformer_qa.pipeline.retrieve import RetrievalWeights
from deformer_qa.reader.encoder import Encoder
from deformer_qa.reader.reading import SplitReader
from deformer_qa.store import (
    Codebook,
    DocumentInfo,
    DocumentRecord,
    EncoderInfo,
    NewestSnapshot,
    PassageDraft,
    Snapshot,
    StoreMissing,
    Writer,
    block_key,
    encoder_input,
    waiting_lock,
)
from deformer_qa.store.records import to_json

_COMMIT_BYTES = 256 * 2**20
"""Encoded passages are committed when this many bytes are pending; no document appears before all are written."""


class DeformerDocumentStore(AsyncCalls):
    """Store documents with their passages' vectors and layer-k states, in a directory that ``qa`` reads too.

    When a write returns, it is durable and complete. If it raises, nothing was written, unless the error says that this
    is uncertain (the disk failed at the commit point). Passages are encoded when they are written, with the title in
    their document's metadata (``meta["title"]``) before the text, once for each distinct title and text. Documents of
    folders that ``qa index`` keeps in the same directory are included, with ``root``, ``path`` and ``title`` in their
    metadata.

    Safe to use from several threads, and beside other processes: one writes at a time.

    :param path: the store's directory; the first write creates it. A relative path is resolved now, against the current
        directory.
    :param reader: folder of the reader whose encoder is used; the shipped one by default. Readers with the same encoder
        can be exchanged; a store of another encoder is refused.
    :param device: where passages and questions are encoded; by default where Haystack's other components run.
    :param strict_datetime_comparison: if true, a date with a time zone never matches one without in filters; if false,
        the date without a zone is taken to be in the zone of the other.
    """

    def __init__(
        self,
        path: str | Path = ".qa",
        reader: str | Path | None = None,
        device: ComponentDevice | None = None,
        *,
        strict_datetime_comparison: bool = False,
    ) -> None:
        self.path, self.reader, self.device = str(path), str(reader) if reader is not None else None, device
        self.strict_datetime_comparison = strict_datetime_comparison
        self.place = Path(path).absolute()
        self._newest = NewestSnapshot(self.place)
        self._writing = waiting_lock(self.place)
        self._loaded: SplitReader | None = None

    def to_dict(self) -> dict[str, Any]:
        """Serialise the store, as Haystack's pipelines do."""
        device = self.device.to_dict() if self.device else None
        return default_to_dict(
            self,
            path=self.path,
            reader=self.reader,
            device=device,
            strict_datetime_comparison=self.strict_datetime_comparison,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DeformerDocumentStore:
        """Build the store from the output of ``to_dict``."""
        given = dict(data.get("init_parameters", {}))
        if isinstance(given.get("device"), dict):
            given["device"] = ComponentDevice.from_dict(given["device"])
        data = {**data, "init_parameters": given}
        store: DeformerDocumentStore = default_from_dict(cls, data)
        return store

    def warm_up(self) -> None:
        """Load the encoder now, not at the first write or question."""
        self.encoder()

    def close(self) -> None:
        """Release the open generation; the next call opens the newest one again."""
        self._newest.close()

    def encoder(self) -> Encoder:
        """Return the encoder of the store's passages and of questions; loaded on first use."""
        return self._reader().encoder

    def retrieval_weights(self) -> RetrievalWeights:
        """Return the reader's weights for the scores of retrieval."""
        about = self._reader().about
        return RetrievalWeights.from_mapping(about.retrieval if about else {})

    def _reader(self) -> SplitReader:
        if self._loaded is None:
            device = ComponentDevice.resolve_device(self.device).to_torch_str()
            self._loaded = shared_reader(self.reader, device)
        return self._loaded

    def snapshot(self) -> Snapshot | None:
        """Open the newest generation for reading; None if nothing was ever written.

        :raises DocumentStoreError: if the store cannot be used.
        """
        with haystack_errors():
            try:
                return self._newest.get()
            except StoreMissing:
                return None

    # Documents

    def count_documents(self) -> int:
        """Count the documents."""
        snapshot = self.snapshot()
        return snapshot.n_documents if snapshot else 0

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents that match, in the order in which they were first written.

        :raises FilterError: if the filter is malformed, or compares values that have no order.
        """
        snapshot = self.snapshot()
        infos = self._matching_infos(snapshot, filters)
        if snapshot is None:
            return []
        with haystack_errors():
            return [document_of(snapshot.document(info.id)) for info in infos]

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write all documents in one commit, and return how many were written.

        :param policy: ``NONE`` means ``FAIL``.
        :raises ValueError: if an item is not a document, or cannot be stored unchanged.
        :raises DuplicateDocumentError: under ``FAIL``, if an id is in the store already or occurs twice.
        :raises DocumentStoreError: if the store cannot be written; nothing was written.
        """
        if isinstance(documents, str) or not isinstance(documents, Iterable):
            raise ValueError(f"Expected a list of documents, found {type(documents).__name__}.")
        documents = list(documents)
        for document in documents:
            if not isinstance(document, Document):
                raise ValueError(f"Expected documents, found {type(document).__name__}.")
        encoder = self.encoder()
        codebook = Codebook(**encoder.codebook) if encoder.codebook is not None else None
        with self._writer(_encoder_info(encoder), codebook) as writer:
            ids = self._ids(writer, [document.id for document in documents])
            chosen, n_written = _chosen(documents, ids, policy)
            self._refuse_files(writer, [ids[one.id] for one in chosen if one.id in ids])
            records = [record_of(one, ids.get(one.id) or writer.new_document_id()) for one in chosen]
            drafts = [self._encoded(writer, record) for record in records]
            for record, passages in zip(records, drafts, strict=True):
                writer.put_document(record, passages)
        return n_written

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete the documents with these ids; ids that are not in the store are ignored."""
        self._delete(lambda writer: list(self._ids(writer, document_ids).values()))

    def delete_all_documents(self) -> None:
        """Delete every document, including those of synchronised folders; the store stays usable."""
        self._delete(lambda writer: [info.id for info in _infos(writer.snapshot)])

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match, and return how many were deleted."""
        _checked(filters)
        return self._delete(lambda writer: [info.id for info in self._matching_infos(writer.snapshot, filters)])

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set metadata on the documents that match, and return how many matched; nothing is encoded.

        Passages keep the title that they were encoded with until their document is written again.
        """
        _checked(filters)
        snapshot = self.snapshot()
        if snapshot is None:
            return 0
        with self._writer(snapshot.encoder) as writer:
            infos = self._matching_infos(writer.snapshot, filters)
            for info in infos:
                assert writer.snapshot is not None
                _put_meta(writer, writer.snapshot, info.id, meta)
        return len(infos)

    # Metadata

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """Count the documents that match."""
        return len(self._matching_infos(self.snapshot(), filters))

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """Count each field's distinct values in the documents that match; None is not counted."""
        infos = self._matching_infos(self.snapshot(), filters)
        names = [name.removeprefix("meta.") for name in metadata_fields]
        return {name: len(_distinct(infos, name)) for name in names}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Return each field's type: boolean, int, float or keyword; keyword if its values differ in type."""
        types: dict[str, str] = {}
        for info in _infos(self.snapshot()):
            for name, value in meta_of(info).items():
                if value is not None:
                    found = _TYPES.get(type(value), "keyword")
                    types[name] = found if types.get(name, found) == found else "keyword"
        return {name: {"type": kind} for name, kind in types.items()}

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Return ``min`` and ``max`` of a field with only numbers or only texts; None for any other field."""
        values = list(_distinct(_infos(self.snapshot()), metadata_field.removeprefix("meta.")).values())
        for kinds in ((int, float), (str,)):
            if values and all(isinstance(value, kinds) for value in values):
                return {"min": min(values), "max": max(values)}
        return {"min": None, "max": None}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """Return a page of a field's distinct values in the documents that match, and how many there are.

        :param search_term: only values whose text contains it, ignoring case.
        """
        values = list(
            _distinct(self._matching_infos(self.snapshot(), filters), metadata_field.removeprefix("meta.")).values()
        )
        if search_term:
            values = [value for value in values if search_term.lower() in str(value).lower()]
        values.sort(key=lambda value: (str(value), type(value).__name__))
        return values[from_ : from_ + size], len(values)

    # Within

    def matching_passages(self, snapshot: Snapshot, filters: dict[str, Any] | None) -> list[int] | None:
        """Return the ids of the passages of the documents that match; None without a filter."""
        if not filters:
            return None
        return snapshot.passages_of_documents([info.id for info in self._matching_infos(snapshot, filters)])

    def _matching_infos(self, snapshot: Snapshot | None, filters: Mapping[str, Any] | None) -> list[DocumentInfo]:
        if not filters:
            return list(_infos(snapshot))
        if snapshot is None:
            condition_of(filters)
            return []
        with haystack_errors():
            strict = self.strict_datetime_comparison
            return matching_documents(snapshot, filters, strict_datetime_comparison=strict)

    @contextmanager
    def _writer(self, encoder: EncoderInfo, codebook: Codebook | None = None) -> Iterator[Writer]:
        """Open a writer and commit after the block; nothing is committed if the block raises."""
        with self._writing, haystack_errors(), Writer.open(self.place, encoder, codebook=codebook) as writer:
            yield writer
            writer.commit()

    def _ids(self, writer: Writer, wanted: Sequence[str]) -> dict[str, int]:
        """Return the store's ids of those documents that are in the store."""
        snapshot = writer.snapshot
        if snapshot is None:
            return {}
        found = {id_: snapshot.document_at(ROOT, path_of(id_)) for id_ in dict.fromkeys(wanted)}
        ids = {id_: number for id_, number in found.items() if number is not None}
        if len(ids) < len(found) and snapshot.roots:
            elsewhere = {document_id(info): info.id for info in snapshot.iter_documents() if info.root != ROOT}
            ids |= {id_: elsewhere[id_] for id_ in found.keys() - ids.keys() if id_ in elsewhere}
        return ids

    def _refuse_files(self, writer: Writer, ids: Sequence[int]) -> None:
        for info in writer.snapshot.document_infos(ids) if writer.snapshot else ():
            if info.root != ROOT:
                raise ValueError(
                    f"document {document_id(info)}: a file of a synchronised folder; change the file, then qa index."
                )

    def _encoded(self, writer: Writer, record: DocumentRecord) -> list[PassageDraft]:
        """Return a document's passages, each with a row in the store."""
        encoder, drafts = self.encoder(), []
        lead = encoder.lead(record.title, "")
        for span in encoder.borders.split(record.text, encoder.tokenizer):
            whole = encoder_input(lead, record.text[span.start : span.end])
            key = block_key(whole)
            if not writer.has_row(key):
                encoded = encoder.encode(whole, f"document {record.path}")
                writer.add_row(key, encoded.vector, encoded.states)
                if writer.pending_bytes > _COMMIT_BYTES:
                    writer.commit()
            drafts.append(PassageDraft(span.start, span.end, lead, key))
        return drafts

    def _delete(self, chosen: Callable[[Writer], list[int]]) -> int:
        snapshot = self.snapshot()
        if snapshot is None:
            return 0
        with self._writer(snapshot.encoder) as writer:
            ids = chosen(writer)
            for id_ in ids:
                writer.remove_document(id_)
        return len(ids)


_TYPES: dict[type, str] = {bool: "boolean", int: "int", float: "float"}


def _checked(filters: Mapping[str, Any] | None) -> None:
    """:raises FilterError: if the filter is malformed, whether there is a store or not."""
    if filters:
        condition_of(filters)


def _infos(snapshot: Snapshot | None) -> Iterable[DocumentInfo]:
    return snapshot.iter_documents() if snapshot else ()


def _chosen(documents: list[Document], ids: dict[str, int], policy: DuplicatePolicy) -> tuple[list[Document], int]:
    """Choose the documents to write, one for each id, and how many to report as written."""
    by_id: dict[str, Document] = {}
    for document in documents:
        if policy == DuplicatePolicy.OVERWRITE or not (document.id in ids or document.id in by_id):
            by_id[document.id] = document
        elif policy != DuplicatePolicy.SKIP:
            raise DuplicateDocumentError(f"document {document.id}: there is one of this id already; none was written.")
    return list(by_id.values()), len(documents) if policy == DuplicatePolicy.OVERWRITE else len(by_id)


def _put_meta(writer: Writer, snapshot: Snapshot, id_: int, meta: Mapping[str, Any]) -> None:
    record = snapshot.document(id_)
    passages = [PassageDraft(one.start, one.end, one.heading, one.key) for one in snapshot.document_passages(id_)]
    writer.put_document(with_meta(record, meta), passages)


def _distinct(infos: Iterable[DocumentInfo], name: str) -> dict[str, Any]:
    """Return a field's distinct values, keyed by their JSON, in which 1, 1.0, "1" and true differ."""
    values = (meta_of(info).get(name) for info in infos)
    return {to_json(value): value for value in values if value is not None}


def _encoder_info(encoder: Encoder) -> EncoderInfo:
    return EncoderInfo(encoder.encoder_id, encoder.hidden_width, encoder.hidden_width, encoder.about)
