"""Exports a generation as a folder of JSON lines and safetensors that other programs can read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from deformer_qa.store import disk, names
from deformer_qa.store.commit import require_room
from deformer_qa.store.disk import FileSum
from deformer_qa.store.encodings import VALUES_PER_CODE, Encoding, codebook_shapes, encoding_named
from deformer_qa.store.errors import FolderTaken, StoreDamaged
from deformer_qa.store.records import KEY_BYTES, DocumentInfo, EncoderInfo, keyed_input, to_json
from deformer_qa.store.segments.block import Block, BlockFiles
from deformer_qa.store.snapshot import Snapshot

FORMAT = "deformer-qa-export"
VERSION = 1
DTYPES = {"<u8": "U64", "<f4": "F32", "<f2": "F16", "|i1": "I8", "|u1": "U8"}  # numpy's names and safetensors'


@dataclass(frozen=True)
class Tensor:
    """The dtype of a tensor, in numpy's spelling, and its shape after the first axis."""

    dtype: str
    tail: tuple[int, ...]
    axis: str  # the first axis: "rows", "rows + 1" or "tokens"; "one" for a tensor without such an axis

    def shape(self, n_rows: int, n_tokens: int) -> tuple[int, ...]:
        """The whole shape."""
        if self.axis == "one":
            return self.tail
        return ({"rows": n_rows, "rows + 1": n_rows + 1, "tokens": n_tokens}[self.axis], *self.tail)


def tensors_of(encoding: Encoding, encoder: EncoderInfo) -> dict[str, Tensor]:
    """The tensors of a file of rows, in order: wide dtypes first, so that each is aligned."""
    n_values, n_scales = encoding.widths(encoder.hidden_width)
    found = {
        names.OFFSETS: Tensor("<u8", (), "rows + 1"),
        names.VECTORS: Tensor("<f4", (encoder.vector_width,), "rows"),
        names.SCALES: Tensor(encoding.scale_dtype.str, (n_scales,), "tokens"),
        names.STATES: Tensor(encoding.dtype.str, (n_values,), "tokens"),
        names.KEYS: Tensor("|u1", (KEY_BYTES,), "rows"),
    }
    if not encoding.has_scales:
        del found[names.SCALES]
    return found


def codebook_tensors(width: int, encoding: str) -> dict[str, Tensor]:
    """The tensors of a codebook's file, in order."""
    shapes = codebook_shapes(width, VALUES_PER_CODE[encoding])
    return {
        name: Tensor("<f4", shape, "one") for name, shape in zip(("mean", "rotation", "centroids"), shapes, strict=True)
    }


def tensors_header(tensors: Mapping[str, Tensor], n_rows: int, n_tokens: int) -> bytes:
    """The start of a safetensors file: the length of the JSON header, and the header, padded to 8 bytes."""
    content: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        shape = tensor.shape(n_rows, n_tokens)
        start, end = end, end + np.dtype(tensor.dtype).itemsize * int(np.prod(shape, dtype=object))
        content[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(content, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


@dataclass(frozen=True)
class About:
    """The content of ``export.json``.

    :ivar generation: of the exported store
    :ivar files: all other files, by name
    """

    generation: int
    encoder: EncoderInfo
    encoding: str
    roots: tuple[str, ...]
    next_document_id: int
    next_passage_id: int
    n_documents: int
    n_passages: int
    n_rows: int
    n_tokens: int
    files: Mapping[str, FileSum]

    @property
    def rows_names(self) -> list[str]:
        """The files of rows, in order."""
        n_others = len({names.DOCUMENTS, names.EXPORTED_CODEBOOK} & self.files.keys())
        return [names.rows_name(number) for number in range(1, 1 + len(self.files) - n_others)]


def to_bytes(about: About) -> bytes:
    """The bytes of ``export.json``."""
    content = {"format": FORMAT, "version": VERSION, **asdict(about)}
    content["encoder"]["about"] = dict(about.encoder.about)
    return (json.dumps({**content, "checksum": _checksum(content)}, indent=1, ensure_ascii=False) + "\n").encode()


def from_bytes(raw: bytes) -> About:
    """Parse ``export.json``.

    :raises ValueError: naming the error.
    """
    try:
        content = json.loads(raw)
        found = content.pop("checksum", None)
        kind, version = content.pop("format"), content.pop("version")
        if (kind, version) != (FORMAT, VERSION):
            raise ValueError(f"found {kind!r} version {version!r}, expected {FORMAT!r} version {VERSION}")
        if found != _checksum({"format": kind, "version": version, **content}):
            raise ValueError("the checksum does not match the content")
        files = {name: FileSum(**file_sum) for name, file_sum in content.pop("files").items()}
        encoder = EncoderInfo(**content.pop("encoder"))
        about = About(encoder=encoder, files=files, roots=tuple(content.pop("roots")), **content)
        _check(about)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it does not say what an export holds ({error})") from error
    return about


def _checksum(content: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(to_json(content).encode())


def _check(about: About) -> None:
    counts = (about.n_documents, about.n_passages, about.n_rows, about.n_tokens)
    widths = (about.encoder.vector_width, about.encoder.hidden_width)
    next_ids = (about.next_document_id, about.next_passage_id)
    if not all(type(number) is int and number >= 0 for number in (*counts, *widths, *next_ids, about.generation)):
        raise ValueError("a count is not an integer")
    if not all(0 < number < 1 << 62 for number in next_ids) or not all(0 < width < 1 << 20 for width in widths):
        raise ValueError("a number is out of range")
    if not all(isinstance(root, str) for root in about.roots) or not isinstance(about.encoder.encoder_id, str):
        raise ValueError("its roots or encoder are no text")
    expected = {names.DOCUMENTS, *about.rows_names}
    if about.encoding in VALUES_PER_CODE:
        expected.add(names.EXPORTED_CODEBOOK)
    if about.files.keys() != expected:
        raise ValueError(f"found the files {', '.join(sorted(about.files))}, expected {', '.join(sorted(expected))}")


SHARD_BYTES = 256 << 20  # of states in a file of rows: an importer reads one tensor at a time into memory


def export_store(snapshot: Snapshot, folder: Path) -> About:
    """Write the live content of a generation into a new folder; returns the content of its ``export.json``.

    Every row, text and record is compared with its checksum on the way. After an error no folder is left.

    :raises FolderTaken: if the folder exists and is not empty.
    :raises StoreDamaged: naming the damaged part of the store.
    :raises StoreFull: before anything is written, if there is no room.
    :raises OSError: if the folder cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    if os.path.lexists(folder) and (not folder.is_dir() or os.listdir(folder)):
        raise FolderTaken(folder, "an export")
    require_room(folder.parent, sum(entry.n_bytes for entry in snapshot.manifest.segments))
    unfinished = folder.parent / names.unfinished_name(folder.name)
    disk.make_directory(unfinished)
    try:
        about = _write(snapshot, unfinished)
        disk.sync_directory(unfinished)
        disk.rename_file(unfinished, folder)
    except BaseException:
        _remove(unfinished)
        raise
    disk.sync_directory(folder.parent)
    return about


def _remove(unfinished: Path) -> None:
    with suppress(OSError):
        for name in os.listdir(unfinished):
            disk.remove_file(unfinished / name)
        disk.remove_directory(unfinished)


def _write(snapshot: Snapshot, folder: Path) -> About:
    files = {names.DOCUMENTS: _write_documents(snapshot, folder / names.DOCUMENTS)}
    codebook = snapshot.codebook
    if codebook is not None:
        header = tensors_header(codebook_tensors(snapshot.encoder.hidden_width, snapshot.encoding), 0, 0)
        files[names.EXPORTED_CODEBOOK] = disk.write_file(folder / names.EXPORTED_CODEBOOK, [header, *codebook.arrays])
    tensors = tensors_of(encoding_named(snapshot.encoding), snapshot.encoder)
    n_rows = n_tokens = 0
    for number, shard in enumerate(_shards(snapshot), start=1):
        name = names.rows_name(number)
        files[name] = disk.write_file(folder / name, shard.pieces(tensors))
        n_rows, n_tokens = n_rows + len(shard.rows), n_tokens + shard.n_tokens
    about = About(
        generation=snapshot.generation,
        encoder=snapshot.encoder,
        encoding=snapshot.encoding,
        roots=snapshot.roots,
        next_document_id=snapshot.manifest.next_document_id,
        next_passage_id=snapshot.manifest.next_passage_id,
        n_documents=snapshot.n_documents,
        n_passages=snapshot.n_passages,
        n_rows=n_rows,
        n_tokens=n_tokens,
        files=files,
    )
    disk.write_file(folder / names.EXPORT, [to_bytes(about)])
    return about


def _write_documents(snapshot: Snapshot, path: Path) -> FileSum:
    with disk.NewFile(path) as file:
        for info in snapshot.iter_documents():
            file.write(to_json(_document(snapshot, info)).encode("utf-8") + b"\n")
        return file.finish()


def _document(snapshot: Snapshot, info: DocumentInfo) -> dict[str, Any]:
    record = snapshot.document(info.id)
    passages = snapshot.document_passages(info.id)
    for passage in passages:
        if keyed_input(passage.key, passage.heading, record.text[passage.start : passage.end]) is None:
            raise StoreDamaged(names.CATALOGUE, f"passage {passage.id}: the text is not the one that was encoded")
    return {
        "id": record.id,
        "root": record.root,
        "path": record.path,
        "title": record.title,
        "content_hash": record.content_hash,
        "source_state": record.source_state,
        "meta": dict(record.meta),
        "outline": [list(entry) for entry in record.outline],
        "text": record.text,
        "passages": [
            {"id": one.id, "start": one.start, "end": one.end, "heading": one.heading, "key": one.key.hex()}
            for one in passages
        ],
    }


@dataclass(frozen=True)
class _Shard:
    """Rows of one block for one file. ``rows``: *Shape* (n,), int64, ascending, at least one."""

    files: BlockFiles
    rows: NDArray[np.int64]
    n_tokens: int

    def pieces(self, tensors: dict[str, Tensor]) -> Iterator[bytes | NDArray[Any]]:
        """The bytes of the file, from the maps, each row compared with its checksums before the first of them."""
        for row in self.rows.tolist():
            self.files.vector(row)
            self.files.encoded_states(row)
        yield tensors_header(tensors, len(self.rows), self.n_tokens)
        per_row: dict[str, NDArray[Any]] = {names.VECTORS: self.files.vectors, names.KEYS: self.files.keys}
        per_token: dict[str, NDArray[Any]] = {names.STATES: self.files.values, names.SCALES: self.files.scales}
        runs = np.split(self.rows, np.flatnonzero(np.diff(self.rows) != 1) + 1)
        for name in tensors:
            if name == names.OFFSETS:
                yield np.concatenate(([0], np.cumsum(_lengths(self.files, self.rows)))).astype("<u8")
            for run in runs:
                first, end = int(run[0]), int(run[-1]) + 1
                if name in per_row:
                    yield per_row[name][first:end]
                elif name in per_token:
                    yield per_token[name][int(self.files.offsets[first]) : int(self.files.offsets[end])]


def _shards(snapshot: Snapshot) -> Iterator[_Shard]:
    for block in snapshot.blocks:
        rows = _live_rows(block)
        lengths = _lengths(block.files, rows)
        token_bytes = block.files.values.itemsize * block.files.values.shape[1]
        numbers = np.cumsum(lengths) * token_bytes // SHARD_BYTES  # number of the file for each row
        for some in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(numbers)) + 1):
            if some.size:
                yield _Shard(block.files, rows[some], int(lengths[some].sum()))


def _live_rows(block: Block) -> NDArray[np.int64]:
    rows = np.arange(block.entry.n_rows, dtype=np.int64)
    return rows[block.are_live(rows)]


def _lengths(files: BlockFiles, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of tokens of each row. *Shape:* that of ``rows``, int64."""
    lengths: NDArray[np.int64] = files.offsets[rows + 1].astype(np.int64) - files.offsets[rows].astype(np.int64)
    return lengths
