"""What does an export consist of? Names, tensors, and the note that lists and sums its files; see docs/EXPORT.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xxhash

from deformer_qa.store import names
from deformer_qa.store.disk import FileSum
from deformer_qa.store.encodings import Encoding
from deformer_qa.store.records import KEY_BYTES, EncoderInfo, to_json

FORMAT = "deformer-qa-export"
VERSION = 0
DTYPES = {"<u8": "U64", "<f4": "F32", "<f2": "F16", "|i1": "I8", "|u1": "U8"}  # numpy's names and safetensors'


@dataclass(frozen=True)
class Tensor:
    """The dtype of a tensor, as numpy spells it, and its shape after the first axis."""

    dtype: str
    tail: tuple[int, ...]
    axis: str  # what the first axis counts: "rows", "rows + 1" or "tokens"

    def shape(self, n_rows: int, n_tokens: int) -> tuple[int, ...]:
        """The whole shape."""
        return ({"rows": n_rows, "rows + 1": n_rows + 1, "tokens": n_tokens}[self.axis], *self.tail)


def tensors_of(encoding: Encoding, encoder: EncoderInfo) -> dict[str, Tensor]:
    """The tensors of a file of rows, in order: the wide dtypes first, so that each is aligned."""
    found = {
        names.OFFSETS: Tensor("<u8", (), "rows + 1"),
        names.VECTORS: Tensor("<f4", (encoder.vector_width,), "rows"),
        names.SCALES: Tensor("<f4", (), "tokens"),
        names.STATES: Tensor(encoding.dtype.str, (encoder.hidden_width,), "tokens"),
        names.KEYS: Tensor("|u1", (KEY_BYTES,), "rows"),
    }
    if not encoding.has_scales:
        del found[names.SCALES]
    return found


def tensors_header(tensors: Mapping[str, Tensor], n_rows: int, n_tokens: int) -> bytes:
    """The beginning of a safetensors file: the length of a json header, and the header, padded to 8 bytes."""
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
    """What ``export.json`` says.

    :ivar generation: of the store that was exported
    :ivar files: all others, by name
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
        return [names.rows_name(number) for number in range(1, len(self.files))]


def to_bytes(about: About) -> bytes:
    """The bytes of ``export.json``."""
    content = {"format": FORMAT, "version": VERSION, **asdict(about)}
    content["encoder"]["about"] = dict(about.encoder.about)
    return (json.dumps({**content, "checksum": _checksum(content)}, indent=1, ensure_ascii=False) + "\n").encode()


def from_bytes(raw: bytes) -> About:
    """What these bytes of ``export.json`` say.

    :raises ValueError: saying what is wrong.
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
    if about.files.keys() != expected:
        raise ValueError(f"found the files {', '.join(sorted(about.files))}, expected {', '.join(sorted(expected))}")
