"""Imports an export: checks all of it, then commits it as the first generation of a new store."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import names
from deformer_qa.store.disk import hash_descriptor
from deformer_qa.store.encodings import VALUES_PER_CODE, Codebook, EncodedStates, Encoding, encoding_named
from deformer_qa.store.errors import FolderTaken, InvalidExport, InvalidRecord
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry
from deformer_qa.store.pending import check_document
from deformer_qa.store.records import KEY_BYTES, DocumentRecord, PassageDraft, PassageRecord
from deformer_qa.store.segments.block import states_sum, vector_sum, write_arrays
from deformer_qa.store.segments.catalogue_writer import write_documents
from deformer_qa.store.upkeep.export import DTYPES, About, Tensor, codebook_tensors, from_bytes, tensors_of
from deformer_qa.store.upkeep.merge import LARGEST_BLOCK, LARGEST_CATALOGUE, groups_of
from deformer_qa.store.writer import Writer

LARGEST_NOTE = 1 << 26  # bytes of export.json
_OF_A_FAILED_IMPORT = frozenset((names.LOCK, names.SEGMENTS, names.NEW_MANIFEST))
_DOCUMENT = {
    **dict.fromkeys(("root", "path", "title", "content_hash", "source_state", "text"), str),
    "id": int,
    "meta": dict,
    "outline": list,
    "passages": list,
}
_PASSAGE = {"id": int, "start": int, "end": int, "heading": str, "key": str}

Document = tuple[DocumentRecord, tuple[PassageRecord, ...]]


def import_store(folder: Path, store: Path) -> int:
    """Make a new store from an export, with its ids, after checking every line and tensor; returns the generation.

    :raises FolderTaken: if the store's folder is not empty.
    :raises InvalidExport: naming file and line or row.
    :raises StoreLocked, StoreAccess, StoreFull, CommitFailed, CommitUncertain: as a commit.
    """
    folder, store = Path(folder), Path(store)
    if os.path.lexists(store) and (not store.is_dir() or set(os.listdir(store)) - _OF_A_FAILED_IMPORT):
        raise FolderTaken(store, "a new store")
    export = _Export(folder)
    export.check()
    with Writer.open(store, export.about.encoder, export.about.encoding, codebook=export.codebook()) as writer:
        if writer.snapshot is not None:
            raise FolderTaken(store, "a new store")
        next_ids = (export.about.next_document_id, export.about.next_passage_id)
        room = sum(file.n_bytes for file in export.about.files.values()) * 2  # words are indexed beside the text
        return writer.begin(next_ids, export.about.roots, room, lambda new: export.write(store, new))


@dataclass(frozen=True)
class _Rows:
    """The tensors of one file; see docs/reference/export.md."""

    tensors: dict[str, NDArray[Any]]

    @property
    def keys(self) -> list[bytes]:
        return [key.tobytes() for key in self.tensors[names.KEYS]]

    def sums(self) -> NDArray[np.uint64]:
        """The checksums of each row. *Shape:* (n_rows, 2), uint64."""
        offsets, vectors = self.tensors[names.OFFSETS].tolist(), self.tensors[names.VECTORS]
        values = self.tensors[names.STATES]
        scales = self.tensors.get(names.SCALES)
        if scales is None:
            scales = np.empty((len(values), 0), "<f4")
        found = np.empty((len(vectors), 2), dtype="<u8")
        for row, key in enumerate(self.keys):
            tokens = slice(offsets[row], offsets[row + 1])
            encoded = EncodedStates(values[tokens], scales[tokens])
            found[row] = vector_sum(key, vectors[row]), states_sum(key, encoded)
        return found


class _Export:
    """The folder of an export: ``check`` checks all of it, then ``write`` reads it again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = self._read_note()
        self._encoding = self._known_encoding()
        self._expected = tensors_of(self._encoding, self.about.encoder)
        self._n_rows: list[int] = []  # for each document with its passages

    def check(self) -> None:
        """Refuse an export that was changed, is incomplete, or contradicts itself.

        :raises InvalidExport: naming file and line or row.
        """
        for name, expected in self.about.files.items():
            with self._opened(name) as file:
                if hash_descriptor(file.fileno()) != expected:
                    raise InvalidExport(self.folder, name, "its size or checksum is not the one in export.json")
        needed = self._check_documents()
        self._check_rows(needed)

    def write(self, store: Path, new_segment: Callable[[], str]) -> tuple[list[BlockEntry], list[CatalogueEntry]]:
        """Write and sync the segments of a store."""
        n_bytes = [self.about.files[name].n_bytes for name in self.about.rows_names]
        blocks = []
        for group in groups_of(n_bytes, LARGEST_BLOCK):
            blocks.append(self._write_block(store, new_segment(), [self.about.rows_names[number] for number in group]))
        documents = self._documents()
        catalogues = [
            write_documents(store, new_segment(), islice(documents, len(group)))
            for group in groups_of(self._n_rows, LARGEST_CATALOGUE)
        ]
        return blocks, catalogues

    def _write_block(self, store: Path, segment: str, files: Sequence[str]) -> BlockEntry:
        """Write one block from the rows of several files, with one tensor in memory at a time."""

        def pieces(tensor: str) -> Iterator[NDArray[Any]]:
            return (self._rows(name, tensor).tensors[tensor] for name in files)

        return write_arrays(
            store,
            segment,
            self._encoding,
            keys=np.concatenate(list(pieces(names.KEYS))),
            n_tokens=np.concatenate([np.diff(offsets.astype(np.int64)) for offsets in pieces(names.OFFSETS)]),
            vectors=pieces(names.VECTORS),
            values=pieces(names.STATES),
            scales=pieces(names.SCALES),
            sums=(self._rows(name).sums() for name in files),
            dead_rows=(),
        )

    # The note

    def _read_note(self) -> About:
        with self._opened(names.EXPORT) as file:
            raw = file.read(LARGEST_NOTE)
        try:
            return from_bytes(raw)
        except ValueError as error:
            raise InvalidExport(self.folder, names.EXPORT, str(error)) from error

    def codebook(self) -> Codebook | None:
        """The codebook of its states, None if their encoding has none.

        :raises InvalidExport: if the file holds no codebook.
        """
        if self.about.encoding not in VALUES_PER_CODE:
            return None
        expected = codebook_tensors(self.about.encoder.hidden_width, self.about.encoding)
        name = names.EXPORTED_CODEBOOK
        found = self._tensors(name, expected)
        try:
            return Codebook(*(found[one] for one in expected))
        except InvalidRecord as error:
            raise InvalidExport(self.folder, name, str(error).rstrip(".")) from error

    def _known_encoding(self) -> Encoding:
        try:
            encoding = encoding_named(self.about.encoding)
            encoding.widths(self.about.encoder.hidden_width)
            return encoding
        except InvalidRecord as error:
            raise InvalidExport(self.folder, names.EXPORT, str(error).rstrip(".")) from error

    def _opened(self, name: str) -> Any:
        """Open a plain file of the export for reading; pipes and links are refused."""
        try:
            fd = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InvalidExport(self.folder, name, f"cannot be read ({error.strerror})") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidExport(self.folder, name, "expected a plain file")
        return open(fd, "rb")

    # Documents

    def _check_documents(self) -> set[bytes]:
        """Refuse documents that break a rule of the store; returns the keys that their passages refer to."""
        places: set[tuple[str, str]] = set()
        passage_ids: set[int] = set()
        keys: set[bytes] = set()
        last_id = 0
        for line, (record, passages) in enumerate(self._documents(), start=1):
            ids = {passage.id for passage in passages}
            if not last_id < record.id < self.about.next_document_id:
                raise self._bad_line(line, f"found document {record.id} after {last_id}, expected ascending ids below "
                                     f"next_document_id, {self.about.next_document_id}")  # fmt: skip
            if (
                len(ids) < len(passages)
                or ids & passage_ids
                or not all(0 < n < self.about.next_passage_id for n in ids)
            ):
                raise self._bad_line(line, "a passage's id is there twice, or not below next_passage_id")
            if (record.root, record.path) in places:
                raise self._bad_line(line, f"a document before it has the place {record.path!r} too")
            last_id = record.id
            places.add((record.root, record.path))
            passage_ids |= ids
            keys.update(passage.key for passage in passages)
            self._n_rows.append(1 + len(passages))
        found, expected = (len(places), len(passage_ids)), (self.about.n_documents, self.about.n_passages)
        if found != expected:
            raise InvalidExport(
                self.folder, names.DOCUMENTS, f"found {found} documents and passages, expected {expected}"
            )
        return keys

    def _documents(self) -> Iterator[Document]:
        with self._opened(names.DOCUMENTS) as file:
            for line, raw in enumerate(file, start=1):
                try:
                    yield _document(json.loads(raw))
                except (ValueError, RecursionError) as error:
                    raise self._bad_line(line, str(error).rstrip(".")) from error

    def _bad_line(self, line: int, problem: str) -> InvalidExport:
        return InvalidExport(self.folder, f"{names.DOCUMENTS} line {line}", problem)

    # Rows

    def _check_rows(self, needed: set[bytes]) -> None:
        """Refuse tensors of another dtype or shape, invalid values, and rows other than those needed."""
        left, n_tokens = set(needed), 0
        for name in self.about.rows_names:
            rows = self._rows(name)
            n_tokens += len(rows.tensors[names.STATES])
            for row, key in enumerate(rows.keys):
                if key not in left:
                    raise self._bad_row(name, row, f"no passage needs its key {key.hex()}, or it is there twice")
                left.discard(key)
        if left:
            problem = f"{len(left)} passages' keys have no row (first key {min(left).hex()})"
            raise InvalidExport(self.folder, names.DOCUMENTS, problem)
        found, expected = (len(needed), n_tokens), (self.about.n_rows, self.about.n_tokens)
        if found != expected:
            raise InvalidExport(self.folder, names.EXPORT, f"found {found} rows and tokens, expected {expected}")

    def _rows(self, name: str, only: str | None = None) -> _Rows:
        """The tensors of a file, or one, of the right dtypes and shapes. If all are read, their values are checked."""
        found = self._tensors(name, self._expected, only)
        if only is None:
            self._check_values(name, found)
        return _Rows(found)

    def _tensors(self, name: str, expected: dict[str, Tensor], only: str | None = None) -> dict[str, NDArray[Any]]:
        """The tensors of a file, or one of them, of the right dtypes and shapes."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.folder / name, framework="np") as file:
                self._check_shapes(name, file, expected)
                return {one: file.get_tensor(one) for one in expected if only in (None, one)}
        except (SafetensorError, OSError, ValueError) as error:
            raise InvalidExport(self.folder, name, f"not readable as safetensors ({error})") from error

    def _check_shapes(self, name: str, file: Any, tensors: dict[str, Tensor]) -> None:
        if set(file.keys()) != tensors.keys():
            found, expected = ", ".join(sorted(file.keys())), ", ".join(sorted(tensors))
            raise InvalidExport(self.folder, name, f"found the tensors {found}, expected {expected}")
        there = {one: (file.get_slice(one).get_dtype(), tuple(file.get_slice(one).get_shape())) for one in file.keys()}  # noqa: SIM118
        n_rows, n_tokens = (
            there[one][1][0] if there.get(one, ("", ()))[1] else 0 for one in (names.KEYS, names.STATES)
        )
        for one, tensor in tensors.items():
            right = (DTYPES[tensor.dtype], tensor.shape(n_rows, n_tokens))
            if there[one] != right or (not n_rows and tensor.axis != "one"):
                raise InvalidExport(self.folder, name, f"tensor {one}: found {there[one]}, expected {right}")

    def _check_values(self, name: str, tensors: dict[str, NDArray[Any]]) -> None:
        offsets = tensors[names.OFFSETS]
        steps = np.flatnonzero(offsets[1:] <= offsets[:-1])
        if int(offsets[0]) or int(offsets[-1]) != len(tensors[names.STATES]) or steps.size:
            row = int(steps[0]) if steps.size else 0
            raise self._bad_row(name, row, "the offsets do not ascend from 0 to the number of tokens")
        for one, values in tensors.items():
            good = np.isfinite(values) if values.dtype.kind == "f" else values != -128
            if one == names.SCALES:
                good &= values >= 0
            bad = np.flatnonzero(~good.reshape(len(values), -1).all(axis=1))
            if bad.size:
                row = int(bad[0])
                if one in (names.STATES, names.SCALES):
                    row = int(np.searchsorted(offsets, row, side="right")) - 1
                raise self._bad_row(name, row, f"tensor {one} has a value that is out of range")

    def _bad_row(self, name: str, row: int, problem: str) -> InvalidExport:
        return InvalidExport(self.folder, f"{name} row {row}", problem)


def _document(fields: Any) -> Document:
    """The document of a line, checked on its own: its passages' keys must match their texts.

    :raises ValueError: naming the error.
    """
    _require(fields, _DOCUMENT, "document")
    for passage in fields["passages"]:
        _require(passage, _PASSAGE, "passage")
    outline = fields["outline"]
    if not all(isinstance(e, list) and len(e) == 2 and type(e[0]) is int and type(e[1]) is str for e in outline):
        raise ValueError("outline: expected pairs of offset and heading")
    known = {name: fields[name] for name in _DOCUMENT if name not in ("outline", "passages")}
    record = DocumentRecord(**known, outline=tuple((offset, heading) for offset, heading in outline))
    passages = tuple(
        PassageRecord(one["id"], record.id, number, one["start"], one["end"], one["heading"], _key(one["key"]))
        for number, one in enumerate(fields["passages"])
    )
    check_document(record, [PassageDraft(one.start, one.end, one.heading, one.key) for one in passages])
    return record, passages


def _require(fields: Any, expected: dict[str, type], what: str) -> None:
    if not isinstance(fields, dict) or fields.keys() != expected.keys():
        raise ValueError(f"expected a {what} with {', '.join(sorted(expected))}")
    for name, kind in expected.items():
        if type(fields[name]) is not kind:
            raise ValueError(f"{what}: found {name} of another type than {kind.__name__}")


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != KEY_BYTES:
        raise ValueError(f"found a key of {len(key)} bytes, expected {KEY_BYTES}")
    return key
